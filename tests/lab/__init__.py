"""The lab: embedded hosts, an ACME CA, a registry, an S3 server and a DNS server as local containers.

`make demo` and the tests stand on it. It needs a Docker Engine, and debootstrap where Docker Hub cannot be reached.
Everything it makes carries the label ``landfall.lab=<name>``, and `down` removes just that.
"""
