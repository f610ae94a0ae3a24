#!/usr/bin/env bash
# Goal: the packages install, serve a job as the unprivileged user under the installed
# configuration, let in whom they should, keep the operator's changes, and leave nothing behind.
# Method: dpkg on a copy-on-write view of this system (overlayfs), in namespaces of its own: nothing
# of this machine changes, and everything that was started ends with them.
#   install.sh PACKAGE_FOLDER         Exit status 77: this machine lets nobody try, with a reason.
set -euo pipefail
packages=$1

skip() {
  echo "skipped: $1"
  exit 77
}

if [[ ${2:-} == "" ]]; then
  (( EUID == 0 )) || skip "installing packages, even into a view of the system, needs root"
  unshare --mount --net --pid --fork true 2>/dev/null ||
    skip "this machine does not allow namespaces (unshare)"
  exec unshare --mount --net --pid --fork --kill-child "$0" "$packages" outside
fi

if [[ $2 == outside ]]; then
  view=$(mktemp -d "${TMPDIR:-/tmp}/phub-install.XXXXXX")
  trap 'umount -R "$view" 2>/dev/null; rmdir "$view"' EXIT
  mount -t tmpfs none "$view"
  mkdir "$view"/{upper,work,root,packages}
  mount -t overlay -o "lowerdir=/,upperdir=$view/upper,workdir=$view/work" none "$view/root" \
    2>/dev/null || skip "this machine does not allow an overlay over its root"
  mount -t proc proc "$view/root/proc"
  mount --rbind /dev "$view/root/dev"
  mount -t tmpfs none "$view/root/run"
  mount -t tmpfs none "$view/root/tmp"
  cp "$packages"/*.deb "$0" "$view/root/tmp"
  ip link set lo up
  chroot "$view/root" /bin/bash "/tmp/${0##*/}" /tmp inside
  exit
fi

fail() {
  echo "$1"
  exit 1
}
export DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
cd /tmp
chmod 1777 /tmp
named() { find /etc /lib /usr /var -xdev -path /usr/local -prune -o -name '*phub*' -print | sort; }
named >before

echo "-- install"
dpkg --force-unsafe-io -i ./*.deb >dpkg.log 2>&1 || { cat dpkg.log; exit 1; }
[[ $(getent passwd phub) == phub:*:/nonexistent:/usr/sbin/nologin ]] || fail "no user phub"
[[ ! -e /etc/systemd/system/multi-user.target.wants/phubd.service ]] || fail "it is enabled"
[[ ! -S /run/phub/phub.sock ]] || fail "it was started"
diff <(phubd --config /etc/phub/phubd.conf --print-config) /etc/phub/phubd.conf
grep -qx 'listen = shm:///run/phub/phub.sock' /etc/phub/phubd.conf

echo "-- serve as the unit does"
install -d -o phub -g phub -m 0755 /run/phub
setpriv --reuid phub --regid phub --init-groups --no-new-privs --bounding-set=-all \
  phubd --config /etc/phub/phubd.conf >ready 2>log &
hub=$!
for (( i = 0; i < 200; ++i )); do
  [[ -s ready ]] && break
  sleep 0.05
done
[[ -s ready ]] || { cat log; fail "phubd did not start"; }
[[ $(stat -c %U:%G:%a /run/phub/phub.sock) == phub:phub:660 ]] || fail "the socket's rights"
setpriv --reuid nobody --regid nogroup --clear-groups phubctl status | head -n 2

echo "-- a trainer, built from the installed example"
read -r -a flags <<<"$(pkg-config --cflags --libs phub)"
g++ -std=c++20 -o hello /usr/share/doc/libphub-dev/examples/hello/hello.cc "${flags[@]}"
export PHUB_HUB=shm:///run/phub/phub.sock PHUB_SIZE=2
PHUB_RANK=0 setpriv --reuid nobody --regid nogroup --clear-groups ./hello >refused 2>&1 &&
  fail "somebody outside the group was let in"
grep -q "join the group" refused || { cat refused; exit 1; }
for rank in 0 1; do
  PHUB_RANK=$rank setpriv --reuid nobody --regid nogroup --groups phub ./hello >"rank$rank" &
  workers[rank]=$!
done
wait "${workers[0]}" && wait "${workers[1]}"
cat rank0 rank1
grep -q "the sum of all is 3" rank0 && grep -q "the sum of all is 3" rank1
phubctl drain
wait "$hub"

echo "-- upgrade, remove, purge"
sed -i 's/^#jobs_max = .*/jobs_max = 7/' /etc/phub/phubd.conf
dpkg --force-unsafe-io -i ./*.deb >dpkg.log 2>&1 || { cat dpkg.log; exit 1; }
grep -qx 'jobs_max = 7' /etc/phub/phubd.conf || fail "an upgrade lost the operator's change"
names=(libphub0 libphub-dev phub-server phub-perf phub-perf-baselines)
[[ ! -e /usr/lib/libphub_dpdk.so ]] || names+=(phub-dpdk)  # Built where DPDK is.
dpkg --force-unsafe-io -r "${names[@]}" >dpkg.log 2>&1 || { cat dpkg.log; exit 1; }
[[ -e /etc/phub/phubd.conf ]] || fail "removing took the configuration"
dpkg --force-unsafe-io -P "${names[@]}" >dpkg.log 2>&1 || { cat dpkg.log; exit 1; }
! getent passwd phub >/dev/null || fail "the user is still there"
named >after
left=$(diff before after || true)
[[ -z $left && ! -e /etc/phub && ! -e /run/phub ]] || fail "left behind: $left"
echo "done"
