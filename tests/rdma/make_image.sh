#!/usr/bin/env bash
# Makes what vm.sh boots, from Debian's packages: make_image.sh FOLDER
#   FOLDER/vmlinux    the kernel, unpacked: its own unpacking takes longer than the rest of the boot
#   FOLDER/initrd.gz  busybox, the modules, guest_init.sh
# Installs nothing. The kernel is the plain one: the "cloud" one has neither soft-RoCE nor 9p.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$1
export PATH=$PATH:/usr/sbin:/sbin

# In the order in which they are loaded. Without crc32_generic no rxe device can be made.
modules=(virtio_mmio virtio_console 9pnet_virtio 9p overlay
         crc32_generic crc32-pclmul rdma_rxe ib_uverbs
         veth bridge sch_netem sch_prio cls_u32)

download_kernel() {
  local package
  find_package() {
    apt-cache depends linux-image-amd64 2>/dev/null | awk '/Depends:/ { print $2; exit }'
  }
  package=$(find_package)
  if [[ -z $package ]]; then
    apt-get update -qq
    package=$(find_package)
  fi
  [[ -n $package ]] || { echo "apt knows no package linux-image-amd64"; return 1; }
  apt-get download -qq "$package" || { apt-get update -qq && apt-get download -qq "$package"; }
  dpkg-deb -x linux-image-*.deb kernel
}

# vmlinuz is a loader with the compressed kernel in it.
unpack_kernel() {
  local loader start
  loader=$(echo kernel/boot/vmlinuz-*)
  start=$(LC_ALL=C grep -obUaP -m1 '\xfd7zXZ\x00' "$loader" | cut -d: -f1)
  # What follows the compressed part makes xz complain, after it has done its work.
  tail -c +$(( start + 1 )) "$loader" | xz -dc --single-stream >vmlinux || true
  [[ $(head -c 4 vmlinux | tail -c 3) == ELF ]] || { echo "$loader: no kernel found"; return 1; }
}

make_initrd() {
  local version module path number=100
  version=$(basename kernel/lib/modules/*)
  depmod -b kernel "$version"
  mkdir -p initrd/{bin,dev,proc,host,changes,root,modules}
  cp "$(command -v busybox)" initrd/bin/
  cp "$here/guest_init.sh" initrd/init
  for module in "${modules[@]}"; do
    modprobe -d kernel -S "$version" --show-depends "$module"
  done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >modules
  while read -r path; do  # Numbered: the shell's * is then the order.
    cp "$path" "initrd/modules/$number-${path##*/}"
    number=$(( number + 1 ))
  done <modules
  (cd initrd && find . | cpio -o -H newc --quiet) | gzip -1 >initrd.gz
}

work=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
download_kernel
unpack_kernel
make_initrd
mkdir image
mv vmlinux initrd.gz image/
mv -T image "$folder"
