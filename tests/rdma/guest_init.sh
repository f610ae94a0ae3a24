#!/bin/busybox sh
# The first process of the virtual machine: loads the modules, lays a file system that forgets over
# the host's files, and runs guest.sh there.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs none /dev
mount -t proc none /proc
for module in /modules/*; do
  insmod "$module" || echo "$module cannot be loaded"
done

options=trans=virtio,version=9p2000.L,msize=512000
mount -t 9p -o "$options,ro,cache=loose" host /host
mount -t tmpfs -o size=75% none /changes
mkdir /changes/upper /changes/work
mount -t overlay -o lowerdir=/host,upperdir=/changes/upper,workdir=/changes/work none /root

mount -t proc none /root/proc
mount -t sysfs none /root/sys
mount -t devtmpfs none /root/dev
mkdir -p /root/dev/pts /root/dev/shm
mount -t devpts none /root/dev/pts
for folder in dev/shm run; do mount -t tmpfs none "/root/$folder"; done
mkdir /root/run/vm
mount -t 9p -o "$options,cache=none" scratch /root/run/vm

chroot /root /bin/bash /run/vm/guest.sh </dev/null >/dev/hvc0 2>&1
poweroff -f
