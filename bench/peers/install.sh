#!/usr/bin/env bash
# Installs the public servers that `measure.sh` loads, from the package registries, into the folder `installed` beside
# this file (Mosquitto into the system, by apt). Wants npm, cargo, and root or sudo for apt.
set -euo pipefail
cd "$(dirname "$0")"

WS=8.23.0
WEBSOCAT=1.14.1

mkdir -p installed
npm install --silent --no-fund --no-audit --prefix installed "ws@$WS"
# Without TLS: its mirror of TCP is all that is wanted.
cargo install --quiet --locked --root installed --no-default-features --version "$WEBSOCAT" websocat
if ! PATH="$PATH:/usr/sbin" command -v mosquitto >/dev/null; then
    as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
    "${as_root[@]}" apt-get update -q
    # Not started as a service: measure.sh starts one of its own.
    "${as_root[@]}" env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends mosquitto
fi
