#!/bin/sh
# compare.sh RINGWALL PROGRAM…: runs each fact program natively and inside, and compares what they print, byte for byte.
# A line `PASS NAME` or `FAIL NAME` each, with the differences; the native side is the one with `<`.
ringwall=$1
shift
work=$(mktemp -d)
failed=0
for program in "$@"; do
  name=$(basename "$program")
  # Through pipes: a program that lowers RLIMIT_FSIZE may still write to one. What it leaves behind must not hold them for ever.
  { timeout -k 5 60 "$program" </dev/null 2>&1; echo "exit $?"; } | timeout 70 cat >"$work/native"
  { timeout -k 5 90 "$ringwall" do -- "$program" </dev/null 2>&1; echo "exit $?"; } | timeout 100 cat >"$work/inside"
  if cmp -s "$work/native" "$work/inside"; then
    echo "PASS $name ($(wc -l <"$work/native") facts)"
  else
    echo "FAIL $name"
    diff -U 1 "$work/native" "$work/inside" | sed -n '3,$p' | sed 's/^/    /' | head -n 200
    failed=1
  fi
done
rm -rf "$work"
exit $failed
