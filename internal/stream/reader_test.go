package stream

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"shoal/internal/block"
	"shoal/internal/bt/picker"
	"shoal/internal/bt/session"
	"shoal/internal/bt/torrent"
	"shoal/internal/simnet"
	"shoal/internal/storage"
	"shoal/internal/storage/cache"
)

// line is 1 MB/s, 50 ms from the core.
var line = simnet.Link{Up: 1 << 20, Down: 1 << 20, Latency: 25 * time.Millisecond}

const mib = 1 << 20

func (w *world) open(t *torrent.Torrent, file int) *Reader {
	w.Helper()
	r, err := Open(w.Context(), t, file, Options{})
	if err != nil {
		w.Fatal(err)
	}
	return r
}

// want reads len(p) bytes from where the reader is and compares them.
func (w *world) want(r *Reader, n int) {
	w.Helper()
	p := make([]byte, n)
	pos := r.pos
	if _, err := io.ReadFull(r, p); err != nil {
		w.Fatalf("at %d: %v", pos, err)
	}
	if !right(p, r.base+pos) {
		w.Fatalf("what was read at %d differs", pos)
	}
}

func TestReadWhileDownloading(t *testing.T) {
	simulate(t, 1, func(w *world) {
		f := film(t, 128<<10, 5*mib+77, 9*mib+5)
		a, b := w.node(line), w.node(line)
		w.seed(a, f, 0)
		tor := w.add(b, session.Spec{Torrent: f, Peers: addrs(a)})
		r := w.open(tor, 1)
		defer r.Close()
		w.want(r, 3*mib)
		if n, err := r.Seek(-100, io.SeekEnd); n != 9*mib+5-100 || err != nil {
			t.Fatal(n, err)
		}
		begun := time.Now()
		w.want(r, 100)
		if d := time.Since(begun); d > 10*time.Millisecond {
			t.Errorf("the end of the file, where an index may be, took %v", d)
		}
		if n, err := r.Read(make([]byte, 5)); n != 0 || err != io.EOF {
			t.Fatal(n, err)
		}
		p := make([]byte, 300<<10)
		if n, err := r.ReadAt(p, 6*mib); n != len(p) || err != nil || !right(p, r.base+6*mib) {
			t.Fatal(n, err)
		}
		if n, err := r.ReadAt(p, r.Size()-10); n != 10 || err != io.EOF {
			t.Fatal(n, err)
		}
	})
}

func addrs(nodes ...*node) (out []netip.AddrPort) {
	for _, n := range nodes {
		out = append(out, n.at())
	}
	return out
}

// A seek gets what it needs long before everything that was asked for before would have come.
func TestASeekTakesOverAtOnce(t *testing.T) {
	simulate(t, 1, func(w *world) {
		f := film(t, 256<<10, 200*mib)
		a, b := w.node(line), w.node(line)
		w.seed(a, f, 0)
		r := w.open(w.add(b, session.Spec{Torrent: f, Peers: addrs(a)}), 0)
		defer r.Close()
		w.want(r, mib)
		for _, to := range []int64{150, 30, 90} {
			if _, err := r.Seek(to*mib, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			w.want(r, 1000)
			if d := time.Since(begun); d > 1100*time.Millisecond { // a piece takes 250 ms, what is on its way 100 and more
				t.Errorf("a seek to %d MiB took %v", to, d)
			}
		}
	})
}

func TestReadersShareDeadlines(t *testing.T) {
	simulate(t, 1, func(w *world) {
		f := film(t, 128<<10, 64*mib)
		a, b := w.node(line), w.node(line)
		w.seed(a, f, 0)
		tor := w.add(b, session.Spec{Torrent: f, Peers: addrs(a)})
		x, y := w.open(tor, 0), w.open(tor, 0)
		defer y.Close()
		w.want(x, 100)
		y.Seek(40*mib, io.SeekStart)
		w.want(y, 100)
		x.Close()
		begun := time.Now()
		w.want(y, 4*mib)
		if d := time.Since(begun); d > 6*time.Second {
			t.Errorf("4 MiB took %v on a line of 1 MB/s: the reader that was closed took the other's deadlines along", d)
		}
		if _, err := x.Read(make([]byte, 1)); err == nil {
			t.Error("a closed reader reads")
		}
	})
}

func TestASkippedFileIsWantedWhileItIsRead(t *testing.T) {
	simulate(t, 1, func(w *world) {
		f := film(t, 128<<10, 2*mib, 6*mib)
		a, b := w.node(line), w.node(line)
		w.seed(a, f, 0)
		tor := w.add(b, session.Spec{Torrent: f, Peers: addrs(a)})
		<-tor.Settled()
		if err := tor.SetFilePriority(1, picker.Skip); err != nil {
			t.Fatal(err)
		}
		<-tor.Finished()
		r := w.open(tor, 1)
		w.want(r, mib)
		if st := tor.Status(); st.Phase != torrent.Downloading || st.Total != 8*mib {
			t.Errorf("%s, %d bytes wanted", st.Phase, st.Total)
		}
		r.Close()
		time.Sleep(time.Second)
		had := count(tor.Pieces())
		time.Sleep(10 * time.Second)
		if n := count(tor.Pieces()); n > had+1 || n == 64 {
			t.Errorf("after the reading, %d pieces came", n-had)
		}
		if st := tor.Status(); st.Total != 2*mib || st.Phase != torrent.Seeding {
			t.Errorf("%s, %d bytes wanted", st.Phase, st.Total)
		}
	})
}

func count(b []bool) (n int) {
	for _, x := range b {
		if x {
			n++
		}
	}
	return n
}

func TestReadsEnd(t *testing.T) {
	simulate(t, 1, func(w *world) {
		f := film(t, 128<<10, 2*mib)
		b := w.node(line)
		tor := w.add(b, session.Spec{Torrent: f}) // of nobody
		ctx, cancel := context.WithCancel(w.Context())
		r, err := Open(ctx, tor, 0, Options{})
		if err != nil {
			t.Fatal(err)
		}
		q := w.open(tor, 0)
		ends := make(chan error, 2)
		for _, r := range []*Reader{r, q} {
			go func() {
				_, err := r.Read(make([]byte, 1))
				ends <- err
			}()
		}
		synctest.Wait()
		cancel()
		if err := <-ends; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		go b.Remove(w.Context(), tor)
		if err := <-ends; !errors.Is(err, torrent.ErrStopped) {
			t.Error(err)
		}
		r.Close()
		q.Close()
		if _, err := Open(w.Context(), tor, 0, Options{}); !errors.Is(err, torrent.ErrStopped) {
			t.Error(err)
		}
	})
}

// A disk that fails is told to whoever waits for it; when it has room again, reading goes on.
func TestAFullDiskIsTold(t *testing.T) {
	simulate(t, 1, func(w *world) {
		f := film(t, 128<<10, 8*mib)
		var disk *storage.Memory
		a, b := w.node(line), w.node(line, func(cfg *session.Config) {
			cfg.Store = func(p *block.Pool) storage.Store {
				disk = storage.NewMemory(p)
				disk.SetLimit(mib)
				return disk
			}
		})
		w.seed(a, f, 0)
		r := w.open(w.add(b, session.Spec{Torrent: f, Peers: addrs(a)}), 0)
		defer r.Close()
		if n, err := io.Copy(io.Discard, r); !errors.Is(err, storage.ErrFull) {
			t.Fatalf("%d bytes were read, then: %v", n, err)
		}
		disk.SetLimit(100 * mib)
		time.Sleep(10 * time.Second)
		w.want(r, int(r.size-r.pos))
	})
}

// What is played without being kept takes bounded memory, and can be played again.
func TestPlayWithoutKeeping(t *testing.T) {
	simulate(t, 1, func(w *world) {
		const room = 8 * mib
		f := film(t, 128<<10, 2*mib, 48*mib)
		fast := simnet.Link{Up: 8 * mib, Down: 8 * mib, Latency: 10 * time.Millisecond}
		a, b, c := w.node(fast), w.node(fast, func(cfg *session.Config) {
			cfg.Store = func(*block.Pool) storage.Store { return cache.New(room) }
		}), w.node(fast)
		w.seed(a, f, 0)
		tor := w.add(b, session.Spec{Torrent: f, Peers: addrs(a), Transient: true})
		other := w.add(c, session.Spec{Torrent: f, Peers: addrs(b)})
		w.net.Partition(a.host, c.host)
		time.Sleep(5 * time.Second)
		if n := tor.Status().Swarm.DownTotal; n != 0 {
			t.Fatalf("%d bytes came that nobody reads", n)
		}
		r, err := Open(w.Context(), tor, 1, Options{Ahead: room / 4})
		if err != nil {
			t.Fatal(err)
		}
		w.want(r, 48*mib)
		for _, at := range []int64{30, 5, 47, 6} {
			r.Seek(at*mib, io.SeekStart)
			w.want(r, mib)
		}
		if n := count(tor.Pieces()); n*(128<<10) > room {
			t.Errorf("%d pieces are there: more than there is room for", n)
		}
		if st := tor.Status(); st.Phase != torrent.Downloading || st.Swarm.Peers != 2 {
			t.Errorf("%s, %d peers", st.Phase, st.Swarm.Peers)
		}
		r.Close()
		time.Sleep(time.Second)
		before := tor.Status().Swarm.DownTotal
		time.Sleep(20 * time.Second)
		if n := tor.Status().Swarm.DownTotal - before; n != 0 {
			t.Errorf("%d bytes came after the reading", n)
		}
		if n := tor.Status().Swarm.DownTotal; n > 60*mib {
			t.Errorf("%d MiB came for 52 that were read", n/mib)
		}
		if st := other.Status(); st.Swarm.Have == 0 || st.Swarm.Peers != 1 {
			t.Errorf("one who fetches from us has %d pieces and %d peers", st.Swarm.Have, st.Swarm.Peers)
		}
	})
}

func TestPlan(t *testing.T) {
	l := &film(t, mib, 3*mib/2, 100*mib, 0).Info.Layout
	w := plan(l, 1, 10*mib, mib, 64*mib)
	var pieces []int
	for _, d := range w.due {
		pieces = append(pieces, d.Piece)
	}
	// The file begins in the middle of piece 1, so the place that is read is piece 11.
	if want := []int{11, 12, 101, 1, 13, 14, 15, 16, 17, 18, 19, 20, 21}; !slices.Equal(pieces, want) {
		t.Errorf("%v, want %v", pieces, want)
	}
	if w.first != 11 || w.end != 72 || w.due[0].In != 0 || w.due[1].In != 500*time.Millisecond || w.due[4].In != 1500*time.Millisecond {
		t.Errorf("%+v", w)
	}
	if w := plan(l, 1, 100*mib, mib, 64*mib); len(w.due) != 0 || w.first != w.end {
		t.Errorf("behind the end: %+v", w)
	}
	if w := plan(l, 2, 0, mib, 64*mib); len(w.due) != 0 {
		t.Errorf("an empty file: %+v", w)
	}
}
