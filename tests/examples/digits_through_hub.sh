#!/usr/bin/env bash
# Goal: training through the hub gives, bit for bit, what one process computes.
# Method: a real hub, four real processes, and the checksums of the weights.
#   digits_through_hub.sh PHUBD DIGITS
set -euo pipefail
phubd=$1 digits=$2
scratch=$(mktemp -d "${TMPDIR:-/tmp}/phub.XXXXXX")
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$scratch"' EXIT

mkfifo "$scratch/ready"
"$phubd" --listen "shm://$scratch/hub.sock" --http off --ready-fd 9 9>"$scratch/ready" &
read -r -t 30 _ <"$scratch/ready" || { echo "phubd did not become ready within 30 s"; exit 1; }

export PHUB_HUB=shm://$scratch/hub.sock PHUB_JOB=digits PHUB_SIZE=4
workers=()
for rank in 3 2 1 0; do
  PHUB_RANK=$rank "$digits" --epochs 5 >"$scratch/rank$rank" 2>&1 &
  workers+=($!)
done
for worker in "${workers[@]}"; do wait "$worker" || { cat "$scratch"/rank*; exit 1; }; done
"$digits" --local --ranks 4 --epochs 5 >"$scratch/alone"

wanted=$(sed -n 's/^one process: //p' "$scratch/alone")
for rank in 0 1 2 3; do
  got=$(sed -n "s/^rank $rank of 4: //p" "$scratch/rank$rank")
  [[ -n $wanted && $got == "$wanted" ]] || { echo "rank $rank: $got; alone: $wanted"; exit 1; }
done
echo "4 ranks and one process: $wanted"
