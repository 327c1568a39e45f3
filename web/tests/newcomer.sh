#!/bin/sh
# The newcomer's path in a real node: one process shares a film, another is the node, and the browser sees nothing but the node's link.
#   web/tests/newcomer.sh SHOAL    SHOAL: the program
set -eu
shoal=$(realpath "$1")
cd "$(dirname "$0")/.."
for project in desktop phone; do
	dir=$(mktemp -d)
	trap 'kill $pids 2>/dev/null || true; rm -rf "$dir"' EXIT
	pids=
	mkdir "$dir/film" "$dir/home" "$dir/home/downloads"
	cp tests/ui/sample.webm "$dir/film/sample.webm"
	cp tests/ui/sample.webm "$dir/home/downloads/talk.webm"
	# Its index at the end, as cameras write it.
	ffmpeg -nostdin -v error -f lavfi -i testsrc=d=10:s=320x180:r=15 -c:v libx264 -pix_fmt yuv420p "$dir/film/sample.mp4"
	(cd "$dir" && exec "$shoal" share film --quiet --isolated --listen 127.0.0.1:0 --state "$dir/state" --limit-up 200k) >"$dir/link" &
	pids="$pids $!"
	"$shoal" daemon --home "$dir/home" --isolated --listen 127.0.0.1:0 --api-listen 127.0.0.1:0 >"$dir/out" 2>"$dir/log" &
	pids="$pids $!"
	for _ in $(seq 300); do
		first=$(sed -n 's/^web UI: \(http.*setup.*\)$/\1/p' "$dir/out")
		[ -s "$dir/link" ] && [ -n "$first" ] && break
		sleep 0.1
	done
	SHOAL_URL=${first%%#*} SHOAL_FIRST_RUN=$first SHOAL_MP4=yes SHOAL_LINK=$(head -1 "$dir/link") SHOAL_SHARE=$dir/home/downloads/talk.webm \
		npx --no-install playwright test --project=$project ui/newcomer.spec.ts || { cat "$dir/log"; exit 1; }
	kill $pids
	wait
	rm -rf "$dir"
	trap - EXIT
done
