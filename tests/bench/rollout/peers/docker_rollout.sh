#!/bin/sh
# docker-rollout's published algorithm, written anew: scale to twice the number without touching what runs, ask each
# second for at most 60 s whether the new containers are healthy, then stop and remove the old ones; when they do not
# get healthy, the new ones are removed. As there, services are taken one after the other, as its user calls it.
# The images are there when it begins: the download is counted for nobody.
#   docker_rollout.sh SERVICE…
set -u
for service in "$@"; do
  old=$(docker compose ps -q "$service")
  count=$(echo "$old" | wc -l)
  docker compose up -d --no-deps --no-recreate --scale "$service=$((count * 2))" "$service" || exit 1
  new=$(docker compose ps -q "$service" | grep -vxF "$old")
  waited=0
  while :; do
    healthy=0
    for id in $new; do
      [ "$(docker inspect -f '{{.State.Health.Status}}' "$id")" = healthy ] && healthy=$((healthy + 1))
    done
    [ "$healthy" -lt "$count" ] || break
    if [ "$waited" -ge 60 ]; then
      docker stop $new >/dev/null; docker rm $new >/dev/null
      exit 1
    fi
    sleep 1
    waited=$((waited + 1))
  done
  docker stop $old >/dev/null
  docker rm $old >/dev/null
done
