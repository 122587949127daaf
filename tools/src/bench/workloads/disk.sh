# disk.sh KERNEL DIRECTORY: a disk in memory with ext4 on it.
set -e
modules=$(echo "$1"/lib/modules/*)/kernel
for module in drivers/block/brd.ko lib/crc16.ko fs/mbcache.ko fs/jbd2/jbd2.ko fs/ext4/ext4.ko; do
  options=
  case $module in */brd.ko) options='rd_nr=1 rd_size=1048576' ;; esac
  busybox insmod "$modules/$module" $options
done
mkdir -p "$2"
until [ -b /dev/ram0 ]; do sleep 0.1; done
mkfs.ext4 -q -E lazy_itable_init=0 /dev/ram0
mount /dev/ram0 "$2"
