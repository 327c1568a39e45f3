package session_test

import (
	"testing"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/session"
	"shoal/internal/bt/torrent"
	"shoal/internal/ident"
	"shoal/internal/simnet"
)

var versions = map[string]metainfo.Version{"v1": metainfo.V1, "v2": metainfo.V2, "hybrid": metainfo.Hybrid}

func TestASeedAndALeecher(t *testing.T) {
	for name, v := range versions {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(w *world) {
				c := makeContent(t, metainfo.CreateOptions{Version: v}, 300_000, 5, 0, 100_001)
				a, b := w.node(dsl), w.node(dsl)
				a.seed(c)
				b.finish(b.leech(c, a), c, 10*time.Second)
			})
		})
	}
}

func TestMagnet(t *testing.T) {
	for name, hash := range map[string]func(ident.InfoHash) ident.InfoHash{
		"v1":               func(h ident.InfoHash) ident.InfoHash { return h },
		"v2":               func(h ident.InfoHash) ident.InfoHash { return h },
		"hybrid":           func(h ident.InfoHash) ident.InfoHash { return h },
		"hybrid by its v1": func(h ident.InfoHash) ident.InfoHash { return ident.InfoHash{V1: h.V1} },
		"hybrid by its v2": func(h ident.InfoHash) ident.InfoHash { return ident.InfoHash{V2: h.V2} },
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(w *world) {
				v, ok := versions[name]
				if !ok {
					v = metainfo.Hybrid
				}
				c := makeContent(t, metainfo.CreateOptions{Version: v, PieceLength: 16 << 10}, 12<<20+7, 40_000, 3)
				a, b := w.node(dsl), w.node(dsl)
				a.seed(c)
				learned := 0
				tor := b.add(session.Spec{InfoHash: hash(c.torrent.Info.Hash), Peers: addrs(a), Learned: func(i *metainfo.Info, h *metainfo.Hashes) {
					learned++
					if i.Hash != c.torrent.Info.Hash || !i.HasV1 && len(h.MissingLayers()) > 0 {
						t.Errorf("learned %v with %d layers missing", i.Hash, len(h.MissingLayers()))
					}
				}})
				b.finish(tor, c, time.Minute)
				if learned != 1 {
					t.Errorf("Learned was called %d times", learned)
				}
				if missing := tor.Hashes().MissingLayers(); len(missing) > 0 && name != "hybrid by its v1" {
					t.Errorf("layers of files %v are missing at the end", missing)
				}
			})
		})
	}
}

func TestPeersFindEachOtherThroughPEX(t *testing.T) {
	for name, private := range map[string]bool{"public": false, "private": true} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(w *world) {
				c := makeContent(t, metainfo.CreateOptions{Private: private}, 1<<20)
				a, b, hub := w.node(dsl), w.node(dsl), w.node(dsl)
				x := a.leech(c)
				y := b.leech(c, hub)
				hub.add(session.Spec{InfoHash: c.torrent.Info.Hash, Peers: addrs(a)}) // by magnet: private only once it knows
				met := func() bool { return x.Status().Swarm.Peers == 2 && y.Status().Swarm.Peers == 2 }
				if !private {
					w.until("the two meet", 30*time.Second, met)
					return
				}
				time.Sleep(5 * time.Minute)
				if met() {
					t.Error("peers of a private torrent were exchanged (BEP 27)")
				}
			})
		})
	}
}

func TestTwentyLeechersOnABadNetwork(t *testing.T) {
	simulate(t, func(w *world) {
		c := makeContent(t, metainfo.CreateOptions{PieceLength: 64 << 10}, 3<<20)
		link := simnet.Link{Up: 1 << 20, Down: 1 << 20, Latency: 25 * time.Millisecond, Loss: 0.005}
		seed := w.node(link)
		seed.seed(c, session.Spec{})
		var all []*node
		var tors []*torrent.Torrent
		for range 20 {
			n := w.node(link)
			tors = append(tors, n.leech(c, append(all, seed)...))
			all = append(all, n)
		}
		for i, n := range all {
			n.finish(tors[i], c, 5*time.Minute)
		}
		up := seed.Torrents()[0].Uploaded()
		t.Logf("the seed sent %.1f copies", float64(up)/float64(3<<20))
	})
}

func TestPeersThatDieAndComeBack(t *testing.T) {
	simulate(t, func(w *world) {
		c := makeContent(t, metainfo.CreateOptions{}, 8<<20)
		seed, a, b := w.node(dsl), w.node(dsl), w.node(dsl)
		seed.seed(c)
		x, y := a.leech(c, seed), b.leech(c, seed, a)
		time.Sleep(3 * time.Second)
		a.host.Kill() // its sockets, its listener too
		time.Sleep(time.Second)
		w.net.Partition(seed.host, b.host)
		w.net.Partition(a.host, b.host)
		time.Sleep(90 * time.Second)
		if y.Status().Phase != torrent.Downloading {
			t.Fatal("the test is too slow for its download")
		}
		w.net.Heal(seed.host, b.host)
		w.net.Heal(a.host, b.host)
		time.Sleep(time.Second)
		seed.close() // vanishes with a goodbye
		time.Sleep(30 * time.Second)
		seed.start()
		seed.seed(c)
		a.finish(x, c, 10*time.Minute)
		b.finish(y, c, 10*time.Minute)
	})
}

func TestBothDialAtOnce(t *testing.T) {
	simulate(t, func(w *world) {
		c := makeContent(t, metainfo.CreateOptions{}, 1<<20)
		a, b := w.node(dsl), w.node(dsl)
		a.store(c)
		a.add(session.Spec{Torrent: c.torrent, Complete: true, Peers: addrs(b)})
		b.finish(b.leech(c, a), c, 15*time.Second)
	})
}
