#!/bin/sh
# guest.sh BENCH RINGWALL [short]: the figures of one run, as `@section` lines and `name<TAB>value` lines below them.
bench=$1 ringwall=$2 short=$3
export BENCH_DIR=/bench
mkdir -p $BENCH_DIR && "$bench" files || exit

echo @native
"$bench"
echo @inside
"$ringwall" do -- "$bench"

# Exits and the host's system calls: of half as many and of all, so that what start, preparation and the first touch of memory take falls out.
mount -t tracefs tracefs /sys/kernel/tracing || exit
tab=$(printf '\t')
"$bench" list | while IFS=$tab read -r name runs; do
  # More would tell nothing more.
  [ "$runs" -le 200 ] || runs=200
  for times in $((runs / 2)) "$runs"; do
    echo "@events$tab$name$tab$times"
    "$bench" events "$ringwall" do -- "$bench" only "$name" "$times"
  done
done
[ -z "$short" ] || exit 0

echo @start
figure() { name=$1; shift; "$bench" exec "$@" | sed "s/.*$tab/$name$tab/"; }
figure native /bin/true
figure ringwall "$ringwall" do -- /bin/true
mkdir -p /tmp/bundle/rootfs && cd /tmp/bundle && mount --bind / rootfs && runc spec &&
  sed -i -e 's/"terminal": true/"terminal": false/' -e 's|"sh"|"/bin/true"|' config.json
figure runc runc run bench
cd /

# The processes of the sandbox: what they use while the program sleeps.
echo @idle
"$ringwall" do -- sleep 1000 &
sleep 3
ours=
for process in /proc/[0-9]*; do
  case $(cat "$process/comm" 2>/dev/null) in ringwall*) ours="$ours $process" ;; esac
done
# Nothing was measured if there is none.
[ -n "$ours" ] || exit 1
cpu() { for process in $ours; do cat "$process"/task/*/schedstat; done | awk '{ sum += $1 } END { printf "%.0f\n", sum }'; }
before=$(cpu)
sleep 10
after=$(cpu)
printf 'processes\t%s\n' "$(echo $ours | wc -w)"
printf 'cpu in 10 s\t%s\n' $((after - before))
for process in $ours; do cat "$process/smaps_rollup"; done | awk '/^Pss:/ { sum += $2 } END { printf "memory in KiB\t%d\n", sum }'
