#!/bin/bash
# check.sh RINGWALL NETPEER [BYTES]: a sandbox in a network namespace of its own, joined to this one by a veth pair, and programs
# that talk to each other through it, in both directions. A line `PASS NAME` or `FAIL NAME` each. As root.
ringwall=$1 netpeer=$2 bytes=${3:-100000000}
here=$(dirname "$0")
work=$(mktemp -d)
space=ringwall-net-$$
outside=10.211.7.1 inside=10.211.7.2 outside6=fd00:211::1 inside6=fd00:211::2
added=10.211.7.9 added6=fd00:211::9
failed=0 background=()

cleanup() {
  for pid in "${background[@]}"; do kill "$pid" 2>/dev/null; done
  ip netns del "$space" 2>/dev/null
  ip link del rwtest0 2>/dev/null
  rm -rf "$work"
}
trap cleanup EXIT

# A fresh namespace each time: a sandbox takes the addresses off for good.
fresh() {
  ip netns del "$space" 2>/dev/null
  ip link del rwtest0 2>/dev/null
  ip netns add "$space" &&
    ip link add rwtest0 type veth peer name eth0 netns "$space" &&
    ip addr add $outside/24 dev rwtest0 && ip addr add $outside6/64 dev rwtest0 nodad && ip link set rwtest0 up &&
    ip -n "$space" addr add $inside/24 dev eth0 && ip -n "$space" addr add $inside6/64 dev eth0 nodad &&
    ip -n "$space" link set lo up && ip -n "$space" link set eth0 up && ip -n "$space" route add default via $outside
}

sandbox() { fresh && ip netns exec "$space" timeout 600 "$ringwall" do --network sandbox -- "$@"; }

report() {
  if [ "$2" = 0 ]; then echo "PASS $1"; else
    echo "FAIL $1"
    sed 's/^/    /' "$work/out" | head -n 20
    failed=1
  fi
}

# check NAME CMD…: CMD inside.
check() {
  local name=$1
  shift
  sandbox "$@" >"$work/out" 2>&1
  report "$name" $?
}

# ask NAME CMD…: CMD outside, while netpeer serves inside.
ask() {
  local name=$1
  shift
  "$@" >"$work/out" 2>&1
  report "$name" $?
}

head -c "$bytes" /dev/urandom >"$work/big"
head -c 300000 "$work/big" >"$work/part"
sum=$(sha256sum <"$work/big") part=$(sha256sum <"$work/part")
fresh || { echo "FAIL network namespace"; exit 1; }
(cd "$work" && exec python3 -m http.server --bind :: 8017) >/dev/null 2>&1 &
background+=($!)
python3 "$here/dns.py" 0.0.0.0 >/dev/null 2>&1 &
background+=($!)
"$netpeer" serve 7017 1000000 >/dev/null 2>&1 &
background+=($!)
# An interpreter may take its time to start.
for _ in $(seq 300); do curl -s -o /dev/null "http://127.0.0.1:8017/part" && break; sleep 0.1; done

check "what curl gets from outside arrives whole" \
  sh -c "test \"\$(curl -sf --max-time 500 http://$outside:8017/big | sha256sum)\" = '$sum'"
check "some of it over IPv6" \
  sh -c "test \"\$(curl -sf --max-time 100 -g 'http://[$outside6]:8017/part' | sha256sum)\" = '$part'"
check "large transfers both ways at once" "$netpeer" ask $outside 7017 $((bytes / 10)) 4
check "many connections at once" "$netpeer" ask $outside 7017 2000 100
check "datagrams, in fragments too" sh -c "'$netpeer' udp $outside 7017 50 1000 && '$netpeer' udp $outside 7017 5 9000"
check "nobody listens outside" "$netpeer" refused $outside 7018
check "echoes from outside and from inside" sh -c "'$netpeer' ping $outside 5 && '$netpeer' ping 127.0.0.1 2 && '$netpeer' ping $inside 2"
check "names are found" sh -c "echo nameserver $outside >/etc/resolv.conf; getent ahosts test.example | grep -q 192.0.2.7"
check "its own address, from inside" sh -c "'$netpeer' serve 7019 2 & sleep 0.5; '$netpeer' ask $inside 7019 100000 2"
check "interfaces and routes are shown" sh -c \
  "ip addr show eth0 | grep -q 'inet $inside/24' && ip route | grep -q 'default via $outside dev eth0' && ip route get 192.0.2.1 | grep -q 'src $inside'"
check "it may turn its interface off and on, and give it routes again" sh -c \
  "ip link set eth0 down && ! curl -sf --max-time 5 http://$outside:8017/part -o /dev/null && ip link set eth0 up &&
   ip route add default via $outside metric 7 && ip route get 192.0.2.1 | grep -q 'via $outside' &&
   test \"\$(curl -sf --max-time 100 http://$outside:8017/part | sha256sum)\" = '$part'"
check "what it changes is told to those who listen" sh -c \
  "timeout 15 ip -o monitor link address route >/tmp/told & sleep 2; ip addr add 10.211.8.1/24 dev eth0; ip link set eth0 mtu 1400
   ip route add 192.0.2.0/24 via $outside; ip addr del 10.211.8.1/24 dev eth0; sleep 2; kill \$!; cat /tmp/told
   grep -q 'inet 10.211.8.1/24' /tmp/told && grep -q '^10.211.8.0/24 dev eth0' /tmp/told && grep -q 'mtu 1400' /tmp/told &&
   grep -q '^192.0.2.0/24 via' /tmp/told && grep -q '^Deleted 10.211.8.0/24' /tmp/told"
check "ifconfig and route change it, too" sh -c \
  "ifconfig eth0 10.211.7.8 netmask 255.255.255.0 && route add default gw $outside && ip route get 192.0.2.1 | grep -q 'src 10.211.7.8' &&
   arp -s 10.211.7.77 02:00:00:00:00:77 && arp -n 10.211.7.77 | grep -q 02:00:00:00:00:77 && ip neigh del 10.211.7.77 dev eth0 &&
   test \"\$(curl -sf --max-time 100 http://$outside:8017/part | sha256sum)\" = '$part'"

# Addresses that it gives itself are answered for.
(fresh && exec ip netns exec "$space" timeout 600 "$ringwall" do --network sandbox -- sh -c "ip addr add $added/24 dev eth0 && ip addr add $added6/64 dev eth0 && ip addr del $inside/24 dev eth0 &&
  ip addr add $added/24 dev eth0 && ip route add default via $outside && exec '$netpeer' serve 7017 1000000") >"$work/served" 2>&1 &
server=$!
for _ in $(seq 600); do grep -q ready "$work/served" 2>/dev/null && break; sleep 0.1; done
ask "an address that was added: echoes" "$netpeer" ping $added 3
ask "an address that was added: connections" "$netpeer" ask $added 7017 2000 10
ask "an address that was added: IPv6" "$netpeer" ask $added6 7017 2000 10
ask "an address that was removed" sh -c "! timeout 10 '$netpeer' ping $inside 1"
kill $server 2>/dev/null
wait $server 2>/dev/null

ip link show rwtest0 >/dev/null 2>&1 || fresh
sandbox "$netpeer" serve 7017 1000000 >"$work/served" 2>&1 &
server=$!
background+=($server)
for _ in $(seq 600); do grep -q ready "$work/served" 2>/dev/null && break; sleep 0.1; done
ask "from outside: many connections" "$netpeer" ask $inside 7017 2000 100
ask "from outside: large transfers" "$netpeer" ask $inside 7017 $((bytes / 10)) 4
ask "from outside: IPv6" "$netpeer" ask $inside6 7017 100000 3
ask "from outside: datagrams" "$netpeer" udp $inside 7017 50 1000
ask "from outside: fragments" "$netpeer" udp $inside 7017 5 9000
ask "from outside: nobody listens" "$netpeer" refused $inside 7018
ask "from outside: echoes" "$netpeer" ping $inside 5
exit $failed
