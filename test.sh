#!/usr/bin/env bash
# Builds and tests everything; ends with "N passed, N failed, N skipped", every failure and every
# skip with its reason above it. Exit status 0 when nothing failed.
#
#   ./test.sh             all of it
#   ./test.sh STAGE...    some of: dev format asan tsan fuzz
#
#   dev     all programs and tests, the package and its consumer, the rules of the house
#   format  clang-format over every C and C++ file
#   asan    the tests again under the address and undefined-behaviour sanitizers
#   tsan    the tests with threads (label "concurrent") under the thread sanitizer
#   fuzz    the fuzzers for some seconds each
set -uo pipefail
cd "$(dirname "$0")" || exit 1
exec </dev/null

stages=("$@")
(( ${#stages[@]} )) || stages=(dev format asan tsan fuzz)
for stage in "${stages[@]}"; do
  case $stage in
    dev|format|asan|tsan|fuzz) ;;
    *) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 2 ;;
  esac
done

jobs=$(nproc)
results=build/results
rm -rf "$results"
mkdir -p "$results"
launcher=()
if command -v ccache >/dev/null; then
  export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
  launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
fi
# A leak or a race fails the test that has it; halting at the first keeps the report readable.
export UBSAN_OPTIONS=print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
# Sources of this repository only: baselines of phub-perf may run as root in a container.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

say() { printf '\n== %s (%d s)\n' "$*" "$SECONDS"; }

# step STAGE NAME COMMAND...: one test that is a command; its output is shown when it fails.
step() {
  local stage=$1 name=$2 log=$results/$1.$2.log
  shift 2
  if "$@" >"$log" 2>&1; then
    echo "$stage $name passed" >>"$results/steps"
  else
    echo "$stage $name failed: $*" >>"$results/steps"
    tail -n 60 "$log"
    return 1
  fi
}

configure() {
  say "$1: build"
  step "$1" configure cmake --preset "$1" "${launcher[@]}"
}

# build STAGE TARGET...: without targets everything.
build() {
  local stage=$1
  shift
  step "$stage" build cmake --build "build/$stage" --parallel "$jobs" ${1:+--target "$@"}
}

# run STAGE CTEST_ARGUMENT...: the whole output is kept, because the summary counts its cases.
run() {
  local stage=$1
  shift
  say "$stage: run"
  ctest --test-dir "build/$stage" --parallel "$jobs" --output-on-failure --no-tests=error \
    --output-junit "$PWD/$results/$stage.xml" \
    --test-output-size-passed 16000000 --test-output-size-failed 16000000 "$@" |
    grep -vE '^ *(Start +[0-9]+:|[0-9]+/[0-9]+ .* Passed )'
}

# Build targets among the tests that ctest selects; a test that is a script has none.
targets_of() {
  local stage=$1 name
  shift
  ctest --test-dir "build/$stage" -N "$@" | sed -n 's/^ *Test *#[0-9]*: //p' |
    while read -r name; do
      ninja -C "build/$stage" -t query "$name" >/dev/null 2>&1 && echo "$name"
    done
}

run_dev() { configure dev && build dev && run dev; }

run_format() {
  say format
  find . -name 'build*' -prune -o \( -name '*.cc' -o -name '*.h' -o -name '*.c' -o -name '*.cu' \) \
    -print0 | step format clang-format xargs -0 clang-format-14 --dry-run -Werror
}

# Without hwloc's plugins: their PCI library leaks what it found, and no test needs a NIC.
run_asan() {
  configure asan && build asan && HWLOC_PLUGINS_PATH=/none run asan -LE 'unsanitized|fuzz'
}

# run_label STAGE LABEL: builds and runs only the tests that have the label.
run_label() {
  configure "$1" || return
  local targets
  mapfile -t targets < <(targets_of "$1" -L "$2")
  build "$1" "${targets[@]}" && run "$1" -L "$2"
}

run_tsan() { run_label tsan concurrent; }

run_fuzz() { run_label fuzz fuzz; }

say packages
step packages install cmake/install-packages.sh test
for stage in "${stages[@]}"; do "run_$stage"; done
say summary
exec python3 tests/repo/summary.py "$results"
