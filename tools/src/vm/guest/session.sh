#!/run/ringwall-vm/busybox sh
# session STDOUT STDERR STDIN CONTROL: after the switch of the root, the rest of the mounts, then the command between
# pipes that are joined to these devices, then its exit code on the control device.
B=/run/ringwall-vm/busybox
cd /run/ringwall-vm || exit
$B mkdir -p /dev/pts /dev/shm /dev/mqueue
$B mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
$B mount -t tmpfs -o mode=1777 shm /dev/shm
$B mount -t mqueue mqueue /dev/mqueue
$B mount -t cgroup2 cgroup2 /sys/fs/cgroup
$B ln -sf /proc/self/fd /dev/fd
$B ln -sf fd/0 /dev/stdin
$B ln -sf fd/1 /dev/stdout
$B ln -sf fd/2 /dev/stderr
$B chmod 666 /dev/kvm /dev/fuse /dev/net/tun 2>/dev/null
$B ip link set lo up
$B hostname ringwall-vm
if [ -d /proc/sys/net/bridge ]; then
  # A machine for Docker (--docker).
  $B mkdir -p -m 1777 /run/docker-tmp
  echo 1 >/proc/sys/net/ipv4/ip_forward
fi
hold=
if [ -x hold ]; then
  # What makes Linux patch itself, once and for as long as the machine runs, before a second CPU executes it (vm/hold.rs).
  echo '+memory +cpu +cpuset' >/sys/fs/cgroup/cgroup.subtree_control
  $B mkdir /sys/fs/cgroup/held && echo '100000 100000' >/sys/fs/cgroup/held/cpu.max
  sh ./hold >held 2>&1 & hold=$!
  until [ -s held ]; do $B usleep 10000; done
  [ "$($B cat held)" = held ] || $B cat held >/dev/console
fi
for cpu in /sys/devices/system/cpu/cpu[1-9]*/online; do
  [ ! -e "$cpu" ] || echo 1 >"$cpu"
done
ulimit -Hn 1048576
ulimit -Sn 1024
$B mkfifo -m 666 in out err
$B cat out >"$1" & stdout=$!
$B cat err >"$2" & stderr=$!
# The host starts to feed stdin at the first byte.
{ echo >&4; $B cat <&4 >in; } 4<>"$3" &
# The subshell opens the pipes: here, the end of a relay would interrupt the opening.
(exec /bin/sh ./command) <in >out 2>err
code=$?
# Whoever the command left behind would keep the pipes open.
for process in /proc/[0-9]*; do
  process=${process#/proc/}
  case $process in 1 | $stdout | $stderr | $hold) ;; *) kill -KILL "$process" 2>/dev/null ;; esac
done
wait $stdout $stderr
echo "exit $code" >"$4"
$B sleep 60
$B reboot -f
