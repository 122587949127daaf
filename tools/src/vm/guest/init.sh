#!/ringwall-vm/busybox sh
# First process of the reference machine: modules, then the host's root under a memory overlay, then the session in it.
B=/ringwall-vm/busybox
fail() { echo "ringwall-vm: $*"; $B reboot -f; }
$B mkdir -p /proc /sys /dev /host /memory /root
$B mount -t proc proc /proc
$B mount -t sysfs sysfs /sys
$B mount -t devtmpfs dev /dev
for module in /modules/*.ko; do $B insmod "$module" || fail "cannot load $module"; done
$B mount -t 9p -o trans=virtio,version=9p2000.L,msize=1048576,cache=loose,ro host /host || fail "no host root"
$B mount -t tmpfs -o mode=755,size=75% memory /memory && $B mkdir /memory/upper /memory/work || fail "no memory overlay"
$B mount -t overlay -o xino=on,lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work root /root || fail "no overlay"
until [ -c "$(echo /dev/vport*p4)" ]; do $B usleep 10000; done
port=$(echo /dev/vport*p4)
port=${port%4}
$B mkdir -p /root/proc /root/sys /root/dev /root/run
$B mount --move /proc /root/proc
$B mount --move /sys /root/sys
$B mount --move /dev /root/dev
$B mount -t tmpfs -o mode=755 run /root/run
$B mkdir /root/run/lock
$B cp -a /ringwall-vm /root/run/ringwall-vm
exec $B switch_root /root /run/ringwall-vm/session "${port}1" "${port}2" "${port}3" "${port}4"
fail "cannot switch the root"
