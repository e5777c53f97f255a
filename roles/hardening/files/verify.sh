#!/bin/sh
# Prints one line for each thing that is wrong, with what to do; nothing when all is well.
# Arguments: the names of what to look at (sshd, fail2ban).
for what in "$@"; do
    case $what in
        sshd)
            /usr/sbin/sshd -T 2>/dev/null | grep -qx 'x11forwarding no' ||
                echo 'sshd: /etc/ssh/sshd_config.d/10-landfall.conf has no effect; see "sshd -T" and earlier drop-ins'
            ;;
        fail2ban)
            # Started a moment ago, it answers after a second or two.
            for _ in 1 2 3 4 5 6 7 8 9 10; do
                fail2ban-client status sshd >/dev/null 2>&1 && break
                sleep 0.5
            done
            fail2ban-client status sshd >/dev/null 2>&1 ||
                echo 'fail2ban: the jail sshd does not run; see "journalctl -u fail2ban"'
            ;;
    esac
done
