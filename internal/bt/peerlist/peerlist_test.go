package peerlist

import (
	"net/netip"
	"testing"
	"time"

	"shoal/internal/discovery"
)

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// The examples of BEP 40.
func TestPriority(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want uint32
	}{
		{"123.213.32.10:0", "98.76.54.32:0", 0xec2d7224},
		{"123.213.32.10:0", "123.213.32.234:0", 0x99568189},
	} {
		if got := Priority(ap(c.a), ap(c.b)); got != c.want {
			t.Errorf("%s %s: %08x, want %08x", c.a, c.b, got, c.want)
		}
		if Priority(ap(c.a), ap(c.b)) != Priority(ap(c.b), ap(c.a)) {
			t.Error("not symmetric")
		}
	}
	if Priority(ap("1.2.3.4:1"), ap("[::1]:1")) != 0 {
		t.Error("families do not compare")
	}
	if Priority(ap("[2001:db8::1]:1"), ap("[2001:db8::2]:1")) == 0 {
		t.Error("IPv6 has priorities")
	}
}

func TestBackoffAndForgetting(t *testing.T) {
	l := new(List)
	a := ap("10.0.0.1:1")
	if !l.Add(discovery.Peer{Addr: a, Source: discovery.PEX}) || l.Add(discovery.Peer{Addr: a}) {
		t.Fatal("Add")
	}
	now := time.Duration(0)
	for i := range maxFails {
		got, _, ok := l.Next(now, false)
		if !ok || got != a {
			t.Fatal("not offered", i)
		}
		if _, _, ok := l.Next(now, false); ok {
			t.Fatal("offered while dialling")
		}
		l.Failed(a, now)
		wait := firstRetry << i
		if _, _, ok := l.Next(now+wait-1, false); ok {
			t.Fatal("offered too early", i)
		}
		now += wait
	}
	// An address from another peer is forgotten then; one that the person named is not.
	if n, _ := l.Len(); n != 0 {
		t.Fatal("still known")
	}
	l.Add(discovery.Peer{Addr: a, Source: discovery.Static})
	for range 20 {
		l.Failed(a, now)
	}
	if _, _, ok := l.Next(now+lastStatic-1, false); ok {
		t.Fatal("offered too early")
	}
	if _, _, ok := l.Next(now+lastStatic, false); !ok {
		t.Fatal("a static address is never given up")
	}
}

func TestBan(t *testing.T) {
	l := new(List)
	for _, s := range []string{"10.0.0.1:1", "10.0.0.1:2", "10.0.0.2:1", "[::ffff:10.0.0.1]:3"} {
		l.Add(discovery.Peer{Addr: ap(s)})
	}
	l.Ban(netip.MustParseAddr("::ffff:10.0.0.1"))
	if n, _ := l.Len(); n != 1 || !l.Banned(netip.MustParseAddr("10.0.0.1")) || l.Add(discovery.Peer{Addr: ap("10.0.0.1:9")}) {
		t.Fatal(n)
	}
}

func TestFullListEvicts(t *testing.T) {
	l := new(List)
	for i := range Max {
		l.Add(discovery.Peer{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 1)})
	}
	if !l.Add(discovery.Peer{Addr: ap("11.0.0.1:1")}) {
		t.Fatal("a full list of strangers makes room")
	}
	if n, _ := l.Len(); n != Max {
		t.Fatal(n)
	}
	for _, e := range l.all {
		e.connected = true
	}
	if l.Add(discovery.Peer{Addr: ap("11.0.0.2:1")}) {
		t.Fatal("connected peers do not give way")
	}
}

// That a peer says where it listens proves nothing: such an address is forgotten like any other.
func TestUnprovenAddressIsForgotten(t *testing.T) {
	for _, dialled := range []bool{false, true} {
		l := new(List)
		a := ap("10.0.0.1:1")
		l.Add(discovery.Peer{Addr: a})
		l.Connected(a, dialled)
		if _, candidates := l.Len(); candidates != 0 {
			t.Error("connected, and a candidate")
		}
		l.Disconnected(a, 0, true)
		for range maxFails {
			l.Failed(a, 0)
		}
		if n, _ := l.Len(); (n == 1) != dialled {
			t.Errorf("dialled %v: %d known", dialled, n)
		}
	}
}

func TestDue(t *testing.T) {
	l := &List{}
	due := func(when string, seeding, few bool, want time.Duration, wantOK bool) {
		t.Helper()
		if at, ok := l.Due(seeding, few); at != want || ok != wantOK {
			t.Errorf("%s: %v %v, want %v %v", when, at, ok, want, wantOK)
		}
	}
	due("empty", false, false, 0, false)
	a, s := netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.2:2")
	l.Add(discovery.Peer{Addr: a, Source: discovery.Tracker})
	due("never dialled", true, true, 0, true)
	l.Next(0, false)
	due("being dialled", false, false, 0, false)
	l.Failed(a, time.Minute)
	due("failed", false, false, time.Minute+firstRetry, true)
	due("failed, and few are asked for", false, true, 0, false)
	l.Add(discovery.Peer{Addr: s, Source: discovery.Static})
	l.Next(0, false)
	l.Failed(s, time.Minute)
	due("named by the person", false, true, time.Minute+firstStatic, true)
	l.Seed(s, true)
	due("a seed, to a seed", true, true, 0, false)
	l.Connected(a, true)
	due("connected", true, false, 0, false)
}
