#!/usr/bin/env bash
# Goal: the wheel that install.sh has built works beside MXNet and the old NumPy that it wants.
# Method: into a virtual environment of its own, with what is pinned in requirements-mxnet.txt.
#   install_mxnet.sh PYTHON SOURCE_FOLDER SCRATCH_FOLDER
set -euo pipefail
python=$1 source=$2 scratch=$3
pinned=$source/tests/python/requirements-mxnet.txt

if ! cmp -s "$pinned" "$scratch/installed-mxnet.txt"; then
  rm -rf "$scratch/venv-mxnet"
  "$python" -m venv "$scratch/venv-mxnet"
  "$scratch/venv-mxnet/bin/pip" install --quiet -r "$pinned"
  cp "$pinned" "$scratch/installed-mxnet.txt"
fi
"$scratch/venv-mxnet/bin/pip" install --quiet --no-deps --force-reinstall \
  "$scratch"/wheel/phub-*.whl
cd "$scratch"
"$scratch/venv-mxnet/bin/python" -c 'import phub.mxnet; print(phub.mxnet.PHub.__name__)'
