#!/usr/bin/env bash
# Loads public servers with `millpond bench idle`, one after the other, and puts their reports below the folder named
# first: idle memory, heartbeats and echo of each. Prints a table. Wants `install.sh` to have run, and a release build.
set -euo pipefail
cd "$(dirname "$0")/../.."

out=${1:?where the reports go, for example bench/runs/today-peers}
connections=${2:-15000}
bench=target/release/millpond
peers=bench/peers
export PATH="$PATH:/usr/sbin"
mkdir -p "$out"

measure() { # NAME ADDRESS COMMAND FLAGS…
    local name=$1 address=$2 command=$3
    shift 3
    "$bench" bench idle --connections "$connections" --ramp 3000/s --hold 15 --heartbeat 5 \
        --messages 10000 --rate 1000 --no-storm \
        --target "$address" --start "exec $command" "$@" --run-dir "$out/$name"
}

measure ws 127.0.0.1:18831 "node $peers/ws-echo.mjs 18831" --protocol websocket
measure mosquitto 127.0.0.1:18830 "mosquitto -c $peers/mosquitto.conf" --protocol mqtt --qos 1
measure websocat 127.0.0.1:18832 "$peers/installed/bin/websocat -b -E tcp-l:127.0.0.1:18832 mirror:" --protocol raw
"$bench" bench idle --connections "$connections" --ramp 3000/s --hold 15 --heartbeat 5 \
    --messages 10000 --rate 1000 --no-storm --run-dir "$out/millpond"

{
    echo "ws $(node -p "require('./$peers/installed/node_modules/ws/package.json').version"), node $(node --version)"
    { mosquitto -h || true; } | head -1
    "$peers/installed/bin/websocat" --version
    "$bench" --version
} | tee "$out/versions.txt"

python3 - "$out" <<'PY' | tee "$out/table.txt"
import json, pathlib, sys
rows = [("server", "bytes/conn", "its own", "÷ bare", "slope", "connects/s", "heartbeats missed", "message p50 µs", "p99 µs")]
for name in ("millpond", "ws", "mosquitto", "websocat"):
    figures = json.loads((pathlib.Path(sys.argv[1]) / name / "report.json").read_text())["figures"]
    memory, echo = figures["memory"], figures["messages"]["arrived"]
    rows.append((name, f"{memory['all']:,.0f}", f"{memory['user']:,.0f}", f"{memory['ratio']:.2f}",
                 f"{memory['slope']:,.0f}",
                 f"{figures['connects_per_second']:,.0f}", str(figures["held"]["heartbeats_missed"]),
                 f"{echo['p50_us']:,.0f}", f"{echo['p99_us']:,.0f}"))
widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
for row in rows:
    print("  ".join(cell.rjust(width) if at else cell.ljust(width) for at, (cell, width) in enumerate(zip(row, widths))))
PY
