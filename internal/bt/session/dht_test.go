package session_test

import (
	"context"
	"crypto/ed25519"
	"path/filepath"
	"testing"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/session"
	"shoal/internal/dht"
)

// withDHT makes a session take part in the DHT, which it enters by the given nodes.
func withDHT(state string, by ...*node) func(*session.Config) {
	return func(cfg *session.Config) {
		cfg.DHT = &session.DHT{State: state}
		for _, n := range by {
			cfg.DHT.Nodes = append(cfg.DHT.Nodes, n.at().String())
		}
	}
}

// A magnet link with nothing in it but a hash is enough, with no tracker anywhere.
func TestMagnetOverTheDHT(t *testing.T) {
	simulate(t, func(w *world) {
		c := makeContent(t, metainfo.CreateOptions{}, 1<<20)
		first := w.node(dsl, withDHT(""))
		for range 8 {
			w.node(dsl, withDHT("", first))
		}
		seed, l := w.node(dsl, withDHT("", first)), w.node(dsl, withDHT("", first))
		seed.seed(c)
		time.Sleep(time.Minute)
		tor := l.add(session.Spec{InfoHash: c.torrent.Info.Hash})
		l.finish(tor, c, time.Minute)
	})
}

// Peers tell each other of their DHT nodes (PORT): whoever meets a peer by any means is in the DHT.
func TestPeersLeadIntoTheDHT(t *testing.T) {
	simulate(t, func(w *world) {
		c := makeContent(t, metainfo.CreateOptions{}, 64<<10)
		first := w.node(dsl, withDHT(""))
		seed, l := w.node(dsl, withDHT("", first)), w.node(dsl, withDHT(""))
		seed.seed(c)
		time.Sleep(30 * time.Second)
		if n := nodes(l.DHT()); n != 0 {
			t.Fatalf("%d nodes are known before anybody was met", n)
		}
		l.finish(l.leech(c, seed), c, time.Minute)
		time.Sleep(time.Minute)
		if n := nodes(l.DHT()); n == 0 {
			t.Error("no node is known after a peer was met")
		}
	})
}

func nodes(n *dht.Node) (all int) {
	for _, f := range n.Status().Families {
		all += f.Nodes
	}
	return all
}

// A restart with saved nodes needs neither router nor name server, though all that was known at first is gone.
func TestDHTRestartsFromSavedNodes(t *testing.T) {
	simulate(t, func(w *world) {
		c := makeContent(t, metainfo.CreateOptions{}, 1<<20)
		state := filepath.Join(t.TempDir(), "dht")
		first := w.node(dsl, withDHT(""))
		for range 8 {
			w.node(dsl, withDHT("", first))
		}
		seed, l := w.node(dsl, withDHT("", first)), w.node(dsl, withDHT(state, first))
		seed.seed(c)
		time.Sleep(5 * time.Minute)
		l.close()
		first.host.Down()
		l.start(withDHT(state))
		tor := l.add(session.Spec{InfoHash: c.torrent.Info.Hash})
		l.finish(tor, c, time.Minute)
	})
}

// What is private is looked for at its trackers alone, even where a magnet link does not tell that it is (BEP 27).
func TestPrivateTorrentsStayOutOfTheDHT(t *testing.T) {
	simulate(t, func(w *world) {
		c := makeContent(t, metainfo.CreateOptions{Private: true}, 64<<10)
		first := w.node(dsl, withDHT(""))
		seed, l, stranger := w.node(dsl, withDHT("", first)), w.node(dsl, withDHT("", first)), w.node(dsl, withDHT("", first))
		time.Sleep(time.Minute)
		seed.seed(c)
		tor := l.add(session.Spec{InfoHash: c.torrent.Info.Hash, Peers: addrs(seed)})
		l.finish(tor, c, time.Minute)
		time.Sleep(20 * time.Minute)
		for _, st := range tor.Trackers() {
			if st.URL == "dht" {
				t.Error("the torrent still uses the DHT")
			}
		}
		lost := stranger.add(session.Spec{InfoHash: c.torrent.Info.Hash})
		time.Sleep(time.Minute)
		if n := len(lost.Peers()); n != 0 {
			t.Errorf("a stranger found %d peers of a private torrent", n)
		}
	})
}

// A publisher's link stays the same while what it names changes (BEP 46).
func TestPublisher(t *testing.T) {
	simulate(t, func(w *world) {
		first := w.node(dsl, withDHT(""))
		for range 8 {
			w.node(dsl, withDHT("", first))
		}
		publisher, reader := w.node(dsl, withDHT("", first)), w.node(dsl, withDHT("", first))
		time.Sleep(time.Minute)
		public, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		if _, _, err := reader.Latest(ctx, public, nil); err == nil {
			t.Error("something is found before anything was published")
		}
		var last int64
		for i, options := range []metainfo.CreateOptions{{Version: metainfo.V1}, {Version: metainfo.V2}, {}} {
			hash := makeContent(t, options, 20_000+i).torrent.Info.Hash
			seq, copies, err := publisher.Publish(ctx, key, []byte("salt"), hash)
			if err != nil || copies == 0 || seq <= last {
				t.Fatalf("number %d after %d, %d copies, %v", seq, last, copies, err)
			}
			last = seq
			got, number, err := reader.Latest(ctx, public, []byte("salt"))
			if err != nil || number != seq || got.Key() != hash.Key() {
				t.Fatalf("%v, number %d, %v; want %v, %d", got, number, err, hash, seq)
			}
		}
		time.Sleep(12 * time.Hour)
		if _, _, err := reader.Latest(ctx, public, []byte("salt")); err != nil {
			t.Errorf("half a day later: %v", err)
		}
	})
}
