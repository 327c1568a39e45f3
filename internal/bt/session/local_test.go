package session_test

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/session"
	"shoal/internal/simnet"
)

func withLSD(cfg *session.Config) { cfg.LSD = true }

// home starts sessions behind one NAT, at 192.168.1.5 and up.
func (w *world) home(set ...func(*session.Config)) (nat *simnet.NAT, nodes []*node) {
	w.hosts++
	nat = w.net.NAT(addr(w.hosts), fast, simnet.PortRestricted)
	for i, f := range set {
		n := &node{w: w, host: nat.Host(netip.AddrFrom4([4]byte{192, 168, 1, byte(5 + i)}), fast)}
		n.start(f)
		w.nodes = append(w.nodes, n)
		nodes = append(nodes, n)
	}
	return nat, nodes
}

// On a local network peers find each other with nothing else there at all (BEP 14), unless somebody does not want that.
func TestLocalDiscovery(t *testing.T) {
	for name, c := range map[string]struct {
		private      bool
		seed, l      func(*session.Config)
		finds        bool
		byMetainfo   bool
		seedsEarlier time.Duration
	}{
		"magnet":                {seed: withLSD, l: withLSD, finds: true},
		"the seed was there":    {seed: withLSD, l: withLSD, finds: true, seedsEarlier: 20 * time.Minute},
		"with the torrent file": {seed: withLSD, l: withLSD, finds: true, byMetainfo: true},
		"private":               {seed: withLSD, l: withLSD, private: true, byMetainfo: true},
		"off":                   {seed: withLSD, l: func(*session.Config) {}},
		"anonymous":             {seed: withLSD, l: func(cfg *session.Config) { cfg.LSD, cfg.Anonymous = true, true }},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(w *world) {
				data := makeContent(t, metainfo.CreateOptions{Private: c.private}, 1<<20)
				_, n := w.home(c.seed, c.l)
				n[0].seed(data)
				time.Sleep(c.seedsEarlier)
				spec := session.Spec{InfoHash: data.torrent.Info.Hash}
				if c.byMetainfo {
					spec = session.Spec{Torrent: data.torrent}
				}
				tor := n[1].add(spec)
				if c.finds {
					n[1].finish(tor, data, 2*time.Minute)
					return
				}
				time.Sleep(3 * time.Minute)
				if got := len(tor.Peers()); got != 0 {
					t.Errorf("%d peers", got)
				}
			})
		})
	}
}

// natPMP runs a NAT's own server for mappings (RFC 6886), which gives each port 1,000 more outside, until the returned function is called.
func natPMP(t *testing.T, nat *simnet.NAT) (stop func()) {
	t.Helper()
	pc, err := nat.Gateway().ListenPacket(context.Background(), "udp", ":5351")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 1100)
		for {
			n, from, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			if b[0] != 0 || n < 2 {
				continue // PCP
			}
			answer := binary.BigEndian.AppendUint32([]byte{0, 128 + b[1], 0, 0}, 1000)
			switch host := from.(*net.UDPAddr).AddrPort().Addr(); {
			case b[1] == 0:
				answer = append(answer, nat.Public().AsSlice()...)
			case n >= 12:
				proto := []string{"", "udp", "tcp"}[b[1]]
				inside := netip.AddrPortFrom(host, binary.BigEndian.Uint16(b[4:]))
				life := binary.BigEndian.Uint32(b[8:])
				if life == 0 {
					nat.Unmap(proto, inside)
				} else if _, err := nat.Map(proto, inside.Port()+1000, inside, time.Duration(life)*time.Second); err != nil {
					answer[3] = 4
				}
				answer = binary.BigEndian.AppendUint16(append(answer, b[4:6]...), inside.Port()+1000)
				answer = binary.BigEndian.AppendUint32(answer, life)
			}
			pc.WriteTo(answer, from)
		}
	}()
	return func() { pc.Close(); <-done }
}

// A seed at home has its router open its port, tells trackers that of the outside, and takes the mapping back at the end.
func TestPortMappingOfASession(t *testing.T) {
	simulate(t, func(w *world) {
		data := makeContent(t, metainfo.CreateOptions{}, 1<<20)
		list := &announces{peers: map[netip.AddrPort]bool{}}
		base, stop := w.serve(list)
		defer stop()
		nat, n := w.home(func(cfg *session.Config) {
			cfg.PortMap = true
			cfg.Gateways = func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("192.168.1.1")} }
		})
		defer natPMP(t, nat)()
		time.Sleep(time.Minute)
		n[0].seed(data, session.Spec{Trackers: [][]string{{base + "/announce"}}})
		time.Sleep(10 * time.Second)
		outside := netip.AddrPortFrom(nat.Public(), 7881)
		list.mu.Lock()
		if !list.peers[outside] {
			t.Errorf("the tracker knows of %v, want %v", list.peers, outside)
		}
		list.mu.Unlock()
		if st, ok := n[0].PortMap(); !ok || st.IPv4.TCP != 7881 || st.IPv4.UDP != 7881 || st.IPv4.External != nat.Public() {
			t.Errorf("%+v, %v", st, ok)
		}
		l := w.node(dsl)
		tor := l.add(session.Spec{Torrent: data.torrent, Peers: []netip.AddrPort{outside}})
		l.finish(tor, data, time.Minute)
		n[0].close()
		if _, open := nat.Mapped("tcp", outside); open {
			t.Error("the port is still open")
		}
	})
}
