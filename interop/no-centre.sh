#!/bin/bash
# The promise, shown: files are found and fetched with no tracker, no name server and no web site anywhere, after the node by which
# everybody came in is gone, and then half of the others. Hosts in network namespaces of their own, on one bridge that leads nowhere else:
# five of shoal and one of Transmission that have to do with the file, and eight bystanders, for Transmission takes part in no DHT of
# less than nine nodes. Needs root; run it with `make demo-no-centre`.
set -euo pipefail
shoal=${1:?usage: no-centre.sh PATH-OF-SHOAL}
size=${SIZE:-16777216} # bytes of the file
work=$(mktemp -d)
run=nc$$
declare -A pids
began=$SECONDS

say() { printf '%3d s  %s\n' $((SECONDS - began)) "$*"; }
fail() { say "FAILED: $*"; tail -n 5 "$work"/*.log >&2 || true; exit 1; }

clean() {
	for p in "${pids[@]}"; do kill -9 "$p" 2>/dev/null || true; done
	wait 2>/dev/null || true
	for i in {1..14}; do ip netns del "$run-$i" 2>/dev/null || true; done
	ip netns del "$run-hub" 2>/dev/null || true
	rm -rf "$work"
}
trap clean EXIT

# host N makes a host with the address 10.88.0.N and a folder of its own.
host() {
	ip netns add "$run-$1"
	ip -n "$run-$1" link set lo up
	ip -n "$run-hub" link add "p$1" type veth peer name eth0 netns "$run-$1"
	ip -n "$run-hub" link set "p$1" master br0 up
	ip -n "$run-$1" addr add "10.88.0.$1/24" dev eth0
	ip -n "$run-$1" link set eth0 up
	mkdir -p "$work/$1"
}

# on N COMMAND... runs a command on a host in the background.
on() {
	local n=$1
	shift
	HOME="$work/$n" XDG_STATE_HOME="$work/$n/state" ip netns exec "$run-$n" "$@" >>"$work/$n.log" 2>&1 &
	pids[$n]=$!
}

# node N VERB... runs a verb of shoal on a host.
node() {
	local n=$1 verb=$2
	shift 2
	on "$n" "$shoal" "$verb" --isolated --listen "10.88.0.$n:6881" "$@"
}

# until_ SECONDS WHAT COMMAND... waits until a command succeeds.
until_() {
	local end=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || fail "$what: not in time"
		sleep 0.2
	done
	say "$what"
}

# gone N kills a host without a goodbye.
gone() {
	kill -9 "${pids[$1]}" 2>/dev/null || true
	wait "${pids[$1]}" 2>/dev/null || true
	unset "pids[$1]"
	ip netns pids "$run-$1" | xargs -r kill -9 2>/dev/null || true
	ip -n "$run-$1" link set eth0 down
	say "host $1 is gone: ${2}"
}

ip netns add "$run-hub"
ip -n "$run-hub" link add br0 type bridge
ip -n "$run-hub" link set br0 up
for i in {1..14}; do host "$i"; done
head -c "$size" /dev/urandom >"$work/file"
head -c 20000 /dev/urandom >"$work/1/hello"
mkdir "$work/2/talk" && cp "$work/file" "$work/2/talk/file"

node 1 share --v1 "$work/1/hello" -o "$work/hello.torrent"
until_ 10 "host 1 is there; the others enter by it" grep -q 'peers reach you' "$work/1.log"
for i in {7..14}; do
	head -c 20000 /dev/urandom >"$work/$i/other"
	node "$i" share --v1 "$work/$i/other" --dht-node 10.88.0.1:6881
done
node 2 share --v1 "$work/2/talk" -o "$work/talk.torrent" --dht-node 10.88.0.1:6881
until_ 10 "host 2 shares a file" grep -q 'peers reach you' "$work/2.log"
hash=$("$shoal" show "$work/talk.torrent" --json | grep -o '"infohash_v1":"[0-9a-f]*"' | cut -d'"' -f4)
hello=$("$shoal" show "$work/hello.torrent" --json | grep -o '"infohash_v1":"[0-9a-f]*"' | cut -d'"' -f4)
link="magnet:?xt=urn:btih:$hash"
say "the link: $link"

# Host 5 was here once, and remembers whom it met.
node 5 get "$hello" -o "$work/5/out" --dht-node 10.88.0.1:6881
until_ 60 "host 5 has fetched something, and leaves" cmp "$work/1/hello" "$work/5/out/hello"
wait "${pids[5]}" || fail "host 5 did not end well"
unset 'pids[5]'

node 3 get "$link" -o "$work/3/out" --seed --dht-node 10.88.0.1:6881
node 4 get "$link" -o "$work/4/out" --seed --dht-node 10.88.0.1:6881
mkdir "$work/6/config" "$work/6/out"
# Transmission begins with the nodes of its last visit; from one address alone it takes minutes.
{
	printf "d2:id20:transmission's id 205:nodes72:"
	for i in 1 2 3 4 {7..14}; do printf "\x0a\x58\x00\x$(printf %02x "$i")\x1a\xe1"; done
	printf e
} >"$work/6/config/dht.dat"
cat >"$work/6/config/settings.json" <<-JSON
	{"bind-address-ipv4": "10.88.0.6", "peer-port": 6881, "dht-enabled": true, "lpd-enabled": false, "pex-enabled": false, "utp-enabled": true,
	 "port-forwarding-enabled": false, "download-dir": "$work/6/out", "rpc-bind-address": "127.0.0.1", "rpc-whitelist-enabled": false,
	 "rename-partial-files": false, "preallocation": 0}
JSON
on 6 transmission-daemon -f -g "$work/6/config" --log-error
until_ 20 "Transmission runs on host 6" ip netns exec "$run-6" transmission-remote 127.0.0.1 -si
ip netns exec "$run-6" transmission-remote 127.0.0.1 -a "$link" >/dev/null
until_ 60 "host 3 has the file" cmp "$work/file" "$work/3/out/talk/file"
until_ 60 "host 4 has the file" cmp "$work/file" "$work/4/out/talk/file"
until_ 400 "Transmission has the file" cmp "$work/file" "$work/6/out/talk/file"

gone 1 "the one by which all came in"
gone 2 "who shared the file first"
gone 3 "one of those who had it"
for i in {7..10}; do gone "$i" "a bystander"; done

node 5 get "$link" -o "$work/5/out"
until_ 120 "host 5 is back, knows nobody but those it met before, and has the file" cmp "$work/file" "$work/5/out/talk/file"
wait "${pids[5]}" || fail "host 5 did not end well"
unset 'pids[5]'
say "no tracker, no name server, no router, no web site was ever there"
