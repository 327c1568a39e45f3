//go:build linux

package interop

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"shoal/internal/bt/lsd"
	"shoal/internal/discovery"
	"shoal/internal/ident"
	"shoal/internal/netx"
)

const (
	lanDevice      = "lan"
	lanOwn, lanFar = "10.79.0.1", "10.79.0.2"
	lanOwn6        = "2001:db8:79::1"
	lanFar6        = "2001:db8:79::2"
)

// libtorrentLSD is a libtorrent peer with nothing but local discovery. Arguments: IP:PORT and a magnet link.
const libtorrentLSD = `
import sys
import libtorrent as lt
session = lt.session({"listen_interfaces": sys.argv[1], "enable_dht": False, "enable_lsd": True, "enable_upnp": False, "enable_natpmp": False,
    "enable_incoming_utp": False, "enable_outgoing_utp": False, "in_enc_policy": 2, "out_enc_policy": 2})
params = lt.parse_magnet_uri(sys.argv[2])
params.save_path = "."
params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
torrent = session.add_torrent(params)
sys.stdin.read()
`

// TestLSD: real clients on the other side of a local network hear us and connect, and we hear them.
func TestLSD(t *testing.T) {
	if !alone(t) {
		return
	}
	far := newNamespace(t)
	ip(t, fmt.Sprintf("link add %s type veth peer name %s netns %d", lanDevice, lanDevice, far.pid),
		"addr add "+lanOwn+"/24 dev "+lanDevice, "link set "+lanDevice+" up")
	far.ip(t, "link set lo up", "addr add "+lanFar+"/24 dev "+lanDevice, "link set "+lanDevice+" up", "route add 224.0.0.0/4 dev "+lanDevice)
	for _, which := range []string{"all", lanDevice} {
		must(t, os.WriteFile(filepath.Join("/proc/sys/net/ipv6/conf", which, "disable_ipv6"), []byte("0"), 0))
	}
	ip(t, "addr add "+lanOwn6+"/64 dev "+lanDevice+" nodad")
	far.ip(t, "addr add "+lanFar6+"/64 dev "+lanDevice+" nodad")
	for _, c := range []struct {
		name   string
		run    func(t *testing.T, far *namespace, listen, magnet string) *process
		listen string
	}{
		{"libtorrent", runLibtorrentLSD, lanFar + ":20000"},
		{"libtorrent over IPv6", runLibtorrentLSD, "[" + lanFar6 + "]:20001"},
		{"Transmission", runTransmissionLSD, lanFar + ":20002"},
	} {
		t.Run(c.name, func(t *testing.T) { meet(t, far, c.run, c.listen) })
	}
}

func runLibtorrentLSD(t *testing.T, far *namespace, listen, magnet string) *process {
	home := t.TempDir()
	script := filepath.Join(home, "lsd.py")
	must(t, os.WriteFile(script, []byte(libtorrentLSD), 0o644))
	return start(t, "libtorrent", home, false, needProgram(t, "nsenter", "util-linux"), "-t", fmt.Sprint(far.pid), "-n",
		"/usr/bin/python3", script, listen, magnet)
}

func runTransmissionLSD(t *testing.T, far *namespace, listen, magnet string) *process {
	path, home := needProgram(t, "transmission-daemon", "transmission-daemon"), t.TempDir()
	at := netip.MustParseAddrPort(listen)
	settings, err := json.Marshal(map[string]any{
		"bind-address-ipv4": lanFar, "peer-port": at.Port(), "port-forwarding-enabled": false, "encryption": 0,
		"dht-enabled": false, "lpd-enabled": true, "pex-enabled": false, "utp-enabled": false,
		"rpc-enabled": true, "rpc-bind-address": lanFar, "rpc-port": 9091, "rpc-whitelist-enabled": false,
	})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(home, "settings.json"), settings, 0o644))
	c := &transmission{ip: lanFar, rpc: fmt.Sprintf("http://%s:9091/transmission/rpc", lanFar)}
	c.process = start(t, "transmission", home, false, needProgram(t, "nsenter", "util-linux"), "-t", fmt.Sprint(far.pid), "-n",
		path, "-f", "-g", home, "--log-error")
	waitFor(t, "Transmission's RPC", c.process, func() (bool, error) {
		err := c.call("session-get", nil, nil)
		return err == nil, err
	})
	must(t, c.add(magnet, home))
	return c.process
}

// meet starts a client while a service listens that says nothing, and then one that announces.
func meet(t *testing.T, far *namespace, run func(*testing.T, *namespace, string, string) *process, listen string) {
	var torrent lanTorrent
	for i := range torrent {
		torrent[i] = byte(rand.Uint32())
	}
	network := netx.NewDevice(lanDevice, netip.AddrPort{}, netx.Options{})
	silent, err := lsd.New(lsd.Config{Network: network, Port: func() uint16 { return 0 }})
	must(t, err)
	defer silent.Close()
	hears := silent.Finder()
	hears.Announce(t.Context(), torrent, nil)

	p := run(t, far, listen, "magnet:?xt=urn:btih:"+ident.V1(torrent).String())
	var heard []discovery.Peer
	waitFor(t, "an announce of the other client", p, func() (bool, error) {
		if at, _ := hears.Next(); !at.After(time.Now()) {
			hears.Announce(t.Context(), torrent, func(peers []discovery.Peer) { heard = append(heard, peers...) })
		}
		return len(heard) > 0, nil
	})
	if want := netip.MustParseAddrPort(listen); heard[0].Addr != want {
		t.Errorf("heard of %v, want %v", heard[0].Addr, want)
	}

	l, err := net.Listen("tcp", ":0")
	must(t, err)
	defer l.Close()
	loud, err := lsd.New(lsd.Config{Network: network, Port: func() uint16 { return uint16(l.Addr().(*net.TCPAddr).Port) }})
	must(t, err)
	defer loud.Close()
	loud.Finder().Announce(t.Context(), torrent, nil)
	must(t, l.(*net.TCPListener).SetDeadline(time.Now().Add(limit)))
	conn, err := l.Accept()
	must(t, err)
	defer conn.Close()
	handshake := make([]byte, 48)
	must(t, conn.SetDeadline(time.Now().Add(limit)))
	_, err = io.ReadFull(conn, handshake)
	must(t, err)
	if got := ident.V1(handshake[28:]); got != ident.V1(torrent) {
		t.Errorf("it wants %v, not %v", got, ident.V1(torrent))
	}
	p.kill()
}

// lanTorrent is a torrent of which nothing is known but its name.
type lanTorrent ident.V1

func (l lanTorrent) InfoHash() ident.InfoHash     { return ident.InfoHash{V1: ident.V1(l)} }
func (l lanTorrent) PeerID() ident.PeerID         { return ident.PeerID{} }
func (l lanTorrent) Port() uint16                 { return 0 }
func (l lanTorrent) Progress() discovery.Progress { return discovery.Progress{Left: 1} }
func (l lanTorrent) WantPeers() int               { return 50 }
