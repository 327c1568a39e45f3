package dht

import (
	"bytes"
	"context"
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"shoal/internal/dht/krpc"
	"shoal/internal/ident"
	"shoal/internal/simnet"
)

func idOf(t *testing.T, m *member) krpc.ID {
	t.Helper()
	b, err := hex.DecodeString(m.Status().Families[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	return krpc.ID(b)
}

// A node finds out its address from what others say, and takes an id that fits it (BEP 42); an anonymous one does not.
func TestIDsFitAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 10)
		all := w.network(20)
		anonymous := w.join(Config{RandomID: true, State: filepath.Join(t.TempDir(), "dht")}, all[3])
		time.Sleep(5 * time.Minute)
		defer stopAll(all)
		for i, m := range all {
			if s := m.Status().Families[0]; !idOf(t, m).Secure(m.addr.Addr()) || s.External != m.addr.Addr().String() {
				t.Errorf("node %d at %v: %+v", i, m.addr, s)
			}
		}
		if id := idOf(t, anonymous); id.Secure(anonymous.addr.Addr()) {
			t.Errorf("an anonymous node has the id %v", id)
		}
		if anonymous.stop() != nil || anonymous.cfg.State != "" {
			t.Error("an anonymous node keeps a state")
		}
		if s := all[5].Status().Families[0]; 4*s.Secure < 3*s.Nodes || s.Nodes < 15 {
			t.Errorf("%+v", all[5].Status())
		}
	})
}

// While a node is cut off it forgets nobody, and goes on as before once it is not.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 11)
		all := w.network(20)
		defer stopAll(all)
		m := all[9]
		before := m.Status().Families[0].Nodes
		m.host.Down()
		time.Sleep(6 * time.Hour)
		if now := m.Status().Families[0].Nodes; now < before {
			t.Errorf("%d nodes, before %d", now, before)
		}
		m.host.Up()
		if err := m.Peers(t.Context(), ident.V1{1}, nil); err != nil {
			t.Error(err)
		}
	})
}

// Whoever was all that a node knew may be gone for good: then those who let newcomers in are asked after all.
func TestAllAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 12)
		old, fresh := w.network(10), w.network(10)
		var asked atomic.Int32
		m := w.join(Config{Bootstrap: func(context.Context) []netip.AddrPort {
			asked.Add(1)
			return []netip.AddrPort{fresh[0].addr}
		}}, old[0])
		time.Sleep(time.Minute)
		if s := m.Status().Families[0]; s.Nodes < 5 || asked.Load() != 0 {
			t.Errorf("%+v, %d", s, asked.Load())
		}
		stopAll(old)
		time.Sleep(2 * time.Hour)
		if s := m.Status().Families[0]; asked.Load() == 0 || s.Nodes < 8 {
			t.Errorf("%+v, %d", s, asked.Load())
		}
		if err := m.Peers(t.Context(), ident.V1{1}, nil); err != nil {
			t.Error(err)
		}
		stopAll(append(fresh, m))
	})
}

// A node with both families joins the other through one (BEP 32).
func TestBothFamilies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 13)
		var all []*member
		for i := range 16 {
			m := w.dual(Config{})
			if i > 0 { // they are told IPv4 addresses only, but for one
				m.AddNode(all[i/2].addr)
			}
			if i == 1 {
				m.AddNode(all[0].addr6)
			}
			all = append(all, m)
		}
		time.Sleep(3 * time.Minute)
		defer stopAll(all)
		for i, m := range all {
			if s := m.Status().Families; len(s) != 2 || s[0].Nodes < 8 || s[1].Nodes < 8 {
				t.Errorf("node %d: %+v", i, s)
			}
		}
		hash := ident.InfoHash{V1: ident.V1{3}}
		announce(all[4], torrent{hash, 5000, 1})
		found := announce(all[11], torrent{hash, 0, 1})
		if !found[netip.AddrPortFrom(all[4].addr.Addr(), 5000)] || !found[netip.AddrPortFrom(all[4].addr6.Addr(), 5000)] {
			t.Errorf("found %v", found)
		}
	})
}

func TestState(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "dht")
	good := state{
		ipv4: family{krpc.ID{1}, []krpc.Node{{ID: krpc.ID{2}, Addr: netip.MustParseAddrPort("1.2.3.4:5")}}},
		ipv6: family{krpc.ID{3}, []krpc.Node{{ID: krpc.ID{4}, Addr: netip.MustParseAddrPort("[2001:db8::1]:6")}}},
	}
	if err := replace(name, good.encode()); err != nil {
		t.Fatal(err)
	}
	s := load(name)
	if s.ipv4.id != good.ipv4.id || len(s.ipv4.nodes) != 1 || s.ipv4.nodes[0] != good.ipv4.nodes[0] || s.ipv6.nodes[0] != good.ipv6.nodes[0] {
		t.Errorf("%+v", s)
	}
	for what, b := range map[string][]byte{
		"nothing": nil, "garbage": []byte("garbage"), "half": good.encode()[:40], "another version": []byte("d7:versioni2ee"),
		"too much": bytes.Repeat([]byte("x"), maxState+1), "odd members": []byte("d2:idi1e5:nodesle7:versioni1ee"),
	} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if s := load(name); s.ipv4.id != (krpc.ID{}) || len(s.ipv4.nodes)+len(s.ipv6.nodes) > 0 {
			t.Errorf("%s: %+v", what, s)
		}
	}
	if s := load(filepath.Join(dir, "absent")); len(s.ipv4.nodes) > 0 {
		t.Errorf("%+v", s)
	}
	if err := replace(filepath.Join(dir, "no", "dht"), nil); err == nil {
		t.Error("written into a folder that is not there")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left %v, %v", left, err)
	}
	many := good
	for i := range 500 {
		many.ipv4.nodes = append(many.ipv4.nodes, krpc.Node{ID: krpc.ID{byte(i)}, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{1, 1, byte(i >> 8), byte(i)}), 1)})
	}
	if b := many.encode(); len(b) > maxState || len(parseState(b).ipv4.nodes) != maxSaved {
		t.Errorf("%d bytes, %d nodes", len(b), len(parseState(b).ipv4.nodes))
	}
}

func FuzzState(f *testing.F) {
	f.Add([]byte("d2:id20:aaaaaaaaaaaaaaaaaaaa5:nodes26:aaaaaaaaaaaaaaaaaaaabbbbcc7:versioni1ee"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := parseState(b)
		again := parseState(s.encode())
		if s.ipv4.id != (krpc.ID{}) && len(again.ipv4.nodes) != len(s.ipv4.nodes) {
			t.Errorf("%+v became %+v", s, again)
		}
	})
}

// The reader of the socket is never held up, even if the socket takes nothing.
func TestReceiveNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		n, err := New(Config{IPv4: true, Send: func([]byte, netip.AddrPort) error { <-release; return nil }})
		if err != nil {
			t.Fatal(err)
		}
		m := krpc.Message{Kind: krpc.Query, TID: []byte("aa"), Method: krpc.Ping, ID: krpc.ID{1}}
		ping := m.Append(nil)
		for i := range 2000 {
			n.Receive(ping, netip.AddrPortFrom(netip.AddrFrom4([4]byte{1, 1, byte(i >> 8), byte(i)}), 1))
			n.AddNode(netip.AddrPortFrom(netip.AddrFrom4([4]byte{1, 2, byte(i >> 8), byte(i)}), 1))
		}
		synctest.Wait()
		close(release)
		synctest.Wait()
		s := n.Status()
		if s.Overrun < 900 || s.Families[0].In.Messages > 1100 {
			t.Errorf("%+v", s)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		if n.Close() != nil {
			t.Error("closed twice")
		}
	})
}

func TestConfig(t *testing.T) {
	for _, c := range []Config{{IPv4: true}, {Send: func([]byte, netip.AddrPort) error { return nil }}} {
		if n, err := New(c); err == nil {
			n.Close()
			t.Errorf("%+v is accepted", c)
		}
	}
}

// dual starts a node with a socket of each family: two hosts that belong together.
func (w *world) dual(cfg Config) *member {
	w.n++
	four := w.net.Host(netip.AddrFrom4([4]byte{30, byte(w.n), 7, 1}), w.link)
	six := w.net.Host(netip.AddrFrom16([16]byte{0x20, 1, 13: byte(w.n), 7: byte(w.n), 15: 1}), w.link)
	m := w.open(cfg, []*simnet.Host{four, six})
	m.six = six
	return m
}

// A family that leads nowhere costs next to nothing, and nobody is asked for routers because of it.
func TestOneFamilyLeadsNowhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 14)
		var all []*member
		for range 20 {
			m := w.dual(Config{})
			for _, k := range all[:min(len(all), 2)] {
				m.AddNode(k.addr)
				m.AddNode(k.addr6)
			}
			all = append(all, m)
		}
		time.Sleep(time.Minute)
		defer stopAll(all)
		var asked atomic.Int32
		cut := w.dual(Config{Bootstrap: func(context.Context) []netip.AddrPort {
			asked.Add(1)
			return []netip.AddrPort{all[0].addr, all[0].addr6}
		}})
		defer cut.stop()
		cut.six.Down()
		time.Sleep(10 * time.Minute)
		before := cut.Status().Families
		time.Sleep(3 * time.Hour)
		s := cut.Status().Families
		if bytes := s[1].Out.Bytes - before[1].Out.Bytes; asked.Load() > 3 || s[0].Nodes < 15 || s[1].Nodes != 0 || bytes > 3*3600*100 {
			t.Errorf("asked %d times, %d bytes in vain: %+v", asked.Load(), bytes, s)
		}
	})
}
