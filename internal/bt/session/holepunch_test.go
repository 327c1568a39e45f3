package session_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/session"
	"shoal/internal/bt/torrent"
	"shoal/internal/simnet"
)

// natKinds are the NATs that people sit behind.
var natKinds = map[string]simnet.NATKind{
	"full cone": simnet.FullCone, "restricted": simnet.RestrictedCone, "port restricted": simnet.PortRestricted, "symmetric": simnet.Symmetric,
}

// behind starts a session on a host behind a NAT of its own.
func (w *world) behind(kind simnet.NATKind, set ...func(*session.Config)) (*node, netip.Addr) {
	w.hosts++
	public := addr(w.hosts)
	n := &node{w: w, host: w.net.NAT(public, fast, kind).Host(netip.MustParseAddr("192.168.1.5"), dsl)}
	n.start(set...)
	w.nodes = append(w.nodes, n)
	return n, public
}

// linkedTo reports whether a torrent has a peer at an address, whatever the port.
func linkedTo(tor *torrent.Torrent, a netip.Addr) bool {
	for _, p := range tor.Peers() {
		if p.Info.Addr.Addr() == a {
			return true
		}
	}
	return false
}

// Two peers behind NATs that know but a third one meet through it (BEP 55), but for those pairs of NATs through which nobody could: where
// one gives each remote another port, and the other lets in only the port that was sent to.
func TestHolePunching(t *testing.T) {
	for a, first := range natKinds {
		for b, second := range natKinds {
			strict := func(n string) bool { return n == "port restricted" || n == "symmetric" }
			meets := !(a == "symmetric" && strict(b) || b == "symmetric" && strict(a))
			t.Run(fmt.Sprintf("%s and %s", a, b), func(t *testing.T) {
				simulate(t, func(w *world) {
					c := makeContent(t, metainfo.CreateOptions{}, 1<<20)
					relay := w.node(dsl)
					relay.add(session.Spec{Torrent: c.torrent, Up: 1}) // it has nothing and gives nothing
					seed, public := w.behind(first)
					leecher, _ := w.behind(second)
					seed.seed(c, session.Spec{Peers: addrs(relay), Up: 1000})
					tor := leecher.leech(c, relay)
					time.Sleep(3 * time.Minute)
					if got := linkedTo(tor, public); got != meets {
						t.Errorf("they have met: %v", got)
					}
				})
			})
		}
	}
}

// Who is private or anonymous is not introduced.
func TestNoHolePunching(t *testing.T) {
	anonymous := func(cfg *session.Config) { cfg.Anonymous = true }
	for name, c := range map[string]struct {
		private bool
		seed, l func(*session.Config)
	}{
		"private torrent":   {private: true},
		"anonymous seed":    {seed: anonymous},
		"anonymous leecher": {l: anonymous},
		"no uTP":            {l: noUTP},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(w *world) {
				data := makeContent(t, metainfo.CreateOptions{Private: c.private}, 1<<20)
				as := func(f func(*session.Config)) func(*session.Config) {
					return func(cfg *session.Config) {
						if f != nil {
							f(cfg)
						}
					}
				}
				relay := w.node(dsl)
				relay.add(session.Spec{Torrent: data.torrent, Up: 1})
				seed, public := w.behind(simnet.PortRestricted, as(c.seed))
				leecher, _ := w.behind(simnet.PortRestricted, as(c.l))
				seed.seed(data, session.Spec{Peers: addrs(relay), Up: 1000})
				tor := leecher.leech(data, relay)
				time.Sleep(3 * time.Minute)
				if linkedTo(tor, public) {
					t.Error("they have met")
				}
			})
		})
	}
}
