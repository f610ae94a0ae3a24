#!/usr/bin/env bash
# Runs inside the virtual machine: makes the devices, runs the command, writes down its status.
#
# rxe0, rxe1, ... are on r0, r1, ...: 10.77.0.1, 10.77.0.2, ... and fd77::1, fd77::2, ... Each rK is
# a cable to port pK of the switch br0, all in one network namespace, for rxe knows no other. What
# hurts packets on their way belongs on pK: `ip link set pK down` pulls the cable, and netem on pK
# harms what goes to rxeK. (On rK it would be a failure to send, which rxe takes for another thing.)
set -euo pipefail
. /run/vm/orders

# An address of this machine must be reached by its own cable, not inside by lo, where rxe hears
# nothing. So the table of local addresses comes behind the rules that add_device makes.
let_cables_carry_local_traffic() {
  ip link set lo up
  for family in -4 -6; do
    ip $family rule add pref 5 lookup local
    ip $family rule del pref 0
  done
  sysctl -qw net.ipv4.conf.all.{rp_filter=0,arp_ignore=1}  # The switch must not answer for rK.
}

add_device() {
  local name=r$1 port=p$1 ipv4=10.77.0.$(( $1 + 1 )) ipv6=fd77::$(( $1 + 1 )) table=$(( 100 + $1 ))
  ip link add "$name" mtu "$mtu" type veth peer name "$port" mtu "$mtu"
  sysctl -qw "net.ipv4.conf.$name".{accept_local=1,rp_filter=0,arp_announce=2} \
    "net.ipv6.conf.$port.disable_ipv6=1"
  ip link set "$port" master br0 up
  ip link set "$name" up
  ip addr add "$ipv4/24" dev "$name"
  ip addr add "$ipv6/64" dev "$name" nodad
  ip -4 rule add pref 1 iif lo from "$ipv4" to 10.77.0.0/24 lookup "$table"
  ip -4 route add 10.77.0.0/24 dev "$name" table "$table"
  ip -4 route add local "$ipv4" dev "$name" table "$table"
  ip -6 rule add pref 1 iif lo from "$ipv6" to fd77::/64 lookup "$table"
  ip -6 route add fd77::/64 dev "$name" table "$table"
  ip -6 route add local "$ipv6" dev "$name" table "$table"
  rdma link add "rxe$1" type rxe netdev "$name"
}

stty -opost <&1  # No carriage returns in the output.
ulimit -l unlimited
ulimit -n 65536
let_cables_carry_local_traffic
ip link add br0 mtu "$mtu" type bridge
sysctl -qw net.ipv6.conf.br0.disable_ipv6=1
ip link set br0 up
for (( device = 0; device < devices; device++ )); do add_device "$device"; done
touch /run/vm/up

# Behind a pipe, so that programs do not take the console for a person's terminal.
status=0
"${command[@]}" 2>&1 | cat || status=$?
echo "$status" >/run/vm/status
