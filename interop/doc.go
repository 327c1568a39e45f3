// Package interop holds the tests of shoal against real clients, as Debian packages them: Transmission, aria2,
// libtorrent's Python binding, opentracker, nginx, Tor, Dante and tinyproxy; and with real players, mpv and ffprobe. They run on Linux, each time in a fresh network
// namespace that has only a loopback interface, so that nothing reaches or disturbs any other network.
//
//	apt-get install transmission-daemon transmission-cli aria2 python3-libtorrent opentracker nginx tor dante-server tinyproxy mpv ffmpeg iproute2
//	go test ./interop
//
// Only root may make the namespace.
package interop
