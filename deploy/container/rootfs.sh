#!/bin/sh
# Lays the root file system of the image: the program, the libraries that it is linked against, and what the C
# library reads to find hosts and the user.
#
# usage: rootfs.sh FOLDER PROGRAM
set -eu
root=$1 program=$2
mkdir -p "$root/usr/bin" "$root/etc/coco" "$root/var/lib/coco"
install -m 0755 "$program" "$root/usr/bin/coco"
# NAME => FILE (ADDRESS), or FILE (ADDRESS) for the loader.
ldd "$program" | awk '{ for (i = 1; i <= NF; i++) if ($i ~ /^\//) print $i }' | while read -r library; do
  mkdir -p "$root$(dirname "$library")"
  install -m 0755 "$library" "$root$library"
done
echo 'hosts: files dns' > "$root/etc/nsswitch.conf"
echo 'coco:x:65532:65532:Coco:/var/lib/coco:/nonexistent' > "$root/etc/passwd"
echo 'coco:x:65532:' > "$root/etc/group"
