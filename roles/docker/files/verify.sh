#!/bin/sh
# Prints one line for each thing that is wrong, with what to do; nothing when all is well.
# Arguments: what to look at besides the engine (compose, firewall).
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin
export PATH
answer=$(timeout 30 docker info --format '{{.ServerVersion}}' 2>&1) ||
    echo "Docker does not answer ($answer); see \"systemctl status docker\" and \"journalctl -u docker\""
for what in "$@"; do
    case $what in
        compose)
            docker compose version --short 2>/dev/null | grep -Eq '^v?([2-9]|[1-9][0-9]+)\.' ||
                echo 'Docker Compose v2 is missing: "docker compose version" fails; set docker_source: docker, or docker_compose_required: false'
            ;;
        firewall)
            /usr/local/sbin/landfall-docker-firewall check
            ;;
    esac
done
exit 0
