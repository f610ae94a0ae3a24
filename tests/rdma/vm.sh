#!/usr/bin/env bash
# Runs a command in a small virtual machine with soft-RoCE devices: real RDMA verbs, no hardware.
#
#   vm.sh COMMAND [ARGUMENT...]
#
# The command runs as root and sees this machine's files, read-only: what it writes is lost. Its
# output comes here as it is written. Devices: guest.sh. Variables named PHUB_*, GTEST_* and
# *SAN_OPTIONS are handed on. There is no hardware acceleration, on purpose: it boots in four
# seconds without, and nested ones often do not boot at all. The guest has AVX2, but not AVX-512.
#
#   PHUB_VM_DEVICES=2    rxe0, rxe1, ...
#   PHUB_VM_MTU=4200     of their links: room for the largest RoCE MTU, 4096
#   PHUB_VM_SECONDS=300  time limit, boot included
#   PHUB_VM_CORES=2      with one, every hand-over between two that spin costs a tick
#   PHUB_VM_MIB=2048     memory
#   PHUB_VM_CACHE        where kernel and first file system are kept between runs;
#                        default: phub/rdma-vm in $XDG_CACHE_HOME or ~/.cache
#
# Exit status: the command's. 77: this machine cannot, and the last line says why. 124: the time
# limit. 125: the machine did not come up; its kernel's log was printed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${PHUB_VM_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/phub/rdma-vm}
seconds=${PHUB_VM_SECONDS:-300}

skip() {
  echo "skipped: $1"
  exit 77
}

# One image for each state of the scripts that make it; made by whoever comes first.
find_image() {
  local key
  key=$(cat "$here/make_image.sh" "$here/guest_init.sh" | sha256sum)
  image=$cache/${key::12}
  mkdir -p "$cache" 2>/dev/null || skip "cannot make $cache; set PHUB_VM_CACHE"
  exec 9>"$cache/lock"
  flock 9
  if [[ ! -e $image ]]; then
    "$here/make_image.sh" "$image" >"$cache/log" 2>&1 || {
      cat "$cache/log"
      skip "no image for the virtual machine; the lines above say why"
    }
  fi
  exec 9>&-
}

# What guest.sh reads.
write_orders() {
  declare -px | grep -E '^declare -x (PHUB_|GTEST_|[A-Z]*SAN_OPTIONS=)' || true
  printf 'devices=%q mtu=%q\n' "${PHUB_VM_DEVICES:-2}" "${PHUB_VM_MTU:-4200}"
  printf 'export PATH=%q HOME=%q LC_ALL=C.UTF-8\ncd %q\n' "$PATH" "${HOME:-/root}" "$PWD"
  printf 'command=(%s)\n' "$(printf '%q ' "$@")"
}

boot() {
  # The guest would measure its clock's rate, which fails on a busy machine and hangs the boot.
  local khz options
  khz=$(awk -F: '/^bogomips/ { printf "%d", $2 * 500; exit }' /proc/cpuinfo)
  options="console=ttyS0 panic=-1 loglevel=5 mitigations=off nokaslr"
  timeout --kill-after 5 "$seconds" qemu-system-x86_64 \
    -machine microvm,rtc=on -accel tcg,thread=multi -cpu max -no-user-config -nodefaults \
    -smp "${PHUB_VM_CORES:-2}" -m "${PHUB_VM_MIB:-2048}" -nographic -no-reboot \
    -kernel "$image/vmlinux" -initrd "$image/initrd.gz" \
    -append "$options tsc=reliable tsc_early_khz=$khz" \
    -serial "file:$scratch/kernel.log" \
    -device virtio-serial-device -chardev stdio,id=output,signal=off \
    -device virtconsole,chardev=output \
    -fsdev local,id=host,path=/,security_model=none,readonly=on,multidevs=remap \
    -device virtio-9p-device,fsdev=host,mount_tag=host \
    -fsdev "local,id=scratch,path=$scratch,security_model=none" \
    -device virtio-9p-device,fsdev=scratch,mount_tag=scratch </dev/null
}

(( $# )) || { sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[[ $(uname -m) == x86_64 ]] || skip "the virtual machine is an amd64 one"
for program in qemu-system-x86_64 busybox cpio xz modprobe rdma ip; do
  PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null ||
    skip "there is no $program; cmake/install-packages.sh test installs it"
done
find_image
scratch=$(mktemp -d "${TMPDIR:-/tmp}/phub-vm.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
write_orders "$@" >"$scratch/orders"
cp "$here/guest.sh" "$scratch/guest.sh"

ended=0
boot || ended=$?
[[ ! -e $scratch/status ]] || exit "$(cat "$scratch/status")"
[[ -e $scratch/up ]] || cat "$scratch/kernel.log"
if (( ended == 124 || ended == 137 )); then
  echo "the virtual machine was ended after $seconds s (PHUB_VM_SECONDS)"
  exit 124
fi
echo "the virtual machine ended before the command did"
exit 125
