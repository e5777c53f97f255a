"""`make audit`: what programs that others wrote find on a host, before Landfall and after it."""
