#!/usr/bin/env bash
# Installs the Debian packages that are missing: install-packages.sh run | test
# run: what quickstart.sh needs; test: that, and what test.sh needs. Asks for nothing; uses sudo
# when not root. Installs nothing, and needs no rights, when all is there.
set -euo pipefail

packages=(
  g++ cmake ninja-build pkgconf
  libhwy-dev libtbb-dev libhwloc-dev libboost-program-options-dev
  libcpp-httplib-dev nlohmann-json3-dev libssl-dev openssl libspdlog-dev libsystemd-dev
  libibverbs-dev
  libopenmpi-dev openmpi-bin libgloo-dev
  python3 python3-matplotlib python3-dev python3-venv
)
[[ $(dpkg --print-architecture) != amd64 ]] || packages+=(libipsec-mb-dev)
if [[ ${1:-} == test ]]; then
  packages+=(git libgtest-dev libgmock-dev libbenchmark-dev
             clang-14 libclang-rt-14-dev clang-format-14
             dpkg-dev file mandoc zsh iproute2 systemd-container
             slurmctld slurmd slurm-client munge
             qemu-system-x86 busybox-static cpio kmod xz-utils
             rdma-core ibverbs-providers ibverbs-utils perftest
             libdpdk-dev)
elif [[ ${1:-} != run ]]; then
  echo "usage: $0 run | test" >&2
  exit 2
fi

missing=()
for package in "${packages[@]}"; do
  state=$(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null || true)
  [[ $state == "ii "* ]] || missing+=("$package")
done
(( ${#missing[@]} )) || exit 0

echo "installing: ${missing[*]}"
as_root=()
if (( EUID != 0 )); then
  command -v sudo >/dev/null || {
    echo "packages are missing and there is no sudo; as root run:" \
         "apt-get install ${missing[*]}" >&2
    exit 1
  }
  as_root=(sudo)
fi
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq </dev/null
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null >/dev/null
