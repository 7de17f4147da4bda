#!/bin/sh
# Brings the floating IP address to this Droplet, unless it has it already. While
# another move is under way the API refuses: then it is asked again.
set -u
. /etc/keepalived/floating-ip.conf
metadata=${METADATA:-http://169.254.169.254}/metadata/v1
api=${API:-https://api.digitalocean.com}
attempts=${ATTEMPTS:-10}
pause=${PAUSE:-3}

id=$(curl --silent --fail --max-time 2 "$metadata/id") || { echo "no metadata"; exit 1; }
for attempt in $(seq "$attempts"); do
    if [ "$(curl --silent --max-time 2 "$metadata/floating_ip/ipv4/active")" = true ]; then
        exit 0
    fi
    # The token goes in by standard input, where `ps` does not show it.
    status=$(printf 'header = "Authorization: Bearer %s"\n' "$TOKEN" |
        curl --silent --max-time 10 --config - --output /dev/null --write-out '%{http_code}' \
            --header 'Content-Type: application/json' \
            --data "{\"type\": \"assign\", \"droplet_id\": $id}" \
            "$api/v2/floating_ips/$FLOATING_IP/actions")
    [ "$status" = 201 ] && exit 0
    echo "attempt $attempt: the API says $status"
    sleep "$pause"
done
exit 1
