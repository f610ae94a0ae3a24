#!/usr/bin/env bash
# Workers by torchrun, which sets RANK and WORLD_SIZE, and a hub on the first node. On every node:
#
#   NODES=2 NODE_RANK=0 MASTER_ADDR=node0 torchrun.sh WORKERS_PER_NODE train.py [ARGUMENT]...
#
# The hub listens on port HUB_PORT (7077) of MASTER_ADDR, beside torchrun's own MASTER_PORT. The
# secret must be the same everywhere, so it is not made up here: set PHUB_SECRET, or
# PHUB_SECRET_FILE to a file that all nodes see.
set -euo pipefail
source "$(dirname "$0")/hub.sh"

if (( $# < 2 )); then
  echo "usage: NODES=N NODE_RANK=I MASTER_ADDR=HOST $0 WORKERS_PER_NODE PROGRAM [ARGUMENT]..." >&2
  exit 2
fi
: "${PHUB_SECRET:=$(cat "${PHUB_SECRET_FILE:-/dev/null}")}"
: "${PHUB_SECRET:?set it, or PHUB_SECRET_FILE, to the same on every node}"
unset PHUB_SECRET_FILE
export PHUB_SECRET
export MASTER_ADDR=${MASTER_ADDR:-127.0.0.1} HUB_PORT=${HUB_PORT:-7077}
export HUB_HOST=$MASTER_ADDR PHUB_HUB=$MASTER_ADDR:$HUB_PORT
per_node=$1
shift

if (( ${NODE_RANK:-0} == 0 )); then
  start_hub
else
  for (( i = 0; i < 600; ++i )); do
    (exec 3<>"/dev/tcp/$MASTER_ADDR/$HUB_PORT") 2>/dev/null && break
    sleep 0.1
  done
fi

"${TORCHRUN:-torchrun}" --nnodes "${NODES:-1}" --node-rank "${NODE_RANK:-0}" \
  --nproc-per-node "$per_node" --master-addr "$MASTER_ADDR" \
  --master-port "${MASTER_PORT:-29500}" "$@"
