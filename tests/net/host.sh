#!/usr/bin/env bash
# Sockets of the host's (--network=host): hostnet natively and inside, against a server outside; both must print the same.
#   tests/net/host.sh RINGWALL HOSTNET
set -u
ringwall=$(readlink -f "$1") hostnet=$(readlink -f "$2") work=$(mktemp -d)
setsid "$hostnet" serve >"$work/ready" & server=$!
trap 'kill -- -$server; rm -rf "$work"' EXIT
until [[ -s $work/ready ]]; do kill -0 $server || { echo "FAIL server"; exit 1; }; sleep 0.1; done
"$hostnet" >"$work/want"
if timeout 120 "$ringwall" do --network=host -- "$hostnet" >"$work/got" && diff "$work/want" "$work/got"; then echo "PASS the host's sockets"
else echo "FAIL the host's sockets"; exit 1; fi
