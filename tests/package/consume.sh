#!/usr/bin/env bash
# Goal: what `cmake --install` leaves behind is enough to build and run a trainer.
# Method: install into a folder, move it (nothing may remember where it was), then build a C++
# consumer with find_package and a C consumer with pkg-config, and run both.
#   consume.sh BUILD_FOLDER SCRATCH_FOLDER CXX CC
set -euo pipefail
build=$1 scratch=$2 cxx=$3 cc=$4
sources=$(cd "$(dirname "$0")" && pwd)/consumer

rm -rf "$scratch"
mkdir -p "$scratch"
cmake --install "$build" --prefix "$scratch/first" >"$scratch/install.log"
mv "$scratch/first" "$scratch/phub"

cmake -S "$sources" -B "$scratch/build" -DCMAKE_PREFIX_PATH="$scratch/phub" \
  -DCMAKE_CXX_COMPILER="$cxx" >"$scratch/configure.log"
cmake --build "$scratch/build"
"$scratch/build/consumer"

PKG_CONFIG_PATH=$(dirname "$(find "$scratch/phub" -name phub.pc)")
export PKG_CONFIG_PATH
read -r -a flags <<<"$(pkg-config --cflags --libs phub)"
"$cc" -Wall -Werror -o "$scratch/c_consumer" "$sources/consumer.c" "${flags[@]}" \
  -Wl,-rpath,"$(pkg-config --variable=libdir phub)"
"$scratch/c_consumer"

# Third-party code inside the library must not be visible to the trainer it is loaded into.
library=$(find "$scratch/phub" -name libphub.so)
if nm -DC --defined-only "$library" | awk '{$1 = $2 = ""; print}' | grep -v '^ *phub'; then
  echo "libphub.so shows symbols that are not PHub's" >&2
  exit 1
fi
for program in phubd phubctl phub-perf; do
  "$scratch/phub/bin/$program" --help >"$scratch/$program.help"
done
# phub-perf finds its models where they were installed.
echo "only,1000" >"$scratch/phub/share/phub/models/installed_only.csv"
"$scratch/phub/bin/phub-perf" exchange --model installed_only --workers 2 --rounds 2 --warmup 1 \
  --repeats 1 --no-roof >"$scratch/exchange.table"
