#!/usr/bin/env bash
# For the scripts beside it: a hub of one's own on this machine.
#
#   source hub.sh
#   start_hub            # Sets PHUB_HUB and PHUB_SECRET; the hub ends with the script.
#
# It listens over TCP and over shared memory, and PHUB_HUB is HOST:PORT: each worker takes shared
# memory where it can.
#
# HUB_HOST   how workers reach this machine (default: its name)
# HUB_BIND   where the hub listens (default: 0.0.0.0)
# HUB_PORT   its port (default: any free one)
# PHUBD      the program (default: phubd); PHUBD_SHARDS and the like are its options

start_hub() {
  local line port
  hub_folder=$(mktemp -d /tmp/phub-hub.XXXXXX)
  # A fresh secret: others on the network cannot join.
  export PHUB_SECRET=${PHUB_SECRET:-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')}
  exec {hub_output}< <(exec "${PHUBD:-phubd}" --http off \
    --listen "shm://$hub_folder/hub.sock,tcp://${HUB_BIND:-0.0.0.0}:${HUB_PORT:-0}")
  hub_process=$!
  trap 'kill "$hub_process" 2>/dev/null || true; rm -rf "$hub_folder"' EXIT
  # The first line comes when workers can join:
  # "phubd 0.1.0 ready: shm://..., tcp://0.0.0.0:41234, http ...".
  if ! read -r line <&"$hub_output" || [[ ! $line =~ tcp://[^\ ,]*:([0-9]+) ]]; then
    echo "the hub did not start" >&2
    return 1
  fi
  port=${BASH_REMATCH[1]}
  export PHUB_HUB=${HUB_HOST:-$(hostname)}:$port
}
