package simnet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

var (
	public  = netip.MustParseAddr("203.0.113.1")
	private = netip.MustParseAddr("192.168.7.20")
)

// socket opens a UDP socket, which is closed when the test ends.
func socket(t *testing.T, h *Host, addr string) *packetConn {
	t.Helper()
	p, err := h.ListenPacket(t.Context(), "udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return p.(*packetConn)
}

// hears waits a second for a datagram and returns it and its sender, or nothing.
func (p *packetConn) hears() (string, netip.AddrPort) {
	b := make([]byte, 100)
	p.SetReadDeadline(time.Now().Add(time.Second))
	n, from, err := p.ReadFromUDPAddrPort(b)
	if err != nil {
		return "", netip.AddrPort{}
	}
	return string(b[:n]), from
}

// shows sends a datagram from inside and returns how the other end sees the sender.
func shows(t *testing.T, from, to *packetConn) netip.AddrPort {
	t.Helper()
	from.WriteToUDPAddrPort([]byte("hello"), to.addr)
	_, seen := to.hears()
	if seen.Addr() != public {
		t.Fatalf("%v sees %v", to.addr, seen)
	}
	return seen
}

func TestNATKinds(t *testing.T) {
	for _, c := range []struct {
		name             string
		kind             NATKind
		samePort, sameIP bool   // the public port is the same for another port, and another address
		letsIn           string // of those who may answer: the one sent to, another port of its, another host
	}{
		{"full cone", FullCone, true, true, "abc"},
		{"restricted cone", RestrictedCone, true, true, "ab"},
		{"port restricted", PortRestricted, true, true, "a"},
		{"symmetric", Symmetric, false, false, "a"},
		{"address-dependent", NATKind{Mapping: AddressDependent, Filtering: AddressDependent}, true, false, "ab"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := New(1)
				a := n.NAT(public, Link{Latency: time.Millisecond}, c.kind)
				inside := socket(t, a.Host(private, Link{Latency: time.Millisecond}), ":5000")
				first, other := n.Host(addr(1), Link{}), n.Host(addr(2), Link{})
				x, y, z := socket(t, first, ":1"), socket(t, first, ":2"), socket(t, other, ":1")

				seen := shows(t, inside, x)
				if preserved := seen.Port() == 5000; preserved != c.kind.PreservePorts {
					t.Errorf("port 5000 is shown as %v", seen)
				}
				got := ""
				for name, from := range map[string]*packetConn{"a": x, "b": y, "c": z} {
					from.WriteToUDPAddrPort([]byte(name), seen)
				}
				for range 3 {
					s, _ := inside.hears()
					got += s
				}
				for _, name := range []string{"a", "b", "c"} {
					if strings.Contains(got, name) != strings.Contains(c.letsIn, name) {
						t.Errorf("it let %q in, want %q", got, c.letsIn)
					}
				}
				if same := shows(t, inside, y) == seen; same != c.samePort {
					t.Errorf("another port sees the same end: %v", same)
				}
				if same := shows(t, inside, z) == seen; same != c.sameIP {
					t.Errorf("another host sees the same end: %v", same)
				}
				if again := shows(t, inside, x); again != seen {
					t.Errorf("first %v, then %v", seen, again)
				}
			})
		})
	}
}

func TestNATTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		a := n.NAT(public, Link{}, NATKind{})
		inside, outside := socket(t, a.Host(private, Link{}), ":5000"), socket(t, n.Host(addr(1), Link{}), ":1")
		seen := shows(t, inside, outside)
		answered := func() bool {
			outside.WriteToUDPAddrPort([]byte("answer"), seen)
			s, _ := inside.hears()
			return s == "answer"
		}
		time.Sleep(100 * time.Second)
		if !answered() {
			t.Error("an answer after 100 s was dropped")
		}
		time.Sleep(30 * time.Second)
		if answered() {
			t.Error("an answer after 130 s came in: only packets from inside keep a mapping alive")
		}
		seen = shows(t, inside, outside)
		for range 3 {
			time.Sleep(100 * time.Second)
			if shows(t, inside, outside) != seen {
				t.Error("a mapping in use has changed")
			}
		}
		a.Reset()
		if answered() {
			t.Error("an answer came in after a restart")
		}
	})
}

// punch has two sockets behind NATs learn their public ends at a server and send to each other's, and reports whether both hear.
func punch(t *testing.T, x, y, server *packetConn) bool {
	t.Helper()
	ends := make([]netip.AddrPort, 2)
	for i, p := range []*packetConn{x, y} {
		p.WriteToUDPAddrPort([]byte("who am I?"), server.addr)
		_, ends[i] = server.hears()
	}
	for range 3 {
		x.WriteToUDPAddrPort([]byte("punch"), ends[1])
		y.WriteToUDPAddrPort([]byte("punch"), ends[0])
		time.Sleep(time.Second)
	}
	a, _ := x.hears()
	b, _ := y.hears()
	return a == "punch" && b == "punch"
}

func TestHolePunching(t *testing.T) {
	kinds := []NATKind{FullCone, RestrictedCone, PortRestricted, Symmetric}
	want := [][]bool{
		{true, true, true, false}, // the one that only hears does not answer whom it heard
		{true, true, true, false},
		{true, true, true, false},
		{false, false, false, false},
	}
	for i, k := range kinds {
		for j, l := range kinds {
			synctest.Test(t, func(t *testing.T) {
				n := New(1)
				link := Link{Latency: 10 * time.Millisecond}
				x := socket(t, n.NAT(public, link, k).Host(private, link), ":5000")
				y := socket(t, n.NAT(public.Next(), link, l).Host(private, link), ":5000")
				server := socket(t, n.Host(addr(1), link), ":1")
				if got := punch(t, x, y, server); got != want[i][j] {
					t.Errorf("kinds %d and %d: %v", i, j, got)
				}
			})
		}
	}
}

func TestHairpin(t *testing.T) {
	for _, hairpin := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n := New(1)
			a := n.NAT(public, Link{Up: 1000}, NATKind{Hairpin: hairpin, PreservePorts: true})
			x, y := socket(t, a.Host(private, Link{}), ":1"), socket(t, a.Host(private.Next(), Link{}), ":2")
			shows(t, y, socket(t, n.Host(addr(1), Link{}), ":1"))
			x.WriteToUDPAddrPort([]byte("round"), netip.AddrPortFrom(public, 2))
			s, from := y.hears()
			if (s != "") != hairpin || hairpin && from != netip.AddrPortFrom(public, 1) {
				t.Errorf("%v: %q from %v", hairpin, s, from)
			}
			x.WriteToUDPAddrPort([]byte("direct"), y.addr)
			if s, from := y.hears(); s != "direct" || from != x.addr {
				t.Errorf("%q from %v", s, from)
			}
			l, err := y.host.Listen(t.Context(), "tcp", ":9")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			end, err := a.Map("tcp", 99, netip.AddrPortFrom(y.addr.Addr(), 9), 0)
			if err != nil {
				t.Fatal(err)
			}
			if got := dials(t, x.host, end.String()); got != hairpin {
				t.Errorf("a stream to the public port: %v", got)
			}
		})
	}
}

// dials reports whether a connection is made within ten seconds.
func dials(t *testing.T, h *Host, to string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := h.Dial(ctx, "tcp", to)
	if err == nil {
		c.Close()
	} else if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	return err == nil
}

func TestNATStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		a := n.NAT(public, Link{Up: 1e6, Latency: 10 * time.Millisecond}, PortRestricted)
		inside, outside := a.Host(private, Link{Latency: 5 * time.Millisecond}), n.Host(addr(2), Link{Latency: 5 * time.Millisecond})
		l, err := outside.Listen(t.Context(), "tcp", ":1")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		start := time.Now()
		c, s := connect(t, inside, l)
		between(t, "connect", time.Since(start), 60*time.Millisecond, 60*time.Millisecond)
		if remote := s.RemoteAddr().(*net.TCPAddr).AddrPort(); remote.Addr() != public || c.RemoteAddr().String() != "10.0.0.2:1" {
			t.Error(remote, c.RemoteAddr())
		}
		between(t, "the NAT's uplink", transfer(t, c, s, 5e6), 5*time.Second, 6*time.Second)
		s.Close()

		in, err := inside.Listen(t.Context(), "tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		if dials(t, outside, public.String()+":80") || dials(t, outside, c.LocalAddr().String()) {
			t.Error("a stream from outside came in")
		}
		c, s = connect(t, inside, l)
		n.Partition(inside, outside)
		c.Write([]byte("lost"))
		s.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := s.Read(make([]byte, 9)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("a partition did not hold:", err)
		}
		n.Heal(inside, outside)
		s.SetReadDeadline(time.Time{})
		if k, err := s.Read(make([]byte, 9)); k != 4 || err != nil {
			t.Error(k, err)
		}
		inside.Kill()
		if _, err := s.Read(make([]byte, 9)); !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
		s.Close()
	})
}

func TestMap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		a := n.NAT(public, Link{}, Symmetric)
		inside, outside := a.Host(private, Link{}), n.Host(addr(1), Link{})
		l, err := inside.Listen(t.Context(), "tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		to := netip.AddrPortFrom(private, 80)
		end, err := a.Map("tcp", 8080, to, time.Hour)
		if want := netip.AddrPortFrom(public, 8080); err != nil || end != want {
			t.Fatal(end, err)
		}
		if got, ok := a.Mapped("tcp", end); !ok || got != to {
			t.Error(got, ok)
		}
		if _, err := a.Map("tcp", 8080, netip.AddrPortFrom(private, 81), 0); !errors.Is(err, syscall.EADDRINUSE) {
			t.Error(err)
		}
		if again, err := a.Map("tcp", 0, to, time.Hour); err != nil || again != end {
			t.Error("renewed:", again, err)
		}
		if !dials(t, outside, end.String()) {
			t.Error("the open port is closed")
		}
		time.Sleep(time.Hour)
		if dials(t, outside, end.String()) {
			t.Error("it is open for longer than asked for")
		}

		p, q := socket(t, inside, ":90"), socket(t, outside, ":1")
		end, err = a.Map("udp", 90, p.addr, 0)
		if err != nil {
			t.Fatal(err)
		}
		q.WriteToUDPAddrPort([]byte("in"), end)
		if s, from := p.hears(); s != "in" || from != q.addr {
			t.Errorf("%q from %v", s, from)
		}
		if seen := shows(t, p, q); seen != end {
			t.Errorf("what has a public port is seen as %v", seen)
		}
		if !a.Unmap("udp", p.addr) || a.Unmap("udp", p.addr) {
			t.Error("Unmap")
		}
		q.WriteToUDPAddrPort([]byte("in"), end)
		if s, _ := p.hears(); s != "" {
			t.Error("it is open after Unmap")
		}
	})
}

func TestFirewall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		six := func(s string) netip.Addr { return netip.MustParseAddr("2001:db8:" + s) }
		n := New(1)
		a := n.Firewall(six(":1"), Link{}, NATKind{Filtering: AddressAndPortDependent})
		inside, outside := a.Host(six("7::20"), Link{}), n.Host(six(":2"), Link{})
		if got := a.Gateway().Addr(); got != six("7::1") {
			t.Error("gateway", got)
		}
		p, q := socket(t, inside, ":5000"), socket(t, outside, ":1")
		q.WriteToUDPAddrPort([]byte("in"), p.addr)
		if s, _ := p.hears(); s != "" {
			t.Error("it came in uncalled")
		}
		p.WriteToUDPAddrPort([]byte("out"), q.addr)
		if s, from := q.hears(); s != "out" || from != p.addr {
			t.Errorf("%q from %v", s, from)
		}
		q.WriteToUDPAddrPort([]byte("in"), p.addr)
		if s, _ := p.hears(); s != "in" {
			t.Error("an answer was dropped")
		}
		l, err := inside.Listen(t.Context(), "tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		to := l.Addr().(*net.TCPAddr).AddrPort()
		if dials(t, outside, to.String()) {
			t.Error("a stream came in")
		}
		if end, err := a.Map("tcp", 0, to, 0); err != nil || end != to {
			t.Fatal(end, err)
		}
		if !dials(t, outside, to.String()) {
			t.Error("a pinhole does not work")
		}
	})
}

// TestCarrierNAT: a home's NAT behind a carrier's.
func TestCarrierNAT(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		carrier := n.NAT(public, Link{Latency: time.Millisecond}, PortRestricted)
		home := carrier.NAT(netip.MustParseAddr("100.64.0.9"), Link{Latency: time.Millisecond}, PortRestricted)
		inside, outside := home.Host(private, Link{Latency: time.Millisecond}), n.Host(addr(2), Link{Latency: time.Millisecond})
		p, q := socket(t, inside, ":5000"), socket(t, outside, ":1")
		seen := shows(t, p, q)
		q.WriteToUDPAddrPort([]byte("back"), seen)
		start := time.Now()
		if s, _ := p.hears(); s != "back" {
			t.Error("an answer was dropped")
		}
		between(t, "over all links", time.Since(start), 4*time.Millisecond, 4*time.Millisecond)
		l, err := outside.Listen(t.Context(), "tcp", ":1")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		c, s := connect(t, inside, l)
		transfer(t, c, s, 1e6)
		s.Close()
		if dials(t, inside, "198.51.100.1:1") {
			t.Error("nobody answered")
		}
		home.Down()
		if dials(t, inside, l.Addr().String()) {
			t.Error("the cable is pulled")
		}
	})
}
