#!/bin/sh
# Reads the host and prints what the role decides on, one key=value a line. Changes nothing.
#   probe.sh STACK IDENTITY PACKAGE...
LC_ALL=C
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
stack=$1 identity=$2
shift 2

missing=
for package; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
done
echo "missing=${missing# }"

if [ -s "$identity" ] && command -v age-keygen >/dev/null; then
    echo "recipient=$(age-keygen -y "$identity")"
else
    echo recipient=
fi

for kind in backup drill archive base full; do
    timer="landfall-$kind-$stack.timer"
    if systemctl --quiet is-active "$timer" 2>/dev/null && systemctl --quiet is-enabled "$timer" 2>/dev/null; then
        echo "$kind=started"
    elif systemctl --quiet is-active "$timer" 2>/dev/null || systemctl --quiet is-enabled "$timer" 2>/dev/null; then
        echo "$kind=half"
    else
        echo "$kind=stopped"
    fi
done
