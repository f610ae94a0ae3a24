#!/usr/bin/env bash
# Goal: the hub is a good service: ready when it says so, confined, watched, restarted after a hang
# and by an upgrade, not restarted after a drain, and gone after a purge.
# Method: a real systemd as the first process of a container (systemd-nspawn) on a copy-on-write
# view of this system; the packages are installed there and a job is run.
#   service.sh PACKAGE_FOLDER HELLO   Exit status 77: this machine lets nobody try, with a reason.
set -euo pipefail
packages=$1 hello=$2

skip() {
  echo "skipped: $1"
  exit 77
}
fail() {
  echo "failed: $1"
  exit 1
}

# Runs inside, started by systemd.
in_container() {
  cd /opt/phub-test
  export DEBIAN_FRONTEND=noninteractive LC_ALL=C
  pid() { systemctl show --property MainPID --value phubd; }
  # until SECONDS COMMAND...
  until_true() {
    local end=$(( SECONDS + $1 ))
    shift
    until "$@"; do
      (( SECONDS < end )) || return 1
      sleep 0.1
    done
  }
  has_new_pid() { [[ $(pid) != "$1" && $(pid) != 0 ]] && systemctl is-active --quiet phubd; }

  echo "-- installed, not started"
  dpkg --force-unsafe-io -i ./*.deb >dpkg.log 2>&1 || { cat dpkg.log; return 1; }
  ! systemctl is-active --quiet phubd || fail "installing started the service"
  ! systemctl is-enabled --quiet phubd || fail "installing enabled the service"

  echo "-- started, ready, confined"
  mkdir -p /etc/systemd/system/phubd.service.d
  printf '[Service]\nWatchdogSec=2s\n' >/etc/systemd/system/phubd.service.d/test.conf
  sed -i 's/^#pin = .*/pin = on/' /etc/phub/phubd.conf
  systemctl daemon-reload
  systemctl enable --quiet --now phubd || { journalctl -u phubd; fail "it does not start"; }
  systemctl show --property StatusText --value phubd
  local first
  first=$(pid)
  grep -E '^(Uid|CapBnd|NoNewPrivs|Seccomp):' "/proc/$first/status"
  grep -q "^CapBnd:.0000000000000000$" "/proc/$first/status" || fail "it has capabilities"
  grep -q "^NoNewPrivs:.1$" "/proc/$first/status" || fail "it may gain privileges"
  grep -q "^Seccomp:.2$" "/proc/$first/status" || fail "no filter of system calls"
  # Without CAP_SYS_RESOURCE (bit 24) not even systemd can give more than it has.
  if (( 0x$(awk '/^CapBnd/ { print $2 }' /proc/1/status) >> 24 & 1 )); then
    grep -q "^Max locked memory *unlimited" "/proc/$first/limits" || fail "memory cannot be pinned"
  fi
  for task in "/proc/$first"/task/*; do
    if grep -q phub-shard "$task/comm"; then
      grep -qE '^Cpus_allowed_list:\s*[0-9]+$' "$task/status" || fail "a shard is not pinned"
    fi
  done

  echo "-- a job of other users"
  for rank in 0 1; do
    PHUB_HUB=shm:///run/phub/phub.sock PHUB_RANK=$rank PHUB_SIZE=2 \
      setpriv --reuid nobody --regid nogroup --groups phub ./hello &
  done
  wait
  sleep 5  # Longer than the watchdog allows: a hub that is idle must not be taken for stuck.
  [[ $(pid) == "$first" ]] || fail "an idle hub was restarted"

  echo "-- a reload changes what it can"
  sed -i 's/^#log_level = .*/log_level = debug/' /etc/phub/phubd.conf
  systemctl reload phubd
  until_true 5 eval 'journalctl -u phubd | grep -q log_level' || fail "a reload changed nothing"
  [[ $(pid) == "$first" ]] || fail "a reload restarted the hub"

  echo "-- a hang is noticed"
  kill -STOP "$first"
  until_true 20 has_new_pid "$first" || fail "a hanging hub was not restarted"
  local second
  second=$(pid)

  echo "-- an upgrade restarts"
  dpkg --force-unsafe-io -i ./phub-server_*.deb >dpkg.log 2>&1 || { cat dpkg.log; return 1; }
  until_true 10 has_new_pid "$second" || fail "an upgrade did not restart the hub"

  echo "-- a drain ends it"
  phubctl drain
  until_true 10 eval '! systemctl is-active --quiet phubd' || fail "it does not end"
  [[ $(systemctl show --property Result --value phubd) == success ]] || fail "it ended badly"

  echo "-- purged"
  systemctl start phubd
  dpkg --force-unsafe-io -P phub-server phub-perf phub-perf-baselines >dpkg.log 2>&1 ||
    { cat dpkg.log; return 1; }
  ! systemctl is-active --quiet phubd || fail "the service outlived its package"
  [[ -z $(find /etc/systemd/system -name phubd.service) ]] || fail "it is still enabled"
  echo "passed"
}

if [[ ${3:-} == inside ]]; then
  in_container >/opt/phub-test/output 2>&1 || journalctl -u phubd >>/opt/phub-test/output
  exit
fi

(( EUID == 0 )) || skip "booting a container needs root"
command -v systemd-nspawn >/dev/null || skip "systemd-nspawn is not installed (systemd-container)"
if [[ ${3:-} == "" ]]; then
  unshare --mount true 2>/dev/null || skip "this machine does not allow namespaces (unshare)"
  exec unshare --mount "$0" "$packages" "$hello" outside
fi

view=$(mktemp -d "${TMPDIR:-/tmp}/phub-service.XXXXXX")
trap 'umount -R "$view" 2>/dev/null; rmdir "$view"' EXIT
mount -t tmpfs none "$view"
mkdir "$view"/{upper,work,root}
mount -t overlay -o "lowerdir=/,upperdir=$view/upper,workdir=$view/work" none "$view/root" \
  2>/dev/null || skip "this machine does not allow an overlay over its root"
mount -t tmpfs none /run
mkdir "$view/root/opt/phub-test"
rm -f "$view/root/usr/sbin/policy-rc.d"  # It keeps packages from starting and stopping services.
cp "$packages"/*.deb "$hello" "$0" "$view/root/opt/phub-test"
cat >"$view/root/etc/systemd/system/phub-test.service" <<UNIT
[Unit]
Requires=dbus.service
After=basic.target dbus.service
[Service]
Type=oneshot
ExecStart=/bin/bash /opt/phub-test/${0##*/} - - inside
ExecStopPost=/bin/systemctl --no-block --force poweroff
UNIT
timeout 100 systemd-nspawn --register=no --keep-unit --private-network --directory="$view/root" \
  --boot systemd.unit=phub-test.service </dev/null >"$view/boot" 2>&1 || true
output=$view/root/opt/phub-test/output
if [[ ! -e $output ]]; then
  tail -n 20 "$view/boot"
  skip "this machine does not boot a container; the lines above say why"
fi
cat "$output"
tail -n 1 "$output" | grep -qx passed
