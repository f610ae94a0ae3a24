#!/usr/bin/env bash
# From a fresh Debian 12 to a trained model and a report, on one machine:
#   1. installs the packages that are missing (apt), 2. builds Release,
#   3. starts a hub and four workers that train on handwritten digits through it,
#   4. compares with training in one process,
#   5. measures PHub beside Open MPI and Gloo, with tables and plots in report/.
#
#   ./quickstart.sh [--no-sweep]
#
# Needs no arguments and asks nothing. Everything it starts ends with it.
set -euo pipefail
cd "$(dirname "$0")"

sweep=yes
case ${1:-} in
  "") ;;
  --no-sweep) sweep=no ;;
  *) sed -n '2,10s/^# \{0,1\}//p' "$0"; [[ $1 == --help || $1 == -h ]] && exit 0 || exit 2 ;;
esac

worker_count=4
build=build/release
if [[ -t 1 ]]; then bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
else bold='' green='' red='' plain=''; fi
say() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
fail() { printf '%s%s%s\n' "$red" "$*" "$plain" >&2; exit 1; }

scratch=$(mktemp -d "${TMPDIR:-/tmp}/phub.XXXXXX")
started=()
clean_up() {
  local status=$?
  trap - EXIT INT TERM
  (( ${#started[@]} )) && kill "${started[@]}" 2>/dev/null || true
  wait 2>/dev/null || true
  if (( status != 0 )); then
    for log in "$scratch"/*.log; do
      [[ -s $log ]] && { echo "-- end of ${log##*/}"; tail -n 20 "$log"; } >&2
    done
  fi
  rm -rf "$scratch"
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

install() {
  say "1/5  packages"
  cmake/install-packages.sh run
  echo "all there"
}

build() {
  say "2/5  build (Release, $(nproc) at a time)"
  local options=(-DPHUB_BUILD_TESTS=OFF)
  command -v ccache >/dev/null && options+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  cmake --preset release "${options[@]}" >"$scratch/configure.log"
  cmake --build "$build" --parallel "$(nproc)"
}

start_hub() {
  say "3/5  a hub and $worker_count workers over shared memory"
  mkfifo "$scratch/ready"
  "$build/phub/phubd" --listen "shm://$scratch/hub.sock" --http 127.0.0.1:0 --ready-fd 9 \
    9>"$scratch/ready" >"$scratch/phubd.log" 2>&1 &
  started+=($!)
  read -r -t 30 ready <"$scratch/ready" || fail "phubd did not become ready within 30 s"
  echo "$ready"
}

# One process per rank, as on as many machines. Rank 0 speaks; the others only when they fail.
train() {
  local rank workers=()
  export PHUB_HUB=shm://$scratch/hub.sock PHUB_JOB=digits PHUB_SIZE=$worker_count
  for (( rank = worker_count - 1; rank > 0; --rank )); do
    PHUB_RANK=$rank "$build/examples/digits/digits" >"$scratch/rank$rank.log" 2>&1 &
    workers+=($!)
  done
  started+=("${workers[@]}")
  PHUB_RANK=0 "$build/examples/digits/digits" | tee "$scratch/rank0.log"
  for rank in "${workers[@]}"; do wait "$rank" || fail "a worker failed"; done
  printf '\nwhat the hub says (phubctl status):\n'
  "$build/phub/phubctl" --http "$(sed 's/.*http \([^,]*\),.*/\1/' <<<"$ready")" status
}

compare() {
  say "4/5  the same in one process, without a hub"
  "$build/examples/digits/digits" --local --ranks "$worker_count" | tee "$scratch/local.log"
  local with_hub alone
  with_hub=$(sed -n 's/^rank 0.*: test accuracy //p' "$scratch/rank0.log")
  alone=$(sed -n 's/^one process: test accuracy //p' "$scratch/local.log")
  printf '\n%-28s %s\n' "$worker_count workers and the hub:" "$with_hub" "one process:" "$alone"
  if [[ -n $with_hub && $with_hub == "$alone" ]]; then
    echo "${green}equal, to the last bit of every weight${plain}"
  else
    fail "the weights differ"
  fi
}

# Open MPI refuses root unless told twice; here root is whoever unpacked a fresh machine.
measure() {
  say "5/5  throughput beside Open MPI and Gloo, on the same bytes and in the same run"
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  local perf=("$build/perf/phub-perf" exchange --fabric shm --repeats 3)
  rm -rf report
  mkdir -p report
  "${perf[@]}" --size 4KiB,64KiB,1MiB,16MiB,64MiB --workers 2 --rounds 20 --vs openmpi,gloo \
    --json report/results.jsonl
  "${perf[@]}" --model resnet18,resnet50 --workers 2,4 --rounds 5 --vs openmpi,gloo \
    --json report/results.jsonl
  "${perf[@]}" --model resnet50 --workers 2 --rounds 5 --chunk-bytes 4KiB,256KiB,4MiB \
    --json report/results.jsonl
  # Debian's Python: it has the matplotlib that step 1 has installed.
  /usr/bin/python3 perf/report.py report/results.jsonl --out report
}

install
build
start_hub
train
compare
if [[ $sweep == yes ]]; then
  measure
  say "done in $SECONDS s"
  printf 'look at %s/report/index.md and the plots beside it:\n' "$PWD"
  ls report/*.svg report/*.png 2>/dev/null || true
else
  say "done in $SECONDS s"
fi
echo "next: README.md; examples/hello is the program to copy; ./test.sh runs the tests"
