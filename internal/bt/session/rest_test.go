package session_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/picker"
	"shoal/internal/bt/session"
	"shoal/internal/bt/torrent"
	"shoal/internal/netx"
	"shoal/internal/simnet"
)

// simulateAlone is simulate while no other test runs, so that goroutines and memory can be counted.
func simulateAlone(t *testing.T, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, net: simnet.New(1)}
		defer w.close()
		test(w)
	})
}

// many makes torrents of the same bytes under different names.
func many(t testing.TB, n int, opts metainfo.CreateOptions) []*content {
	t.Helper()
	out := make([]*content, n)
	for i := range out {
		opts.Source = fmt.Sprint(i)
		out[i] = makeContent(t, opts, 64<<10)
	}
	return out
}

func TestSeedsWithoutPeersHaveNoGoroutine(t *testing.T) {
	const n = 1000
	simulateAlone(t, func(w *world) {
		tracker := &announces{peers: map[netip.AddrPort]bool{}}
		base, stop := w.serve(tracker)
		defer stop()
		all := many(t, n, metainfo.CreateOptions{Version: metainfo.V1, Announce: [][]string{{base + "/announce"}}})
		seed, l := w.node(dsl), w.node(dsl)
		synctest.Wait()
		before := runtime.NumGoroutine()
		seed.store(all[0])
		for _, c := range all {
			seed.add(session.Spec{Torrent: c.torrent, Complete: true, ReadOnly: true})
		}
		alone := func(when string) {
			t.Helper()
			time.Sleep(time.Minute)
			synctest.Wait()
			if now := runtime.NumGoroutine(); now > before+n/100 { // the runtime has some of its own
				t.Errorf("%s, %d torrents that rest have %d goroutines", when, n, now-before)
			}
		}
		alone("after the start")
		if got := len(tracker.events("0")); got != n {
			t.Fatalf("%d of %d torrents have announced", got, n)
		}
		tor := seed.Torrents()[7]
		st := tor.Status()
		time.Sleep(30 * time.Minute)
		later := tor.Status()
		if later.Phase != torrent.Seeding || later.Age-st.Age != 30*time.Minute || later.Seeding-st.Seeding != 30*time.Minute || later.Done != 64<<10 {
			t.Errorf("half an hour later the status is %+v", later)
		}
		alone("after announcing again")
		if got := len(tracker.events("0")); got != 2*n {
			t.Errorf("%d announces after half an hour, of %d torrents", got, n)
		}
		got := l.add(session.Spec{Torrent: all[7].torrent, Peers: addrs(seed), NoTrackers: true})
		l.finish(got, all[7], 10*time.Second)
		if up := tor.Uploaded(); up != 64<<10 {
			t.Errorf("it sent %d bytes", up)
		}
		l.close()
		alone("after serving a peer")
		if st := tor.Status(); st.Swarm.Peers != 0 || st.Up != 0 || st.Swarm.UpTotal != 64<<10 || st.Swarm.Incoming != 1 {
			t.Errorf("after serving a peer the status is %+v", st)
		}
	})
}

func TestARestingTorrentDoesWhatItIsTold(t *testing.T) {
	simulate(t, func(w *world) {
		c := makeContent(t, metainfo.CreateOptions{}, 100_000, 200_000)
		seed, l := w.node(dsl), w.node(dsl)
		tor := seed.seed(c)
		rest := func() { time.Sleep(10 * time.Minute) }
		rest()
		if err := tor.SetFilePriority(0, picker.Skip); err != nil {
			t.Error(err)
		}
		rest()
		if err := tor.SetFilePriority(0, picker.High); err != nil {
			t.Error(err)
		}
		rest()
		if err := tor.Relocate("/elsewhere"); err != nil {
			t.Error(err)
		}
		rest()
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 200 {
					if got := tor.Pieces(); len(got) != c.torrent.Info.Layout.Pieces() {
						t.Errorf("%d pieces", len(got))
					}
				}
			})
		}
		wg.Wait()
		rest()
		l.finish(l.leech(c, seed), c, 10*time.Second)
		if err := l.Remove(context.Background(), l.Torrents()[0]); err != nil {
			t.Error(err)
		}
		rest()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := seed.Remove(ctx, tor); err != nil {
			t.Error(err)
		}
		if err := tor.SetFilePriority(0, picker.High); err != torrent.ErrStopped {
			t.Errorf("after its end it says %v", err)
		}
	})
}

func TestARestingLeecherDialsAgain(t *testing.T) {
	simulate(t, func(w *world) {
		c := makeContent(t, metainfo.CreateOptions{}, 1<<20)
		seed, l := w.node(dsl), w.node(dsl)
		seed.host.Down()
		tor := l.leech(c, seed)
		time.Sleep(5 * time.Minute)
		seed.host.Up()
		seed.seed(c)
		l.finish(tor, c, time.Minute)
	})
}

// TestMemoryOfARestingTorrent bounds what a small seed on real files costs. The measured value is about 5,000 bytes.
func TestMemoryOfARestingTorrent(t *testing.T) {
	const n, bound = 300, 6500
	dir := t.TempDir()
	all := many(t, n+1, metainfo.CreateOptions{Version: metainfo.V1, PieceLength: 16 << 10, Announce: [][]string{{"http://127.0.0.1:1/announce"}}})
	if err := os.WriteFile(filepath.Join(dir, all[0].torrent.Info.Layout.Files[0].Path), all[0].data[0], 0o644); err != nil {
		t.Fatal(err)
	}
	encoded := make([][]byte, len(all))
	for i, c := range all {
		encoded[i] = c.torrent.Encode()
	}
	s, err := session.New(session.Config{Network: netx.NewHost(netx.Options{})})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	begin := func(b []byte) {
		mi, err := metainfo.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		tor, err := s.Add(session.Spec{Torrent: mi, Root: dir})
		if err != nil {
			t.Fatal(err)
		}
		<-tor.Finished()
	}
	begin(encoded[n]) // what all share
	before := heap()
	for _, b := range encoded[:n] {
		begin(b)
	}
	var each int64
	for range 50 { // until the last has come to rest
		if each = (heap() - before) / n; each <= bound {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Logf("%d bytes for each torrent", each)
	if each > bound {
		t.Errorf("a resting torrent takes %d bytes, more than %d", each, bound)
	}
	runtime.KeepAlive(encoded)
}

// heap returns the bytes of live objects.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what sync.Pools held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
