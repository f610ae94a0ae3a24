#!/usr/bin/env bash
# Goal: examples/launch/slurm.sbatch runs a job under a real Slurm as it stands.
# Method: a cluster of one node, its daemons started as ordinary processes in namespaces of their
# own (network, processes), so that they meet no other cluster and end with this script. The job
# must print both ranks' sums and must leave no hub behind.
#   slurm.sh PHUBD HELLO     Exit status 77: Slurm or namespaces are not there, with the reason.
set -euo pipefail
phubd=$1 hello=$2

skip() {
  echo "skipped: $1"
  exit 77
}
PATH=$PATH:/usr/sbin:/sbin
for program in slurmctld slurmd sbatch munged ip; do
  command -v "$program" >/dev/null || skip "$program is not installed (cmake/install-packages.sh)"
done
if [[ ${3:-} == "" ]]; then
  (( EUID == 0 )) || skip "slurmd starts jobs of other users, so it needs root"
  unshare --mount --net --pid --fork true 2>/dev/null ||
    skip "this machine does not allow namespaces (unshare)"
  exec unshare --mount --mount-proc --net --pid --fork --kill-child "$0" "$@" inside
fi

scripts=$(cd "$(dirname "$0")/../../examples/launch" && pwd)
scratch=$(mktemp -d "${TMPDIR:-/tmp}/phub-slurm.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
chmod 755 "$scratch"
# Slurm asks for names only where there is an address that is not of the loopback alone.
ip link set lo up
ip address add 192.0.2.1/32 dev lo
node=$(hostname -s)

fail() {
  echo "failed: $1"
  tail -n 20 "$scratch"/*.log "$scratch"/output 2>/dev/null
  exit 1
}

# Credentials: a key, a socket and a log of our own.
mkdir -m 700 "$scratch/munge"
mkdir -m 755 "$scratch/run" "$scratch/spool" "$scratch/state"
dd if=/dev/urandom of="$scratch/munge/key" bs=64 count=1 status=none
chmod 600 "$scratch/munge/key"
munged --force --key-file="$scratch/munge/key" --socket="$scratch/run/munge.socket" \
  --pid-file="$scratch/run/munged.pid" --seed-file="$scratch/munge/seed" \
  --log-file="$scratch/munge.log" --num-threads=1

cat >"$scratch/slurm.conf" <<CONF
ClusterName=phub
SlurmctldHost=$node(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket=$scratch/run/munge.socket
StateSaveLocation=$scratch/state
SlurmdSpoolDir=$scratch/spool
SlurmctldPidFile=$scratch/run/slurmctld.pid
SlurmdPidFile=$scratch/run/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/builtin
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
NodeName=$node NodeAddr=127.0.0.1 CPUs=4 RealMemory=100
PartitionName=all Nodes=$node Default=YES OverSubscribe=YES
CONF
export SLURM_CONF=$scratch/slurm.conf
slurmctld -D >"$scratch/slurmctld.log" 2>&1 &
slurmd -D >"$scratch/slurmd.log" 2>&1 &
for (( i = 0; i < 300; ++i )); do
  [[ $(sinfo --noheader --format=%t 2>/dev/null) == idle ]] && break
  sleep 0.1
done
[[ $(sinfo --noheader --format=%t) == idle ]] || fail "the node did not become idle"

ln -s "$phubd" "$scratch/phubd"
PHUBD=$scratch/phubd HUB_BIND=127.0.0.1 HUB_HOST=127.0.0.1 \
  timeout 60 sbatch --wait --quiet --ntasks=2 --output="$scratch/output" \
  "$scripts/slurm.sbatch" "$hello" || fail "the job ended badly"
cat "$scratch/output"
grep -q "SIGTERM: draining" "$scratch/output" || fail "the hub was not asked to end"
! grep -q "Killed" "$scratch/output" || fail "the hub was killed"
for rank in 0 1; do
  grep -q "^rank $rank of 2: pushed $(( rank + 1 )), the sum of all is 3$" "$scratch/output" ||
    fail "rank $rank did not print its sum"
done
for (( i = 0; i < 100; ++i )); do
  grep -qsa "$scratch/[p]hubd" /proc/[0-9]*/cmdline || exit 0
  sleep 0.1
done
fail "the hub is still there"
