#!/bin/sh
# Reads the host and prints what the role decides on, one key=value a line. Changes nothing.
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH

missing=
for program in certbot openssl; do
    command -v "$program" >/dev/null 2>&1 || missing="$missing $program"
done
echo "missing=${missing# }"

# Nothing is left to do about the timer when it is enabled and active, and about the distribution's when it is masked.
if systemctl --quiet is-active landfall-certificates.timer 2>/dev/null &&
    systemctl --quiet is-enabled landfall-certificates.timer 2>/dev/null; then
    echo timer=ready
else
    echo timer=
fi
echo "certbot_timer=$(systemctl is-enabled certbot.timer 2>/dev/null)"
