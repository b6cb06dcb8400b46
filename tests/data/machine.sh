#!/bin/bash
# Boots systemd on a copy of this machine: machine.sh FOLDER CGROUP, as root. Everything it writes is in memory
# and gone with it: the root is an overlay, and mounts, processes, cgroups and the network are its own.
set -euo pipefail
folder=$1 cgroup=$2

if [[ ${3:-} != inside ]]; then
  mkdir "$cgroup"
  echo $$ > "$cgroup/cgroup.procs"
  # `exec`, so that the caller's process is the one whose end takes all of it.
  exec unshare --mount --pid --fork --kill-child --cgroup --uts --ipc --net "$0" "$folder" "$cgroup" inside
fi

mount -t tmpfs tmpfs "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
root=$folder/root
mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" overlay "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
for place in run tmp dev; do mount -t tmpfs -o mode=755 tmpfs "$root/$place"; done
chmod 1777 "$root/tmp"
mkdir "$root"/dev/{pts,shm,mqueue,hugepages}
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
while read -r name major minor; do
  mknod -m 666 "$root/dev/$name" c "$major" "$minor"
done <<< $'null 1 3\nzero 1 5\nfull 1 7\nrandom 1 8\nurandom 1 9\ntty 5 0'
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ip link set lo up

# No service of this machine, and nothing that would reach out of the copy: kernel settings, devices, mounts.
rm -rf "$root/etc/systemd/system" "$root/usr/sbin/policy-rc.d"
mkdir -p "$root/etc/systemd/system"
for unit in dev-hugepages.mount dev-mqueue.mount getty.target sys-fs-fuse-connections.mount \
  sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount systemd-binfmt.service \
  systemd-journald-audit.socket systemd-modules-load.service systemd-random-seed.service \
  systemd-remount-fs.service systemd-sysctl.service systemd-udevd.service systemd-udev-trigger.service \
  systemd-update-utmp.service; do
  ln -s /dev/null "$root/etc/systemd/system/$unit"
done
printf '[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n' \
  > "$root/etc/systemd/system/default.target"
: > "$root/etc/machine-id"
: > "$root/etc/fstab"
# The index of man pages of a whole machine takes ten seconds.
rm -f "$root/var/lib/man-db/auto-update"
mkdir -p "$root/mnt"
cd "$root"
pivot_root . mnt
umount -l mnt
exec env -i container=coco-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --log-target=journal --show-status=no < /dev/null
