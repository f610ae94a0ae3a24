#!/usr/bin/env bash
# Goal: the scripts of examples/launch bring up a hub and workers that find it and each other.
# Method: each as a user would call it, with examples/hello, on the loopback; two ranks push 1 and
# 2, so that both must see a sum of 3, and the hub must be gone afterwards.
#   launch.sh mpirun|torchrun|ssh PHUBD HELLO
set -euo pipefail
launcher=$1 hello=$3
folder=$(cd "$(dirname "$0")" && pwd)
scripts=$folder/../../examples/launch
scratch=$(mktemp -d "${TMPDIR:-/tmp}/phub-launch.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
# A name of its own, by which a hub that was left behind can be told from others.
ln -s "$2" "$scratch/phubd"
export PHUBD=$scratch/phubd HUB_BIND=127.0.0.1 HUB_HOST=127.0.0.1 PHUBD_SHARDS=1

case $launcher in
  mpirun)
    command -v mpirun >/dev/null || { echo "skipped: no mpirun (openmpi-bin)"; exit 77; }
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    "$scripts/mpirun.sh" 2 --oversubscribe --mca btl self,vader -- "$hello" >"$scratch/output" ;;
  torchrun)
    export TORCHRUN=$folder/torchrun PHUB_SECRET=0123456789abcdef NODES=2
    HUB_PORT=$(( 20000 + $$ % 10000 ))
    export HUB_PORT
    NODE_RANK=1 "$scripts/torchrun.sh" 1 "$hello" >"$scratch/second" &
    NODE_RANK=0 "$scripts/torchrun.sh" 1 "$hello" >"$scratch/first"
    wait $!
    cat "$scratch/first" "$scratch/second" >"$scratch/output" ;;
  ssh)
    # Runs the command here, as the remote shell of any host would.
    printf '#!/bin/sh\nshift\nexec sh -c "$1"\n' >"$scratch/ssh"
    chmod +x "$scratch/ssh"
    SSH=$scratch/ssh "$scripts/ssh.sh" "here there" "$hello" >"$scratch/output" ;;
esac

cat "$scratch/output"
for rank in 0 1; do
  grep -q "^rank $rank of 2: pushed $(( rank + 1 )), the sum of all is 3$" "$scratch/output"
done
for (( i = 0; i < 100; ++i )); do
  grep -qsa "$scratch/[p]hubd" /proc/[0-9]*/cmdline || exit 0
  sleep 0.1
done
echo "the hub is still there"
exit 1
