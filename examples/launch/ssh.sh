#!/usr/bin/env bash
# A hub on this machine and workers on others, by nothing but ssh. A host may stand there twice.
#
#   ssh.sh "node1 node1 node2" PROGRAM [ARGUMENT]...
#
# The program must lie at the same path on every host. The secret goes through standard input, so
# that no process list shows it. The first worker that fails ends the script with its status; the
# others are told by the hub.
set -euo pipefail
source "$(dirname "$0")/hub.sh"

if (( $# < 2 )); then
  echo "usage: $0 \"HOST...\" PROGRAM [ARGUMENT]..." >&2
  exit 2
fi
read -r -a hosts <<<"$1"
shift
start_hub

printf -v command '%q ' "$@"
workers=()
for rank in "${!hosts[@]}"; do
  "${SSH:-ssh}" "${hosts[rank]}" "read -r PHUB_SECRET; export PHUB_SECRET; \
    PHUB_HUB=$PHUB_HUB PHUB_RANK=$rank PHUB_SIZE=${#hosts[@]} exec $command" <<<"$PHUB_SECRET" &
  workers+=($!)
done
status=0
for worker in "${workers[@]}"; do
  wait "$worker" || { (( status )) || status=$?; }
done
exit "$status"
