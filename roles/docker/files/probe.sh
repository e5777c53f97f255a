#!/bin/sh
# Reads the host and prints what the role decides on, one key=value a line. Changes nothing.
# Arguments: packages to look for.
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin
export LC_ALL PATH

say() { printf '%s=%s\n' "$1" "$(printf '%s' "$2" | tr '\n' ' ' | sed 's/  */ /g; s/^ //; s/ $//')"; }
encoded() { [ -r "$1" ] && base64 -w0 "$1"; }

# shellcheck source=/dev/null
(
    . /etc/os-release
    say distribution "$ID"
    say release "${VERSION_ID%%.*}"
    say codename "$VERSION_CODENAME"
)
say container "$(systemd-detect-virt --container 2>/dev/null)"
# The highest limit of open files the daemon can give: without CAP_SYS_RESOURCE (bit 24) not above init's own.
bounding=$(sed -n 's/^CapBnd:[[:space:]]*//p' /proc/1/status)
if [ $((0x${bounding:-0} >> 24 & 1)) -eq 1 ]; then
    say nofile_most ''
else
    say nofile_most "$(sed -n 's/^Max open files *[^ ]* *\([0-9]*\).*/\1/p' /proc/1/limits)"
fi
say architecture "$(dpkg --print-architecture 2>/dev/null)"
say installed "$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p')"
say ce_version "$(dpkg-query -W -f='${db:Status-Status} ${Version}' docker-ce 2>/dev/null | sed -n 's/^installed //p')"
say engine "$(command -v dockerd)"
say default_interfaces "$( (ip -4 route show default; ip -6 route show default) 2>/dev/null |
    sed -n 's/.* dev \([^ ]*\).*/\1/p' | sort -u)"

# What the host does with incoming packets no rule names: Docker's userland proxy listens like any program.
say input6 "$(ip6tables -w 5 -S INPUT 2>/dev/null | sed -n '1s/^-P INPUT //p')"

# Repository files of Docker that somebody else wrote, and our own with its key.
say foreign_repositories "$(grep -lsE '^[^#]*https?://[^ ]*/linux/(debian|ubuntu)' /etc/apt/sources.list \
    /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
    xargs -r grep -ls 'docker' | grep -v '/landfall-docker.sources$')"
say sources "$(encoded /etc/apt/sources.list.d/landfall-docker.sources)"
say key "$(encoded /etc/apt/keyrings/landfall-docker.asc)"

say daemon_json "$(encoded /etc/docker/daemon.json)"
say record "$(encoded /etc/landfall/docker.json)"

# Whether the running daemon has read the file that is there: it is not younger than the daemon's start.
started=$(systemctl show docker.service --property=ActiveEnterTimestamp --value 2>/dev/null)
loaded=no
if [ -n "$started" ] && started=$(date -d "$started" +%s 2>/dev/null); then
    changed=$(stat -c %Y /etc/docker/daemon.json 2>/dev/null || echo 0)
    [ "$changed" -le "$started" ] && loaded=yes
fi
say loaded "$loaded"

ready=
for unit in docker.service landfall-docker-firewall.service; do
    systemctl --quiet is-active "$unit" 2>/dev/null && systemctl --quiet is-enabled "$unit" 2>/dev/null &&
        ready="$ready $unit"
done
say ready_units "$ready"

if [ -x /usr/local/sbin/landfall-docker-firewall ] && /usr/local/sbin/landfall-docker-firewall check >/dev/null 2>&1; then
    say guarded yes
else
    say guarded no
fi

if docker info --format 'swarm={{.Swarm.LocalNodeState}}
live_restore={{.LiveRestoreEnabled}}
running={{.ContainersRunning}}
version={{.ServerVersion}}' 2>/dev/null; then :; fi
say compose "$(docker compose version --short 2>/dev/null | sed 's/^v//')"
