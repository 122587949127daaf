#!/bin/sh
# guest.sh BENCH RINGWALL PROFILE [short]: the figures of one run, as `@section` lines and `name<TAB>value` lines below them.
bench=$1 ringwall=$2 profile=$3 short=$4
export BENCH_DIR=/bench
mkdir -p $BENCH_DIR && "$bench" files || exit

echo @native
"$bench"
echo @inside
"$ringwall" do -- "$bench"

# What looking costs a getppid, the median of many: whoever reads the records runs between calls, not within the median one.
echo @looking
tab=$(printf '\t')
looking() { name=$1; shift; "$@" | sed "s/.*$tab/$name$tab/"; }
looking off "$ringwall" do --statistics=false -- "$bench" one getppid
looking statistics "$ringwall" do -- "$bench" one getppid
looking trace "$ringwall" do --strace -- "$bench" one getppid 2>/trace
# A record that is lost costs less: there must be none.
printf 'records\t%s\n' "$(awk '/getppid\(/ { n++ } END { print n + 0 }' /trace)"
mkdir -p /tmp/bundle/rootfs && cd /tmp/bundle && mount --bind / rootfs && runc spec || exit
sed -i -e 's/"terminal": true/"terminal": false/' config.json && cp config.json plain.json
sed -e "s|\"sh\"|\"$bench\", \"one\", \"getppid\"|" -e "s|\"linux\": {|&\"seccomp\": $(cat "$profile"),|" plain.json >config.json
looking profile "$ringwall" run bench
cd /

# Exits and the host's system calls: of half as many and of all, so that what start, preparation and the first touch of memory take falls out.
mount -t tracefs tracefs /sys/kernel/tracing || exit
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
cd /tmp/bundle && sed -e 's|"sh"|"/bin/true"|' plain.json >config.json
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
