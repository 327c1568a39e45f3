package session_test

import (
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
