package session_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/session"
	"shoal/internal/bt/torrent"
	"shoal/internal/bt/wire"
	"shoal/internal/ident"
	"shoal/internal/ipfilter"
	"shoal/internal/simnet"
)

// overUTP counts the peers of a torrent whose connections run over uTP.
func overUTP(tor *torrent.Torrent) (n int) {
	for _, p := range tor.Peers() {
		if p.Info.UTP {
			n++
		}
	}
	return n
}

// Across the internet peers meet over uTP where both can, and over TCP where one cannot.
func TestRoadsToPeers(t *testing.T) {
	for _, c := range []struct {
		name              string
		seed, leecher     func(*session.Config)
		local, meets, utp bool
	}{
		{name: "both can", meets: true, utp: true},
		{name: "the seed has TCP only", seed: noUTP, meets: true},
		{name: "the leecher has TCP only", leecher: noUTP, meets: true},
		{name: "the seed has uTP only", seed: noTCP, meets: true, utp: true},
		{name: "the leecher has uTP only", leecher: noTCP, meets: true, utp: true},
		{name: "nothing in common", seed: noUTP, leecher: noTCP},
		{name: "on a local network TCP is quicker", local: true, meets: true},
		{name: "on a local network with uTP only", seed: noTCP, local: true, meets: true, utp: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			simulate(t, func(w *world) {
				data := makeContent(t, metainfo.CreateOptions{}, 1<<20)
				seed, l := w.at(c.local, 1), w.at(c.local, 2)
				for _, n := range []struct {
					*node
					set func(*session.Config)
				}{{seed, c.seed}, {l, c.leecher}} {
					if n.set == nil {
						n.start()
					} else {
						n.start(n.set)
					}
				}
				seed.seed(data)
				tor := l.leech(data, seed)
				if !c.meets {
					time.Sleep(time.Minute)
					if n := len(tor.Peers()); n != 0 {
						t.Errorf("%d peers", n)
					}
					return
				}
				time.Sleep(2 * time.Second)
				if got := overUTP(tor) > 0; got != c.utp {
					t.Errorf("over uTP: %v", got)
				}
				l.finish(tor, data, time.Minute)
			})
		})
	}
}

func noUTP(cfg *session.Config) { cfg.NoUTP = true }
func noTCP(cfg *session.Config) { cfg.NoTCP = true }

// at returns the i-th node of a public or a local network, which has yet to be started.
func (w *world) at(local bool, i int) *node {
	a := addr(i)
	if local {
		a = netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
	}
	n := &node{w: w, host: w.net.Host(a, dsl)}
	w.nodes = append(w.nodes, n)
	return n
}

// With addresses that the filter blocks there is nothing to do, either way.
func TestIPFilter(t *testing.T) {
	for _, way := range []string{"dials", "is dialled"} {
		t.Run(way, func(t *testing.T) {
			simulate(t, func(w *world) {
				data := makeContent(t, metainfo.CreateOptions{}, 64<<10)
				filter, _, err := ipfilter.Parse(strings.NewReader(fmt.Sprintf("bad:%v-%[1]v\n", addr(1))))
				if err != nil {
					t.Fatal(err)
				}
				seed, l := w.node(dsl), w.node(dsl, func(cfg *session.Config) { cfg.Filter = filter })
				var tor *torrent.Torrent
				if way == "dials" {
					seed.seed(data)
					tor = l.leech(data, seed)
				} else {
					tor = l.add(session.Spec{Torrent: data.torrent})
					seed.seed(data, session.Spec{Peers: addrs(l)})
				}
				time.Sleep(time.Minute)
				if n := len(tor.Peers()); n != 0 {
					t.Errorf("%d peers", n)
				}
				honest := w.node(dsl)
				honest.seed(data, session.Spec{Peers: addrs(l)})
				l.finish(tor, data, time.Minute)
			})
		})
	}
}

// A stranger that says nothing is sent away after twenty seconds, over either road.
func TestAStrangerHasTwentySeconds(t *testing.T) {
	simulate(t, func(w *world) {
		victim := w.node(fast)
		c, err := w.host(fast).Dial(context.Background(), "tcp", victim.at().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		begun := time.Now()
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("it was answered")
		}
		if d := time.Since(begun).Round(time.Second); d != 20*time.Second {
			t.Errorf("it was sent away after %v", d)
		}
	})
}

// What an anonymous session says has nothing in it that tells who it is.
func TestAnonymous(t *testing.T) {
	simulate(t, func(w *world) {
		data := makeContent(t, metainfo.CreateOptions{}, 64<<10)
		first := w.node(dsl, withDHT(""))
		shy := w.node(dsl, func(cfg *session.Config) {
			withDHT("", first)(cfg)
			cfg.Anonymous, cfg.Client = true, "shoal/secret"
		})
		other := makeContent(t, metainfo.CreateOptions{}, 65<<10)
		a, b := shy.seed(data), shy.seed(other)
		if id := a.PeerID(); strings.HasPrefix(string(id[:]), "-SL") || id == b.PeerID() {
			t.Errorf("peer ids %q and %q", id, b.PeerID())
		}
		hs, ext := w.interview(shy, data)
		if hs.Reserved.DHT() {
			t.Error("the handshake tells of a DHT node")
		}
		if ext.Version != "" || ext.Port != 0 || ext.YourIP.IsValid() || ext.IPv4.IsValid() || ext.IPv6.IsValid() || ext.TR != nil {
			t.Errorf("the extension handshake is %+v", ext)
		}
		for _, name := range []string{wire.ExtHolepunch, wire.ExtTEX} {
			if ext.M[name] != 0 {
				t.Errorf("%s is offered", name)
			}
		}
		open := w.node(dsl)
		open.seed(data)
		if _, ext := w.interview(open, data); ext.Version == "" || ext.Port == 0 || !ext.YourIP.IsValid() || ext.M[wire.ExtHolepunch] == 0 {
			t.Errorf("without the profile the extension handshake is %+v", ext)
		}
	})
}

// interview returns what a node says of itself to a peer that dials it plainly.
func (w *world) interview(n *node, c *content) (wire.Handshake, wire.ExtHandshake) {
	w.Helper()
	conn, err := w.host(simnet.Link{}).Dial(context.Background(), "tcp", n.at().String())
	if err != nil {
		w.Fatal(err)
	}
	defer conn.Close()
	hello := wire.Handshake{Reserved: wire.OurReserved(wire.BitExtended, wire.BitDHT), InfoHash: c.torrent.Info.Hash.Key(), PeerID: ident.NewPeerID("-XX0001-")}
	conn.Write(wire.AppendHandshake(nil, hello))
	return readGreeting(w, conn)
}

func readGreeting(w *world, conn net.Conn) (wire.Handshake, wire.ExtHandshake) {
	w.Helper()
	b := make([]byte, wire.HandshakeLen)
	for n := 0; n < len(b); {
		k, err := conn.Read(b[n:])
		if err != nil {
			w.Fatal(err)
		}
		n += k
	}
	hs, err := wire.ParseHandshake(b)
	if err != nil {
		w.Fatal(err)
	}
	d := wire.NewDecoder(conn, nil, wire.DefaultLimits)
	for {
		var m wire.Message
		if err := d.Next(&m); err != nil {
			w.Fatal(err)
		}
		if m.ID == wire.Extended && m.Ext == 0 {
			ext, err := wire.ParseExtHandshake(m.Payload)
			if err != nil {
				w.Fatal(err)
			}
			return hs, ext
		}
	}
}
