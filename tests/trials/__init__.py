"""Protections taken out, one at a time: the test that holds each of them has to fail then."""
