#!/usr/bin/env bash
# A hub on this machine, and workers by Open MPI, which tells each its rank and their number:
#
#   mpirun.sh RANKS [MPIRUN OPTION]... -- PROGRAM [ARGUMENT]...
#   mpirun.sh 16 --hostfile hosts -- ./hello
#
# PHUB_HUB and PHUB_SECRET are passed on by name, so that no process list shows the secret.
set -euo pipefail
source "$(dirname "$0")/hub.sh"

usage() {
  echo "usage: $0 RANKS [MPIRUN OPTION]... -- PROGRAM [ARGUMENT]..." >&2
  exit 2
}
(( $# > 0 )) || usage
ranks=$1
shift
options=()
while (( $# > 0 )) && [[ $1 != -- ]]; do
  options+=("$1")
  shift
done
(( $# > 1 )) || usage
shift

start_hub
mpirun -n "$ranks" -x PHUB_HUB -x PHUB_SECRET "${options[@]}" "$@"
