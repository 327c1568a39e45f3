package dht

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"shoal/internal/dht/krpc"
	"shoal/internal/discovery"
	"shoal/internal/ident"
)

func TestTwoNodesNeedNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		a := w.join(Config{})
		b := w.join(Config{}, a)
		defer stopAll([]*member{a, b})
		hash := ident.InfoHash{V1: ident.V1{1}, V2: ident.V2{2}} // a hybrid
		began := time.Now()
		if found := announce(a, torrent{hash, 5000, 1}); len(found) > 0 {
			t.Errorf("the first finds %v", found)
		}
		found := announce(b, torrent{ident.InfoHash{V2: ident.V2{2}}, 5001, 1})
		if !found[netip.AddrPortFrom(a.addr.Addr(), 5000)] || len(found) != 1 {
			t.Errorf("the second finds %v", found)
		}
		if found := announce(a, torrent{hash, 5000, 1}); !found[netip.AddrPortFrom(b.addr.Addr(), 5001)] {
			t.Errorf("the first finds %v", found)
		}
		t.Logf("found after %v", time.Since(began))
	})
}

func TestFinderKeepsToItsPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4)
		all := w.network(20)
		defer stopAll(all)
		f := all[3].Finder()
		hungry, tor := torrent{ident.InfoHash{V1: ident.V1{5}}, 5000, 1}, torrent{ident.InfoHash{V1: ident.V1{4}}, 5000, 0}
		wait := func() time.Duration {
			at, ok := f.Next()
			if !ok {
				t.Fatal("never again")
			}
			return time.Until(at)
		}
		run := func() { f.Announce(t.Context(), tor, func([]discovery.Peer) {}) }
		if d := wait(); d > 0 {
			t.Errorf("the first announce in %v", d)
		}
		for i := range 4 {
			f.Announce(t.Context(), hungry, func([]discovery.Peer) {})
			if d, want := wait(), 5*time.Second<<i; d < want*8/10 || d > want {
				t.Errorf("after %d that found nobody, the next announce in %v", i+1, d)
			}
		}
		run()
		if d := wait(); d < 13*time.Minute || d > 15*time.Minute {
			t.Errorf("the next announce in %v", d)
		}
		if s := f.Status(); len(s) != 1 || s[0].URL != "dht" || !s[0].Working || s[0].Message != "" || s[0].Last.IsZero() {
			t.Errorf("%+v", s)
		}
		f.Hurry()
		if d := wait(); d < 50*time.Second || d > time.Minute {
			t.Errorf("in a hurry, the next announce in %v", d)
		}
		f.Withdraw(t.Context(), tor)
		if d := wait(); d > 0 {
			t.Errorf("taken up again, the first announce in %v", d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		began := time.Now()
		f.Announce(ctx, tor, func([]discovery.Peer) {})
		if d := time.Since(began); d > 20*time.Millisecond {
			t.Errorf("ended %v after it began", d)
		}
		if s := f.Status()[0]; s.Working || s.Message == "" {
			t.Errorf("%+v", s)
		}
		synctest.Wait()
		if s := all[3].Status().Families[0]; s.Lookups != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestNobodyAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5)
		var asked atomic.Int32
		m := w.join(Config{Bootstrap: func(context.Context) []netip.AddrPort { asked.Add(1); return nil }})
		f := m.Finder()
		began := time.Now()
		f.Announce(t.Context(), torrent{ident.InfoHash{V1: ident.V1{4}}, 5000, 1}, func([]discovery.Peer) {})
		if d := time.Since(began); d > 25*time.Second {
			t.Errorf("ended after %v", d)
		}
		if s := f.Status()[0]; s.Working || !strings.Contains(s.Message, "no DHT node answers") {
			t.Errorf("%+v", s)
		}
		if at, _ := f.Next(); time.Until(at) > 10*time.Second {
			t.Errorf("tried again in %v", time.Until(at))
		}
		if err := m.Peers(t.Context(), ident.V1{1}, nil); !errors.Is(err, ErrNoNodes) {
			t.Error(err)
		}
		time.Sleep(24 * time.Hour)
		if n := asked.Load(); n < 100 || n > 200 {
			t.Errorf("the routers are asked %d times a day", n)
		}
		done := make(chan error)
		go func() { done <- m.Peers(context.Background(), ident.V1{1}, nil) }()
		synctest.Wait()
		m.stop()
		if err := <-done; !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		if err := m.Peers(t.Context(), ident.V1{1}, nil); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		m.AddNode(m.addr)
		m.Receive([]byte("d"), m.addr)
		if s := m.Status(); len(s.Families) != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// The first peers are told while the look-up goes on.
func TestPeersAreToldEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 6)
		all := w.network(60)
		defer stopAll(all)
		hash := ident.V1{7}
		for _, m := range all[:30] {
			announce(m, torrent{ident.InfoHash{V1: hash}, 5000, 1})
		}
		for _, m := range all[50:] {
			m.host.Down() // dead contacts make the look-up take its time
		}
		began := time.Now()
		first, found := time.Duration(-1), 0
		if err := all[40].Peers(t.Context(), hash, func(p []netip.AddrPort) {
			if found += len(p); first < 0 {
				first = time.Since(began)
			}
		}); err != nil {
			t.Fatal(err)
		}
		if whole := time.Since(began); found < 25 || first < 0 || first > whole*2/3 {
			t.Errorf("%d peers, the first after %v of %v", found, first, whole)
		}
	})
}

func TestScrape(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 7)
		all := w.network(60)
		defer stopAll(all)
		hash := ident.V1{8}
		for i, m := range all[:40] {
			left := int64(1)
			if i < 10 {
				left = 0
			}
			announce(m, torrent{ident.InfoHash{V1: hash}, 5000, left})
		}
		seeds, peers, err := all[50].Scrape(t.Context(), hash)
		if err != nil || seeds < 9 || seeds > 11 || peers < 28 || peers > 32 {
			t.Errorf("%d seeds, %d others, %v; there are 10 and 30", seeds, peers, err)
		}
		if seeds, peers, err := all[50].Scrape(t.Context(), ident.V1{9}); seeds != 0 || peers != 0 || err != nil {
			t.Errorf("%d seeds, %d others, %v of an unknown swarm", seeds, peers, err)
		}
		heard, times := map[ident.V1]int{}, map[netip.AddrPort]int{}
		sample := func() (most int) {
			if err := all[51].Sample(t.Context(), hash, func(s Sample) {
				times[s.From]++
				for _, h := range s.Hashes {
					heard[h]++
				}
			}); err != nil {
				t.Error(err)
			}
			for _, n := range times {
				most = max(most, n)
			}
			return most
		}
		if most := sample(); most != 1 || len(times) < 8 || heard[hash] < 5 || len(heard) != 1 {
			t.Errorf("%v from %v", heard, times)
		}
		if most := sample(); most != 1 {
			t.Errorf("nodes are asked again before their time: %v", times)
		}
		time.Sleep(11 * time.Minute)
		if most := sample(); most != 2 {
			t.Errorf("nodes are not asked again after their time: %v", times)
		}
	})
}

// One node that claims thousands does not count among others.
func TestScrapeOfALiar(t *testing.T) {
	var s scrape
	say := func(seeds, peers int) {
		m := krpc.Message{SeedFilter: new(krpc.Filter), PeerFilter: new(krpc.Filter)}
		for i := range seeds {
			m.SeedFilter.Add(netip.AddrFrom4([4]byte{1, 1, byte(i >> 8), byte(i)}))
		}
		for i := range peers {
			m.PeerFilter.Add(netip.AddrFrom4([4]byte{2, 1, byte(i >> 8), byte(i)}))
		}
		s.add(&m)
	}
	for i := range 7 {
		say(20+i, 50)
	}
	say(3000, 5000)
	m := krpc.Message{SeedFilter: new(krpc.Filter), PeerFilter: new(krpc.Filter)}
	for i := range m.PeerFilter {
		m.PeerFilter[i] = 0xff
	}
	s.add(&m)
	if seeds, peers := s.estimate(); seeds < 25 || seeds > 28 || peers < 48 || peers > 52 {
		t.Errorf("%d seeds, %d peers; there are 26 and 50", seeds, peers)
	}
	// Who sends peers only counts as well, but not twice.
	m = krpc.Message{Values: krpc.AppendPeer(krpc.AppendPeer(nil, netip.MustParseAddrPort("1.1.0.1:7")), netip.MustParseAddrPort("9.9.9.9:7"))}
	s.add(&m)
	if _, peers := s.estimate(); peers < 49 || peers > 53 {
		t.Errorf("%d peers", peers)
	}
}

// Packets are lost on the way, as they are.
func TestLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 15)
		w.link.Loss = 0.05 // on each side: one query in five is not answered
		all := w.network(40)
		defer stopAll(all)
		found := 0
		for i := range 20 {
			hash := ident.InfoHash{V1: ident.V1{1, byte(i)}}
			announce(all[i], torrent{hash, 5000, 1})
			if announce(all[39-i], torrent{hash, 0, 1})[netip.AddrPortFrom(all[i].addr.Addr(), 5000)] {
				found++
			}
		}
		if found < 19 {
			t.Errorf("%d of 20 found", found)
		}
	})
}

// A client with many torrents announces all of them within minutes, a few at a time; and while nobody answers, none holds up the others.
func TestManyTorrents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 16)
		all := w.network(30)
		defer stopAll(all)
		const n = 300
		run := func(m *member) time.Duration {
			var wg sync.WaitGroup
			began := time.Now()
			for i := range n {
				wg.Go(func() {
					f := m.Finder()
					f.Announce(t.Context(), torrent{ident.InfoHash{V1: ident.V1{9, byte(i), byte(i >> 8)}}, 5000, 1}, func([]discovery.Peer) {})
				})
			}
			time.Sleep(time.Second / 2)
			if s := m.Status().Families[0]; s.Lookups == 0 || s.Lookups > maxLookups+1 || s.Queries > 20*maxLookups {
				t.Errorf("%+v", s)
			}
			wg.Wait()
			return time.Since(began)
		}
		if d := run(all[3]); d > time.Minute {
			t.Errorf("%d torrents are announced after %v", n, d)
		}
		lost := 0
		for i := range n {
			found := announce(all[20], torrent{ident.InfoHash{V1: ident.V1{9, byte(i), byte(i >> 8)}}, 0, 1})
			if !found[netip.AddrPortFrom(all[3].addr.Addr(), 5000)] {
				lost++
			}
		}
		if lost > 0 {
			t.Errorf("%d of %d are not found", lost, n)
		}
		alone := w.join(Config{})
		defer alone.stop()
		if d := run(alone); d > 4*time.Minute {
			t.Errorf("%d announces that reach nobody take %v", n, d)
		}
	})
}
