#!/bin/sh
# Reads the host and prints what the role decides on, one key=value a line. Changes nothing.
# $1: the deploy user's name ("" for none); $2: the user of the next logins ("" for the one of this run); the other
# arguments: packages to look for.
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
deploy=$1
login=$2
shift 2

say() { printf '%s=%s\n' "$1" "$(printf '%s' "$2" | tr '\n' ' ' | sed 's/  */ /g; s/^ //; s/ $//')"; }

# shellcheck source=/dev/null
distribution=$(. /etc/os-release && printf '%s %s' "$ID" "$VERSION_ID")
say distribution "$distribution"
say container "$(systemd-detect-virt --container 2>/dev/null)"
say installed "$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p')"

# A unit counts as ready when it is enabled and active: then nothing is left to do about it.
ready=
for unit in fail2ban.service unattended-upgrades.service systemd-timesyncd.service landfall-reboot.timer; do
    systemctl --quiet is-active "$unit" 2>/dev/null && systemctl --quiet is-enabled "$unit" 2>/dev/null &&
        ready="$ready $unit"
done
say ready_units "$ready"

# Files and directories of root that others may read or search. A directory that is not there yet counts as open: the
# next package with a job would make it so.
loose=
for file in /etc/crontab /etc/ssh/sshd_config; do
    [ -n "$(find "$file" -maxdepth 0 -perm /077 2>/dev/null)" ] && loose="$loose $file"
done
say loose_files "$loose"
loose=
for directory in /etc/cron.d /etc/cron.hourly /etc/cron.daily /etc/cron.weekly /etc/cron.monthly; do
    [ -d "$directory" ] && [ -z "$(find "$directory" -maxdepth 0 -perm /077)" ] || loose="$loose $directory"
done
say loose_directories "$loose"

connecting=${SUDO_USER:-$(id -un)}
say connecting_user "$connecting"
users=
for user in $deploy $connecting $login; do
    case " $users " in *" $user "*) continue ;; esac
    getent passwd "$user" >/dev/null && users="$users $user"
done
say users "$users"

if [ -n "$deploy" ] && account=$(getent passwd "$deploy"); then
    say deploy_shell "${account##*:}"
    say deploy_groups "$(id -Gn "$deploy")"
    home=$(printf '%s' "$account" | cut -d: -f6)
    say deploy_keys "$([ -r "$home/.ssh/authorized_keys" ] && base64 -w0 "$home/.ssh/authorized_keys")"
fi

# The port this run came in by, as the host sees it; sudo takes the variable away, so it is looked for further up.
pid=$$
port=
while [ "${pid:-1}" -gt 1 ]; do
    port=$(tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | sed -n 's/^SSH_CONNECTION=.* //p')
    [ -n "$port" ] && break
    pid=$(sed 's/^.*) [A-Za-z] \([0-9]*\) .*/\1/' "/proc/$pid/stat" 2>/dev/null)
done
say ssh_port_in_use "$port"
say put_back "$([ -e /var/lib/landfall/lockout/put-back.json ] && echo yes)"

if ! command -v sshd >/dev/null 2>&1; then
    say sshd no
    exit 0
fi
say sshd yes
config=$(sshd -T 2>/dev/null || sshd -T -C "user=$connecting,host=localhost,addr=127.0.0.1" 2>/dev/null)
listening=$(ss -Htlnp 2>/dev/null | awk '/"sshd"/ { n = split($4, part, ":"); print part[n] }')
if systemctl --quiet is-active ssh.socket 2>/dev/null; then
    # Socket activation (Ubuntu): the port stands in the socket unit, not in sshd_config.
    say ssh_socket yes
    listening="$listening
$(systemctl show ssh.socket --property=Listen --value 2>/dev/null | sed -n 's/.*:\([0-9]*\) (Stream)$/\1/p')"
else
    say ssh_socket no
fi
say ssh_service "$(systemctl is-active ssh.service 2>/dev/null)"
configured=$(printf '%s\n' "$config" | sed -n 's/^port //p')
say ssh_ports "$(printf '%s\n%s\n' "$listening" "$configured" | grep -E '^[0-9]+$' | sort -un)"
say ssh_include "$(grep -Eqi '^[[:space:]]*Include[[:space:]].*sshd_config\.d' /etc/ssh/sshd_config && echo yes || echo no)"

# The host's own keys, by kind and length.
bits=
for file in $(printf '%s\n' "$config" | sed -n 's/^hostkey //p'); do
    bits="$bits $(ssh-keygen -lf "$file" 2>/dev/null | sed -n 's/^\([0-9]*\) .*(\([A-Z0-9]*\))$/\2=\1/p')"
done
say host_key_bits "$bits"

# Who can log in with a key. A key with a forced command (cloud images put one on root) is no login.
files=$(printf '%s\n' "$config" | sed -n 's/^authorizedkeysfile //p')
key_users=
for user in $users; do
    home=$(getent passwd "$user" | cut -d: -f6)
    for file in ${files:-.ssh/authorized_keys}; do
        file=$(printf '%s' "$file" | sed "s|%h|$home|g; s|%u|$user|g; s|%%|%|g")
        case $file in
            /*) ;;
            *) file=$home/$file ;;
        esac
        # StrictModes: sshd reads no file that others may write.
        if [ -s "$file" ] && [ -z "$(find "$file" "${file%/*}" "$home" -maxdepth 0 -perm /022 2>/dev/null)" ] && grep -Ev '^[[:space:]]*#|command=' "$file" |
            grep -Eq '(ssh-(ed25519|rsa)|ecdsa-sha2-[a-z0-9-]+|sk-[a-z0-9-]+@openssh\.com)(-cert-v01@openssh\.com)? +AAAA'; then
            key_users="$key_users $user"
            break
        fi
    done
done
say key_users "$key_users"

# What is in force now: what verify.sh asks once something was changed.
say in_force "$(printf '%s\n' "$config" | grep -qx 'x11forwarding no' && echo sshd
    fail2ban-client status sshd >/dev/null 2>&1 && echo fail2ban)"
say jails "$(fail2ban-client status 2>/dev/null | sed -n 's/.*Jail list:[[:space:]]*//p' | tr -d ,)"

say kex "$(ssh -Q kex 2>/dev/null)"
say ciphers "$(ssh -Q cipher 2>/dev/null)"
say macs "$(ssh -Q mac 2>/dev/null)"
say host_keys "$(ssh -Q HostKeyAlgorithms 2>/dev/null)"
