#!/ringwall-vm/busybox sh
# First process of the Intel reference machine: everything comes packed in the initramfs and is moved to a memory file
# system, as a root that is the initramfs itself could not be pivoted away from. Output goes through the serial ports.
B=/ringwall-vm/busybox
fail() { echo "ringwall-vm: $*"; $B reboot -f; }
$B mkdir -p /proc /sys /dev /root
$B mount -t proc proc /proc
$B mount -t sysfs sysfs /sys
$B mount -t devtmpfs dev /dev
for module in /modules/*.ko; do $B insmod "$module" || fail "cannot load $module"; done
for line in 1 2 3; do $B stty -F /dev/ttyS$line raw -echo 115200; done
$B mount -t tmpfs -o mode=755,size=75% root /root && $B cp -a /packed/. /root || fail "cannot unpack"
$B mkdir -p /root/proc /root/sys /root/dev /root/run /root/tmp /root/root
$B chmod 1777 /root/tmp
$B mount --move /proc /root/proc
$B mount --move /sys /root/sys
$B mount --move /dev /root/dev
$B mount -t tmpfs -o mode=755 run /root/run
$B mkdir /root/run/lock
$B cp -a /ringwall-vm /root/run/ringwall-vm
exec $B switch_root /root /run/ringwall-vm/session /dev/ttyS1 /dev/ttyS2 /dev/null /dev/ttyS3
fail "cannot switch the root"
