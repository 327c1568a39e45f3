package lsd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"shoal/internal/discovery"
	"shoal/internal/ident"
	"shoal/internal/netx"
	"shoal/internal/simnet"
)

// wanted is a torrent that asks its finder when that is due, until the test ends, as active torrents do, each second.
type wanted struct {
	hash  ident.InfoHash
	found chan []netip.AddrPort
	stop  context.CancelFunc
}

func (w *wanted) InfoHash() ident.InfoHash     { return w.hash }
func (w *wanted) PeerID() ident.PeerID         { return ident.PeerID{} }
func (w *wanted) Port() uint16                 { return 1 }
func (w *wanted) Progress() discovery.Progress { return discovery.Progress{Left: 1} }
func (w *wanted) WantPeers() int               { return 10 }

func v1(i int) ident.InfoHash { return ident.InfoHash{V1: name(i)} }

// finds runs a torrent over a service.
func finds(t *testing.T, s *Service, hash ident.InfoHash) *wanted {
	return findsEvery(t, s, hash, time.Second)
}

// findsEvery runs a torrent that looks less often whether its finder is due.
func findsEvery(t *testing.T, s *Service, hash ident.InfoHash, tick time.Duration) *wanted {
	w := &wanted{hash: hash, found: make(chan []netip.AddrPort, 100)}
	var ctx context.Context
	ctx, w.stop = context.WithCancel(t.Context())
	f := s.Finder()
	go func() {
		for ctx.Err() == nil {
			if at, ok := f.Next(); ok && !at.After(time.Now()) {
				f.Announce(ctx, w, func(peers []discovery.Peer) {
					var addrs []netip.AddrPort
					for _, p := range peers {
						if p.Source != discovery.LSD {
							t.Error(p)
						}
						addrs = append(addrs, p.Addr)
					}
					w.found <- addrs
				})
			}
			select {
			case <-time.After(tick):
			case <-ctx.Done():
			}
		}
		f.Withdraw(context.Background(), w)
	}()
	return w
}

// hears returns the addresses that a torrent finds within a time.
func (w *wanted) hears(d time.Duration) (all []netip.AddrPort) {
	for deadline := time.After(d); ; {
		select {
		case addrs := <-w.found:
			all = append(all, addrs...)
		case <-deadline:
			return all
		}
	}
}

func start(t *testing.T, h *simnet.Host, port uint16) *Service {
	t.Helper()
	s, err := New(Config{Network: h, Port: func() uint16 { return port }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// homes returns hosts of one home, and one of another.
func homes(n *simnet.Net) (here []*simnet.Host, there *simnet.Host) {
	link := simnet.Link{Latency: time.Millisecond}
	a := n.NAT(netip.MustParseAddr("203.0.113.1"), link, simnet.FullCone)
	b := n.NAT(netip.MustParseAddr("203.0.113.2"), link, simnet.FullCone)
	for i := range 3 {
		here = append(here, a.Host(netip.AddrFrom4([4]byte{192, 168, 1, byte(10 + i)}), link))
	}
	return here, b.Host(netip.MustParseAddr("192.168.1.99"), link)
}

func same(t *testing.T, what string, got []netip.AddrPort, want ...string) {
	t.Helper()
	var names []string
	for _, a := range got {
		names = append(names, a.String())
	}
	slices.Sort(names)
	if !slices.Equal(names, want) {
		t.Errorf("%s: found %v, want %v", what, names, want)
	}
}

// bubble runs a test in a synctest bubble, in which services are closed before it ends.
func bubble(t *testing.T, f func(t *testing.T, n *simnet.Net)) {
	synctest.Test(t, func(t *testing.T) { f(t, simnet.New(1)) })
}

func TestFind(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Net) {
		here, there := homes(n)
		a, b, c, far := start(t, here[0], 1000), start(t, here[1], 2000), start(t, here[2], 3000), start(t, there, 4000)
		hybrid := ident.InfoHash{V1: name(1), V2: ident.V2{9: 2}}
		early := finds(t, a, hybrid)
		sameName := finds(t, far, hybrid)
		other := finds(t, c, v1(5))
		same(t, "alone", early.hears(time.Hour))

		late := finds(t, b, v1(1))
		same(t, "the early one", early.hears(4*time.Second), "192.168.1.11:2000")
		same(t, "the late one, who is answered", late.hears(time.Second), "192.168.1.10:1000")
		v2 := finds(t, c, ident.InfoHash{V2: ident.V2{9: 2}})
		same(t, "the hybrid", early.hears(2*time.Second), "192.168.1.12:3000")
		same(t, "one that knows the v2 name only", v2.hears(time.Minute), "192.168.1.10:1000") // who has just announced, so it takes a minute

		late.hears(time.Second)
		time.Sleep(time.Hour)
		if got := len(late.hears(time.Second)); got < 11 || got > 14 {
			t.Errorf("in an hour it was told of the same peer %d times", got)
		}
		early.hears(time.Second)
		same(t, "another torrent", other.hears(time.Second))
		same(t, "another home", sameName.hears(time.Second))
	})
}

// TestResting: a torrent whose finder is not asked is still found by those who come, and stays silent once it is withdrawn.
func TestResting(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Net) {
		here, _ := homes(n)
		a, b := start(t, here[0], 1000), start(t, here[1], 2000)
		f, w := a.Finder(), &wanted{hash: v1(1)}
		f.Announce(t.Context(), w, nil)
		if at, ok := f.Next(); !ok || !at.After(time.Now()) {
			t.Error(at, ok)
		}
		time.Sleep(4 * time.Minute)
		late := finds(t, b, v1(1))
		same(t, "who came", late.hears(5*time.Second), "192.168.1.10:1000")
		if at, ok := f.Next(); !ok || at.After(time.Now()) {
			t.Error("there is something to tell, but Next is", at, ok)
		}
		if st := f.Status()[0]; st.URL != "lsd" || !st.Working || st.Peers != 1 || st.Last.IsZero() {
			t.Errorf("%+v", st)
		}
		late.stop()
		time.Sleep(10 * time.Minute)
		f.Withdraw(t.Context(), w)
		late = finds(t, b, v1(1))
		same(t, "after it was withdrawn", late.hears(20*time.Minute))
	})
}

// TestForgotten: a finder that nobody asks any more announces nothing, even if it was not withdrawn.
func TestForgotten(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Net) {
		here, _ := homes(n)
		a, b := start(t, here[0], 1000), start(t, here[1], 2000)
		f := a.Finder()
		f.Announce(t.Context(), &wanted{hash: v1(1)}, nil)
		time.Sleep(11 * time.Minute)
		late := finds(t, b, v1(1))
		same(t, "who came late", late.hears(20*time.Minute))
		a.mu.Lock()
		if len(a.torrents) != 0 {
			t.Error("it is remembered")
		}
		a.mu.Unlock()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		f.Announce(ended, &wanted{hash: v1(1)}, nil)
		same(t, "after an announce that had ended", late.hears(10*time.Minute))
	})
}

// tap hears all announces of a home.
func tap(t *testing.T, h *simnet.Host) (heard func() []message) {
	c, err := h.ListenMulticast(t.Context(), groups[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	var all []message
	go func() {
		b := make([]byte, 2000)
		for {
			n, _, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			m, err := parse(b[:n])
			if err != nil {
				t.Error(err)
			}
			all = append(all, m)
		}
	}()
	return func() []message {
		synctest.Wait()
		got := all
		all = nil
		return got
	}
}

// TestRate: a client sends one announce a minute, a few at once in the beginning, and all torrents get their turn.
func TestRate(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Net) {
		here, _ := homes(n)
		s, heard := start(t, here[0], 1000), tap(t, here[1])
		for i := range 300 {
			findsEvery(t, s, v1(i), 10*time.Second)
		}
		time.Sleep(10 * time.Second)
		if got := heard(); len(got) != burst || len(got[0].names) != 25 {
			t.Errorf("%d announces at once, the first with %d names", len(got), len(got[0].names))
		}
		time.Sleep(time.Hour)
		got := heard()
		if len(got) < 55 || len(got) > 61 {
			t.Errorf("%d announces an hour", len(got))
		}
		times := map[ident.V1]int{}
		for _, m := range got {
			for _, name := range m.names {
				times[name]++
			}
		}
		for i := range 300 {
			if k := times[name(i)]; k < 4 || k > 6 {
				t.Errorf("torrent %d had its turn %d times", i, k)
			}
		}
	})
}

func TestHurry(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Net) {
		here, _ := homes(n)
		s, heard := start(t, here[0], 1000), tap(t, here[1])
		f := s.Finder()
		f.Hurry() // before it has begun
		f.Announce(t.Context(), &wanted{hash: v1(1)}, nil)
		for range 150 { // a torrent without peers hurries each second
			f.Hurry()
			time.Sleep(time.Second)
		}
		if got := len(heard()); got != 3 {
			t.Errorf("%d announces in two and a half minutes", got)
		}
	})
}

// TestNoPort: who takes no connections says nothing, and hears.
func TestNoPort(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Net) {
		here, _ := homes(n)
		a, b := start(t, here[0], 0), start(t, here[1], 2000)
		w := finds(t, a, v1(1))
		same(t, "the silent one", w.hears(time.Minute))
		x := finds(t, b, v1(1))
		same(t, "the silent one", w.hears(time.Minute), "192.168.1.11:2000")
		same(t, "the other", x.hears(time.Second))
	})
}

// TestHostile: floods, nonsense and senders from elsewhere neither fill memory nor keep others from being heard.
func TestHostile(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Net) {
		here, _ := homes(n)
		s, heard := start(t, here[0], 1000), tap(t, here[2])
		f := s.Finder()
		f.Announce(t.Context(), &wanted{hash: v1(1)}, nil)
		time.Sleep(time.Minute)
		heard()
		c, err := here[1].ListenPacket(t.Context(), "udp", ":0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for port := range 2000 {
			b, _ := message{port: uint16(port + 1), names: []ident.V1{name(1)}}.bytes("x")
			c.WriteTo(b, net.UDPAddrFromAddrPort(groups[0]))
		}
		time.Sleep(5 * time.Second)
		if got := f.Status()[0].Peers; got != maxPeers {
			t.Errorf("%d addresses are remembered", got)
		}
		answers := 0
		for _, m := range heard() {
			if m.cookie != "" {
				answers++
			}
		}
		if answers > 1 {
			t.Errorf("a flood was answered %d times", answers)
		}
		f.Announce(t.Context(), &wanted{hash: v1(1)}, func(p []discovery.Peer) {
			if len(p) != maxPeers {
				t.Errorf("%d peers", len(p))
			}
		})
		b, _ := message{port: 7, names: []ident.V1{name(1)}}.bytes("x")
		time.Sleep(10 * time.Minute)
		f.Announce(t.Context(), &wanted{hash: v1(1)}, nil)
		s.hear(b, netip.MustParseAddr("198.51.100.7"), time.Now())
		if at, _ := f.Next(); !at.After(time.Now()) {
			t.Error("a sender from elsewhere was heard")
		}
		s.hear(b, netip.MustParseAddr("fe80::1%eth0"), time.Now())
		if at, _ := f.Next(); at.After(time.Now()) {
			t.Error("a neighbour was not heard after a flood")
		}
	})
}

func TestNeighbour(t *testing.T) {
	s := subnets{read: func() []netip.Prefix {
		return []netip.Prefix{netip.MustParsePrefix("203.0.113.0/25"), netip.MustParsePrefix("2001:db8:1::/64")}
	}}
	for a, want := range map[string]bool{
		"10.1.2.3": true, "172.16.0.1": true, "192.168.9.9": true, "169.254.1.1": true, "127.0.0.1": true, "fd00::1": true, "fe80::1%eth0": true,
		"::1": true, "203.0.113.7": true, "2001:db8:1::7": true,
		"203.0.113.200": false, "2001:db8:2::7": false, "8.8.8.8": false, "0.0.0.0": false, "239.192.152.143": false, "255.255.255.255": false,
	} {
		if got := s.has(netip.MustParseAddr(a), time.Now()); got != want {
			t.Errorf("%s: %v", a, got)
		}
	}
	for _, p := range machineSubnets() {
		if !p.IsValid() || p.Bits() == 0 {
			t.Error(p)
		}
	}
}

func TestNoMulticast(t *testing.T) {
	_, err := New(Config{Network: struct{ netx.Network }{}, Port: func() uint16 { return 1 }})
	if !errors.Is(err, netx.ErrNoMulticast) {
		t.Error(err)
	}
}

// TestSixAlone: a host with IPv6 alone.
func TestSixAlone(t *testing.T) {
	bubble(t, func(t *testing.T, n *simnet.Net) {
		fw := n.Firewall(netip.MustParseAddr("2001:db8::1"), simnet.Link{}, simnet.NATKind{})
		var all []*wanted
		for i := range 2 {
			h := fw.Host(netip.MustParseAddr(fmt.Sprintf("fd00::%d", i+10)), simnet.Link{})
			all = append(all, finds(t, start(t, h, 1000), v1(1)))
		}
		same(t, "the first", all[0].hears(5*time.Second), "[fd00::11]:1000")
		same(t, "the second", all[1].hears(time.Second), "[fd00::10]:1000")
	})
}
