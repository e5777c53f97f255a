#!/bin/sh
# Builds the six images with plain docker, for machines without Compose or buildx.
# REGISTRY (default registry.example.com), VERSION (default 1.0.0), BASE (default python:3.13-slim),
# BUILD_ARGS (more words for docker build), PUSH=1 to push.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
for pair in auth:auth-service registry:registry-service tickets:tickets-agent finops:finops-agent \
  oxygen:oxygen-agent web:web-ui; do
  image="${REGISTRY:-registry.example.com}/jarvis-${pair%%:*}:${VERSION:-1.0.0}"
  # shellcheck disable=SC2086  # BUILD_ARGS is a list of words
  docker build --quiet --target "${pair#*:}" --build-arg "BASE=${BASE:-python:3.13-slim}" \
    --build-arg "VERSION=${VERSION:-1.0.0}" ${BUILD_ARGS:-} --tag "$image" "$here/app" >/dev/null
  [ "${PUSH:-0}" = 0 ] || docker push --quiet "$image" >/dev/null
  echo "$image"
done
