#!/usr/bin/env bash
# Goal: the Debian packages can be built, hold what they should, and need only what they say.
# Method: cpack, then dpkg-deb and ldd; lintian's errors where lintian is installed.
#   debian.sh BUILD_FOLDER PACKAGE_FOLDER
set -euo pipefail
build=$1 packages=$2

rm -rf "$packages"
cpack --config "$build/CPackConfig.cmake" -G DEB -B "$packages" >"$packages.log" 2>&1 ||
  { cat "$packages.log"; exit 1; }

# has PACKAGE PATH: what the package must hold.
has() {
  dpkg-deb --fsys-tarfile "$packages/$1"_*.deb | tar t | grep -cx "\./$2" >/dev/null ||
    { echo "package $1 lacks $2"; exit 1; }
}
has libphub0 'usr/lib/.*libphub\.so\.0'
has libphub-dev usr/include/phub/worker.h
has libphub-dev usr/share/man/man7/phub.7.gz
has libphub-dev usr/share/doc/libphub-dev/examples/launch/slurm.sbatch
has phub-server usr/bin/phubd
has phub-server lib/systemd/system/phubd.service
has phub-server etc/phub/phubd.conf
for page in man8/phubd.8 man1/phubctl.1 man5/phubd.conf.5; do
  has phub-server "usr/share/man/$page.gz"
done
has phub-server usr/share/bash-completion/completions/phubctl
has phub-server usr/share/zsh/vendor-completions/_phubctl
dpkg-deb -f "$packages"/phub-server_*.deb Depends | grep -q libtbb12 ||
  { echo "phub-server does not say which libraries it needs"; exit 1; }

for package in "$packages"/*.deb; do
  dpkg-deb -x "$package" "$packages/unpacked"
done
for file in "$packages"/unpacked/usr/bin/*; do
  if ldd "$file" | grep 'not found'; then
    echo "$file needs what is not installed"
    exit 1
  fi
done
if command -v systemd-analyze >/dev/null; then
  unit=$packages/phubd.service
  sed "s|/usr/bin/phubd|$packages/unpacked/usr/bin/phubd|" \
    "$packages/unpacked/lib/systemd/system/phubd.service" >"$unit"
  said=$(systemd-analyze verify --man=no "$unit" 2>&1 | grep phubd || true)
  [[ -z $said ]] || { echo "$said"; exit 1; }
fi
if command -v lintian >/dev/null; then
  lintian --allow-root --fail-on error --tag-display-limit 0 "$packages"/*.deb
fi
