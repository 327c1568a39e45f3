package dht

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"shoal/internal/discovery"
	"shoal/internal/ident"
	"shoal/internal/simnet"
)

const port = 6881

// world is nodes on a simulated network.
type world struct {
	t    *testing.T
	net  *simnet.Net
	link simnet.Link // of every host
	n    int
}

func newWorld(t *testing.T, seed uint64) *world {
	return &world{t: t, net: simnet.New(seed), link: simnet.Link{Latency: 20 * time.Millisecond, Jitter: 10 * time.Millisecond}}
}

// member is one node and its sockets.
type member struct {
	*Node
	addr, addr6 netip.AddrPort
	host, six   *simnet.Host
	conns       []net.PacketConn
	wg          sync.WaitGroup
}

func (w *world) addr() netip.Addr {
	w.n++
	return netip.AddrFrom4([4]byte{20 + byte(w.n%150), byte(w.n / 150), byte(w.n * 7), 1 + byte(w.n%250)})
}

// join starts a node that is told of others.
func (w *world) join(cfg Config, know ...*member) *member {
	return w.start(w.net.Host(w.addr(), w.link), cfg, know...)
}

func (w *world) start(h *simnet.Host, cfg Config, know ...*member) *member {
	w.t.Helper()
	m := w.open(cfg, []*simnet.Host{h})
	for _, k := range know {
		m.AddNode(k.addr)
	}
	return m
}

// packetConn is what simnet's packet sockets can do beyond net.PacketConn.
type packetConn interface {
	net.PacketConn
	ReadFromUDPAddrPort([]byte) (int, netip.AddrPort, error)
	WriteToUDPAddrPort([]byte, netip.AddrPort) (int, error)
}

// open starts a node with a socket on each host.
func (w *world) open(cfg Config, hosts []*simnet.Host) *member {
	w.t.Helper()
	m := &member{host: hosts[0]}
	byFamily := map[bool]packetConn{}
	for _, h := range hosts {
		conn, err := h.ListenPacket(context.Background(), "udp", fmt.Sprintf(":%d", port))
		if err != nil {
			w.t.Fatal(err)
		}
		m.conns = append(m.conns, conn)
		byFamily[h.Addr().Is6()] = conn.(packetConn)
		if addr := netip.AddrPortFrom(h.Addr(), port); h.Addr().Is6() {
			cfg.IPv6, m.addr6 = true, addr
		} else {
			cfg.IPv4, m.addr = true, addr
		}
	}
	cfg.Send = func(b []byte, to netip.AddrPort) error {
		_, err := byFamily[to.Addr().Is6()].WriteToUDPAddrPort(b, to)
		return err
	}
	var err error
	if m.Node, err = New(cfg); err != nil {
		w.t.Fatal(err)
	}
	for _, conn := range byFamily {
		m.wg.Go(func() {
			b := make([]byte, 2048)
			for {
				n, from, err := conn.ReadFromUDPAddrPort(b)
				if err != nil {
					return
				}
				m.Receive(b[:n], from)
			}
		})
	}
	return m
}

func (m *member) stop() error {
	err := m.Close()
	for _, c := range m.conns {
		c.Close()
	}
	m.wg.Wait()
	return err
}

// network starts n nodes, which each know one of those before.
func (w *world) network(n int) (all []*member) {
	for i := range n {
		var know []*member
		if i > 0 {
			know = []*member{all[i/2]}
		}
		all = append(all, w.join(Config{}, know...))
	}
	time.Sleep(time.Minute)
	return all
}

func stopAll(all []*member) {
	for _, m := range all {
		m.stop()
	}
}

// torrent is what a finder asks.
type torrent struct {
	hash ident.InfoHash
	port uint16
	left int64
}

func (t torrent) InfoHash() ident.InfoHash { return t.hash }
func (t torrent) PeerID() ident.PeerID     { return ident.PeerID{} }
func (t torrent) Port() uint16             { return t.port }
func (t torrent) Progress() discovery.Progress {
	return discovery.Progress{Left: t.left}
}
func (t torrent) WantPeers() int { return 50 }

// announce runs one announce and returns the peers that it found.
func announce(m *member, t torrent) map[netip.AddrPort]bool {
	found := map[netip.AddrPort]bool{}
	m.Finder().Announce(context.Background(), t, func(ps []discovery.Peer) {
		for _, p := range ps {
			found[p.Addr] = true
		}
	})
	return found
}

func TestPeersFindEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		all := w.network(40)
		defer func() { stopAll(all) }()
		hash := ident.InfoHash{V1: ident.V1{1, 2, 3}}
		if found := announce(all[7], torrent{hash, 5000, 1}); len(found) > 0 {
			t.Errorf("the first finds %v", found)
		}
		began := time.Now()
		found := announce(all[33], torrent{hash, 0, 1})
		if want := netip.AddrPortFrom(all[7].addr.Addr(), 5000); !found[want] || len(found) != 1 {
			t.Errorf("found %v, want %v", found, want)
		}
		t.Logf("found after %v; %+v", time.Since(began), all[33].Status().Families[0])
		// One that only looks is not found, and who has everything is not told of others that have.
		if found := announce(all[12], torrent{hash, 5001, 0}); len(found) != 1 {
			t.Errorf("found %v", found)
		}
		if found := announce(all[13], torrent{hash, 5002, 0}); len(found) != 1 {
			t.Errorf("a seed found %v", found)
		}
		if found := announce(all[14], torrent{hash, 0, 1}); len(found) != 3 {
			t.Errorf("found %v", found)
		}
	})
}

func TestRestartNeedsNoRouter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2)
		all := w.network(30)
		defer func() { stopAll(all) }()
		state := filepath.Join(t.TempDir(), "dht")
		host := w.net.Host(w.addr(), w.link)
		var asked atomic.Int32
		cfg := Config{State: state, Bootstrap: func(context.Context) []netip.AddrPort {
			asked.Add(1)
			return []netip.AddrPort{all[0].addr}
		}}
		m := w.start(host, cfg)
		time.Sleep(2 * time.Minute)
		before := m.Status().Families[0]
		if asked.Load() != 1 || before.Nodes < 10 {
			t.Fatalf("asked the routers %d times; %+v", asked.Load(), before)
		}
		if err := m.stop(); err != nil {
			t.Fatal(err)
		}
		m = w.start(host, cfg)
		time.Sleep(time.Minute)
		after := m.Status().Families[0]
		if asked.Load() != 1 || after.Nodes < 10 || after.ID != before.ID {
			t.Errorf("asked the routers %d times; %+v after %+v", asked.Load(), after, before)
		}
		m.stop()
	})
}
