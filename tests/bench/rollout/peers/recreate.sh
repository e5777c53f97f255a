#!/bin/sh
# The "zero-downtime" sequence of the document: pull, then `up -d --no-deps` service by service, 5 s between the
# layers. Its --build is left out, for the images come built from the registry; its image prune too.
#   recreate.sh SERVICE…
set -u
docker compose pull -q "$@" || exit 1
first=1
for service in "$@"; do
  [ -n "$first" ] || sleep 5
  first=
  docker compose up -d --no-deps "$service" || exit 1
done
