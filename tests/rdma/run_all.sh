#!/usr/bin/env bash
# Runs every command line, whatever the others do: run_all.sh "COMMAND LINE"...
# So that one boot of the virtual machine serves all. Exit status 1 when one failed.
(( $# )) || { echo "nothing to run"; exit 2; }
failed=0
for line in "$@"; do
  echo "-- $line"
  bash -c "$line" || { echo "-- exit status $?: $line"; failed=1; }
done
exit "$failed"
