#!/ringwall-vm/busybox sh
# First process of a machine whose files come packed in the initramfs: they are moved to a memory file system, as a
# root that is the initramfs itself could not be pivoted away from. Then the session, over virtio ports where there are
# any (QEMU), otherwise over the serial ports (Bochs).
B=/ringwall-vm/busybox
fail() { echo "ringwall-vm: $*"; $B reboot -f; }
$B mkdir -p /proc /sys /dev /root
$B mount -t proc proc /proc
$B mount -t sysfs sysfs /sys
$B mount -t devtmpfs dev /dev
for module in /modules/*.ko; do $B insmod "$module" || fail "cannot load $module"; done
if [ -e /modules/*virtio_console.ko ]; then
  until [ -c "$(echo /dev/vport*p4)" ]; do $B usleep 10000; done
  ports=$(echo /dev/vport*p1 /dev/vport*p2 /dev/vport*p3 /dev/vport*p4)
else
  for line in 1 2 3; do $B stty -F /dev/ttyS$line raw -echo 115200; done
  ports="/dev/ttyS1 /dev/ttyS2 /dev/null /dev/ttyS3"
fi
$B mount -t tmpfs -o mode=755,size=75% root /root && $B cp -a /packed/. /root || fail "cannot unpack"
$B mkdir -p /root/proc /root/sys /root/dev /root/run /root/tmp /root/root
$B chmod 1777 /root/tmp
$B mount --move /proc /root/proc
$B mount --move /sys /root/sys
$B mount --move /dev /root/dev
$B mount -t tmpfs -o mode=755 run /root/run
$B mkdir /root/run/lock
$B cp -a /ringwall-vm /root/run/ringwall-vm
exec $B switch_root /root /run/ringwall-vm/session $ports
fail "cannot switch the root"
