"""`make bench-rollout`: requests dropped while a stack is rolled, by Landfall and by two peers, on one host."""
