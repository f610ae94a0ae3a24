#!/usr/bin/env bash
# How fast puts of 32 KiB are over verbs, beside ib_write_bw on the same devices: MiB/s, in turns,
# the median of each at each depth, and the ratio of the best. A measurement, not a test.
#   tests/rdma/vm.sh tests/rdma/write_rate.sh PUTS_BENCH [ROUNDS]
set -euo pipefail
bench=$1 rounds=${2:-3}
size=32768 depths=(1 2 4 16)
results=$(mktemp -d)

# The GID of the IPv4 address: behind the link-local one.
ib_write() {
  local common=(--gid-index 1 --size "$size" --tx-depth "$1" --iters 1500 --CPU-freq)
  ib_write_bw --ib-dev rxe0 "${common[@]}" >/dev/null 2>&1 &
  local server=$!
  until ss -ltn | grep -q :18515; do sleep 0.05; done
  ib_write_bw --ib-dev rxe1 "${common[@]}" 10.77.0.1 2>/dev/null |
    awk -v size="$size" '$1 == size { print $4 }' >>"$results/ib_write_bw.$1"
  wait "$server"
}

puts() {
  "$bench" --from rxe1 --to rxe0 --sizes "$size" --depths "$1" --milliseconds 1000 --tries 1 |
    awk '$1 == "verbs" { print $4 }' >>"$results/puts.$1"
}

median() { sort -n "$1" | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }

for (( round = 0; round < rounds; round++ )); do
  for depth in "${depths[@]}"; do
    if (( round % 2 )); then puts "$depth"; ib_write "$depth"
    else ib_write "$depth"; puts "$depth"
    fi
  done
done
echo "depth  ib_write_bw      puts"
for depth in "${depths[@]}"; do
  echo "$depth $(median "$results/ib_write_bw.$depth") $(median "$results/puts.$depth")"
done | awk '
  { printf "%5d %12.2f %9.2f\n", $1, $2, $3 }
  $2 > theirs { theirs = $2 }
  $3 > ours { ours = $3 }
  END { printf "best against best: %.0f %%\n", 100 * ours / theirs }'
