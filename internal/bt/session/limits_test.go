package session_test

import (
	"bytes"
	"errors"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/picker"
	"shoal/internal/bt/session"
	"shoal/internal/bt/torrent"
	"shoal/internal/bt/wire"
	"shoal/internal/simnet"
	"shoal/internal/storage"
)

// fast is a link that limits nothing.
var fast = simnet.Link{Latency: 5 * time.Millisecond}

// received returns what torrents received in a span of time that begins when all flows run.
func received(span time.Duration, tors ...*torrent.Torrent) (n int64) {
	time.Sleep(3 * time.Second)
	total := func() (n int64) {
		for _, t := range tors {
			t.Uploaded() // brings the counters up to date
			for _, p := range t.Peers() {
				n += p.Down
			}
		}
		return n
	}
	before := total()
	time.Sleep(span)
	return total() - before
}

func within(t *testing.T, what string, got, want int64) {
	t.Helper()
	if got < want*95/100 || got > want*105/100 {
		t.Errorf("%s: %d bytes, want %d within 5 %%", what, got, want)
	}
}

func TestRateLimits(t *testing.T) {
	const rate = 200_000
	down := func(c *session.Config) { c.Down = rate }
	for name, test := range map[string]struct {
		seed, leech func(*session.Config)
		spec        session.Spec
		up          int64
		want        int64
	}{
		"down":                      {leech: down, want: rate},
		"down of the torrent":       {spec: session.Spec{Down: rate}, want: rate},
		"torrent below its session": {leech: func(c *session.Config) { c.Down = 10 * rate }, spec: session.Spec{Down: rate}, want: rate},
		"up":                        {seed: func(c *session.Config) { c.Up = rate }, want: rate},
		"up of the torrent":         {up: rate, want: rate},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(w *world) {
				c := makeContent(t, metainfo.CreateOptions{PieceLength: 256 << 10}, 16<<20)
				var seeds []*node
				for range 3 {
					n := w.node(fast)
					if test.seed != nil && len(seeds) == 0 {
						n.close()
						n.start(test.seed)
					}
					if test.want == rate && (test.seed != nil || test.up != 0) && len(seeds) > 0 {
						continue
					}
					n.seed(c, session.Spec{Up: test.up})
					seeds = append(seeds, n)
				}
				l := w.node(fast)
				if test.leech != nil {
					l.close()
					l.start(test.leech)
				}
				test.spec.Torrent, test.spec.Peers = c.torrent, addrs(seeds...)
				within(t, name, received(10*time.Second, l.add(test.spec)), 10*test.want)
			})
		})
	}
}

func TestOneLimitForTwoTorrents(t *testing.T) {
	simulate(t, func(w *world) {
		const rate = 300_000
		one := makeContent(t, metainfo.CreateOptions{PieceLength: 256 << 10}, 16<<20)
		two := makeContent(t, metainfo.CreateOptions{PieceLength: 256 << 10, Source: "two"}, 16<<20)
		seed := w.node(fast)
		seed.seed(one)
		seed.seed(two)
		l := w.node(fast, func(c *session.Config) { c.Down = rate })
		x := l.add(session.Spec{Torrent: one.torrent, Peers: addrs(seed), Root: "/one"})
		y := l.add(session.Spec{Torrent: two.torrent, Peers: addrs(seed), Root: "/two"})
		within(t, "both", received(10*time.Second, x, y), 10*rate)
		if a, b := x.Status().Swarm.DownTotal, y.Status().Swarm.DownTotal; a < b/2 || b < a/2 {
			t.Errorf("they have %d and %d bytes: not fair", a, b)
		}
		l.SetRates(2*rate, 0)
		within(t, "both, with twice the limit", received(10*time.Second, x, y), 20*rate)
	})
}

func TestLimitsDoNotHoldAtHome(t *testing.T) {
	for name, limit := range map[string]bool{"exempt": false, "limited": true} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(w *world) {
				c := makeContent(t, metainfo.CreateOptions{}, 4<<20)
				home := func(last byte) *node {
					n := &node{w: w, host: w.net.Host(netip.AddrFrom4([4]byte{192, 168, 0, last}), fast)}
					n.start(func(c *session.Config) { c.Down, c.Up, c.LANFree = 100_000, 100_000, !limit })
					w.nodes = append(w.nodes, n)
					return n
				}
				seed, l := home(1), home(2)
				seed.seed(c)
				tor := l.leech(c, seed)
				time.Sleep(20 * time.Second)
				select {
				case <-tor.Finished():
					if limit {
						t.Error("4 MiB took less than 20 s at 100 kB/s")
					}
				default:
					if !limit {
						t.Error("a limit slows down a peer at home")
					}
				}
			})
		})
	}
}

func TestMessagesDoNotWaitForTheUploadLimit(t *testing.T) {
	simulate(t, func(w *world) {
		c := makeContent(t, metainfo.CreateOptions{PieceLength: 64 << 10}, 2<<20, 2<<20)
		a, b := w.node(fast, func(c *session.Config) { c.Up = 2000 }), w.node(fast)
		half := func(n *node, file int) {
			n.disk.Put(filepath.Join(root, c.torrent.Info.Layout.Files[file].Path), c.data[file])
		}
		half(a, 0)
		half(b, 1)
		b.add(session.Spec{Torrent: c.torrent, Peers: addrs(a)})
		tor := a.add(session.Spec{Torrent: c.torrent}) // its uploads take 8 s a block, its requests must not
		a.finish(tor, c, 15*time.Second)
	})
}

func TestFullDisk(t *testing.T) {
	simulate(t, func(w *world) {
		c := makeContent(t, metainfo.CreateOptions{}, 4<<20)
		seed, l := w.node(dsl), w.node(dsl)
		seed.seed(c)
		l.disk.SetLimit(1 << 20)
		tor := l.leech(c, seed)
		w.until("the full disk is noticed", 20*time.Second, func() bool {
			st := tor.Status()
			return st.DiskFull && errors.Is(st.Problem, storage.ErrFull)
		})
		before := tor.Status().Swarm.DownTotal
		time.Sleep(30 * time.Second)
		if got := tor.Status().Swarm.DownTotal - before; got > 2<<20 {
			t.Errorf("%d bytes were fetched for a full disk", got)
		}
		l.disk.SetLimit(64 << 20)
		l.finish(tor, c, time.Minute)
		if st := tor.Status(); st.Problem != nil || st.DiskFull {
			t.Errorf("the problem stays: %v", st.Problem)
		}
	})
}

func TestOnlySelectedFiles(t *testing.T) {
	for name, v := range versions {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(w *world) {
				c := makeContent(t, metainfo.CreateOptions{Version: v}, 100_000, 200_000, 300_000)
				seed, l := w.node(dsl), w.node(dsl)
				seed.seed(c)
				tor := l.add(session.Spec{Torrent: c.torrent, Peers: addrs(seed), Select: func(*metainfo.Info) []bool { return []bool{false, true, false} }})
				<-tor.Finished()
				time.Sleep(5 * time.Second)
				names := c.torrent.Info.Layout.Files
				if got, _ := l.disk.Get(filepath.Join(root, names[1].Path)); !bytes.Equal(got, c.data[1]) {
					t.Error("the selected file differs")
				}
				for _, i := range []int{0, 2} {
					if got, there := l.disk.Get(filepath.Join(root, names[i].Path)); there {
						t.Errorf("file %d, which was not selected, is there with %d bytes", i, len(got))
					}
				}
				st := tor.Status()
				if st.Phase != torrent.Seeding || st.Done != 200_000 || st.Total != 200_000 || st.Swarm.DownTotal > 200_000+2*32<<10 {
					t.Errorf("%s, %d of %d bytes, %d received", st.Phase, st.Done, st.Total, st.Swarm.DownTotal)
				}
				for _, i := range []int{2, 0} {
					if err := tor.SetFilePriority(i, picker.Normal); err != nil {
						t.Fatal(err)
					}
				}
				if tor.SetFilePriority(3, picker.Normal) == nil || tor.SetFilePriority(-1, picker.Normal) == nil {
					t.Error("a file out of range has a priority")
				}
				w.until("the rest comes", time.Minute, func() bool { return tor.Status().Phase == torrent.Seeding && tor.Status().Done == 600_000 })
				l.check(c)
			})
		})
	}
}

// order returns the pieces of a torrent in the order in which they come.
func order(w *world, t *torrent.Torrent, n int) (got []int) {
	w.until("all pieces come", 2*time.Minute, func() bool {
		for i, has := range t.Pieces() {
			if has && !slices.Contains(got, i) {
				got = append(got, i)
			}
		}
		return len(got) == n
	})
	return got
}

func TestSequentialAndDeadlines(t *testing.T) {
	for name, test := range map[string]struct {
		sequential bool
		deadlines  []int
		first      []int
	}{
		"sequential": {sequential: true, first: []int{0, 1, 2, 3, 4, 5, 6, 7}},
		"deadlines":  {deadlines: []int{50, 51, 20, 21, 22}, first: []int{50, 51, 20, 21, 22}},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(w *world) {
				c := makeContent(t, metainfo.CreateOptions{}, 2<<20)
				seed, l := w.node(fast), w.node(fast)
				tor := l.add(session.Spec{Torrent: c.torrent, Sequential: test.sequential, Down: 100_000})
				<-tor.Settled()
				d, err := tor.Demand(0)
				if err != nil {
					t.Fatal(err)
				}
				var due []torrent.Due
				for i, p := range test.deadlines {
					due = append(due, torrent.Due{Piece: p, In: time.Duration(i+1) * time.Second})
				}
				d.Set(due, 0, 0)
				seed.seed(c, session.Spec{NoSuper: true, Peers: addrs(l)})
				early := wire.AllowedFastSet(c.torrent.Info.Hash.Key(), l.host.Addr(), 64, 10)
				got := slices.DeleteFunc(order(w, tor, 64), func(p int) bool { // which it may fetch while it is choked
					return !slices.Contains(test.first, p) && slices.Contains(early, uint32(p))
				})
				slack := 2 // blocks under way may cross
				if slices.Contains(early, uint32(test.first[0])) {
					t.Fatal("choose another address: these pieces come early anyway")
				}
				for i, p := range test.first {
					if at := slices.Index(got, p); at > i+slack {
						t.Errorf("piece %d came as number %d, not %d: %v", p, at, i, got)
					}
				}
			})
		})
	}
}

func TestShareOnly(t *testing.T) {
	simulate(t, func(w *world) {
		c := makeContent(t, metainfo.CreateOptions{}, 128<<10, 128<<10)
		seed, half, l := w.node(dsl), w.node(dsl), w.node(dsl)
		seed.seed(c)
		w.net.Partition(seed.host, l.host) // PEX would tell one of the other
		half.disk.Put(filepath.Join(root, c.torrent.Info.Layout.Files[0].Path), c.data[0])
		tor := half.add(session.Spec{Torrent: c.torrent, ShareOnly: true, ReadOnly: true, Peers: addrs(seed)})
		x := l.leech(c, half)
		time.Sleep(30 * time.Second)
		if st := tor.Status().Swarm; st.DownTotal != 0 || st.Have != 4 {
			t.Errorf("it fetched %d bytes and has %d pieces", st.DownTotal, st.Have)
		}
		if st := x.Status().Swarm; st.Have != 4 {
			t.Errorf("it gave %d pieces of 4", st.Have)
		}
	})
}

func TestFilesUnderOtherNames(t *testing.T) {
	simulate(t, func(w *world) {
		c := makeContent(t, metainfo.CreateOptions{}, 100_000, 50_000)
		seed, l := w.node(dsl), w.node(dsl)
		seed.disk.Put(root+"/content/a:b", c.data[0])
		seed.disk.Put(root+"/"+c.torrent.Info.Layout.Files[1].Path, c.data[1])
		tor := seed.add(session.Spec{Torrent: c.torrent, ReadOnly: true, ShareOnly: true, Paths: map[int]string{0: "content/a:b"}})
		<-tor.Settled()
		if st := tor.Status(); st.Phase != torrent.Seeding {
			t.Fatalf("%s, %d of %d bytes", st.Phase, st.Done, st.Total)
		}
		l.finish(l.leech(c, seed), c, 10*time.Second)
	})
}
