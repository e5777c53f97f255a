#!/bin/sh
# Prints one line for each thing that is wrong, with what to do; nothing when all is well.
# Arguments: what to look at (sshd, nftables, fail2ban:JAIL,JAIL…).
for what in "$@"; do
    case $what in
        sshd)
            /usr/sbin/sshd -T 2>/dev/null | grep -qx 'x11forwarding no' ||
                echo 'sshd: /etc/ssh/sshd_config.d/10-landfall.conf has no effect; see "sshd -T" and earlier drop-ins'
            ;;
        nftables)
            # fail2ban makes its table with the first ban, too late to be told that it cannot.
            nft list tables >/dev/null 2>&1 ||
                echo 'fail2ban: "nft list tables" fails, so it could ban nobody; set hardening_fail2ban_ban_action to iptables-multiport'
            ;;
        fail2ban:*)
            for jail in $(printf '%s' "${what#*:}" | tr , ' '); do
                # Started a moment ago, it answers after a second or two.
                for _ in 1 2 3 4 5 6 7 8 9 10; do
                    fail2ban-client status "$jail" >/dev/null 2>&1 && continue 2
                    sleep 0.5
                done
                echo "fail2ban: the jail $jail does not run; see \"journalctl -u fail2ban\""
            done
            ;;
    esac
done
