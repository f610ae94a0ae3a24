#!/usr/bin/env bash
# Goal: `pip install .` builds and installs the Python package, with its programs.
# Method: by its wheel, into a virtual environment of this build, which the other tests of this
# folder use. What is pinned in requirements.txt is installed when that file changes; the package
# every time.
#   install.sh PYTHON SOURCE_FOLDER SCRATCH_FOLDER BUILD_FOLDER
set -euo pipefail
python=$1 source=$2 scratch=$3 build=$4
pinned=$source/tests/python/requirements.txt

mkdir -p "$scratch"
if ! cmp -s "$pinned" "$scratch/installed.txt"; then
  rm -rf "$scratch/venv"
  "$python" -m venv "$scratch/venv"
  "$scratch/venv/bin/pip" install --quiet -r "$pinned"
  cp "$pinned" "$scratch/installed.txt"
fi
# Not isolated and in a folder that stays, so that only what has changed is built; as the preset dev
# builds, and as deep in the tree, so that ccache knows most of it already.
rm -rf "$scratch/wheel"
"$scratch/venv/bin/pip" wheel --quiet --no-deps --no-build-isolation --wheel-dir "$scratch/wheel" \
  -C build-dir="$build" -C cmake.build-type=RelWithDebInfo \
  -C cmake.define.CMAKE_CXX_FLAGS_RELWITHDEBINFO="-O2 -g1" "$source"
"$scratch/venv/bin/pip" install --quiet --no-deps --force-reinstall "$scratch"/wheel/phub-*.whl

cd "$scratch"
for program in phubd phubctl phub-perf; do
  "$scratch/venv/bin/$program" --help >"$scratch/$program.help"
done
"$scratch/venv/bin/python" -c 'import phub, phub.torch; print(phub.Worker.__doc__.split(";")[0])'
# Whoever checks types finds them: also of the extension.
package=$("$scratch/venv/bin/python" -c 'import phub; print(phub.__path__[0])')
[[ -e $package/py.typed ]]
grep -q "def push_pull" "$package/_core.pyi"
