package session_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/session"
	"shoal/internal/bt/torrent"
)

// keep makes a session keep files and state on the real disk.
func keep(state string) func(*session.Config) {
	return func(c *session.Config) { c.Store, c.State = nil, state }
}

func compare(t *testing.T, dir string, c *content) {
	t.Helper()
	for i, want := range c.data {
		got, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(c.torrent.Info.Layout.Files[i].Path)))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("file %d: %v, equal %v", i, err, bytes.Equal(got, want))
		}
	}
}

func TestResume(t *testing.T) {
	for name, v := range versions {
		t.Run(name, func(t *testing.T) {
			state, dir := t.TempDir(), t.TempDir()
			simulate(t, func(w *world) {
				c := makeContent(t, metainfo.CreateOptions{Version: v}, 2<<20, 1<<20, 100)
				seed, l := w.node(fast), w.node(fast, keep(state))
				seed.seed(c)
				// By magnet: the second time, its metadata and piece layers must come from the state folder.
				spec := session.Spec{InfoHash: c.torrent.Info.Hash, Root: dir, Peers: addrs(seed), Down: 300_000}
				tor := l.add(spec)
				w.until("half is there", time.Minute, func() bool { return tor.Status().Swarm.Have > 48 })
				l.close()
				have := tor.Status().Swarm.Have

				l.start(keep(state))
				seed.host.Down()
				tor = l.add(spec)
				select {
				case <-tor.Settled():
				case <-time.After(5 * time.Second):
					t.Fatal("what was known is forgotten")
				}
				if st := tor.Status(); st.Phase != torrent.Downloading || st.Swarm.Have != have {
					t.Errorf("%s, %d pieces of %d", st.Phase, st.Swarm.Have, have)
				}
				seed.host.Up()
				<-tor.Finished()
				time.Sleep(2 * time.Second)
				compare(t, dir, c)
				missing := int64(97-have) * 32 << 10
				if got := tor.Status().Swarm.DownTotal; got > missing+64<<10 {
					t.Errorf("fetched %d bytes, with %d missing", got, missing)
				}

				l.close()
				l.start(keep(state))
				spec.Recheck, spec.ReadOnly = true, true
				tor = l.add(spec)
				<-tor.Settled()
				if st := tor.Status(); st.Phase != torrent.Seeding || st.Done != st.Total || st.Swarm.DownTotal != 0 {
					t.Errorf("after a check: %s, %d of %d bytes, %d fetched", st.Phase, st.Done, st.Total, st.Swarm.DownTotal)
				}
			})
		})
	}
}

func TestDamageIsFoundAndMended(t *testing.T) {
	state, dir := t.TempDir(), t.TempDir()
	simulate(t, func(w *world) {
		c := makeContent(t, metainfo.CreateOptions{}, 1<<20)
		seed, l := w.node(fast), w.node(fast, keep(state))
		seed.seed(c)
		tor := l.add(session.Spec{Torrent: c.torrent, Root: dir, Peers: addrs(seed)})
		<-tor.Finished()
		l.close()
		name := filepath.Join(dir, "content")
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		b[500_000]++
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		l.start(keep(state))
		tor = l.add(session.Spec{Torrent: c.torrent, Root: dir, Peers: addrs(seed), Recheck: true})
		<-tor.Finished()
		time.Sleep(2 * time.Second)
		compare(t, dir, c)
		if got := tor.Status().Swarm.DownTotal; got != 32<<10 {
			t.Errorf("fetched %d bytes to mend one piece", got)
		}
	})
}

func TestAddTwiceAndAfterClose(t *testing.T) {
	simulate(t, func(w *world) {
		c := makeContent(t, metainfo.CreateOptions{}, 100_000)
		n := w.node(fast)
		tor := n.leech(c)
		<-tor.Settled()
		for _, spec := range []session.Spec{{Torrent: c.torrent}, {InfoHash: c.torrent.Info.Hash}} {
			if _, err := n.Add(spec); !errors.Is(err, session.ErrExists) {
				t.Errorf("added twice: %v", err)
			}
		}
		if _, err := n.Add(session.Spec{}); err == nil {
			t.Error("added without a name")
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := n.Remove(ctx, tor); err != nil {
			t.Error(err)
		}
		if err := tor.SetSequential(true); !errors.Is(err, torrent.ErrStopped) {
			t.Errorf("a call after the end: %v", err)
		}
		again := n.leech(c)
		s := n.Session
		n.close()
		if again.Pieces() != nil || again.Peers() != nil || again.Relocate("/x") == nil {
			t.Error("a torrent answers after its end")
		}
		if _, err := s.Add(session.Spec{Torrent: c.torrent}); !errors.Is(err, session.ErrClosed) {
			t.Errorf("added after the end: %v", err)
		}
	})
}

func TestCloseAtAnyMoment(t *testing.T) {
	for _, after := range []time.Duration{0, time.Millisecond, 30 * time.Millisecond, 70 * time.Millisecond, 200 * time.Millisecond, time.Second} {
		t.Run(after.String(), func(t *testing.T) {
			state, dir := t.TempDir(), t.TempDir()
			simulate(t, func(w *world) {
				c := makeContent(t, metainfo.CreateOptions{}, 4<<20)
				base, stop := w.serve(files(c, false))
				defer stop()
				seed, l := w.node(dsl), w.node(dsl, keep(state))
				seed.seed(c)
				l.add(session.Spec{InfoHash: c.torrent.Info.Hash, Root: dir, Peers: addrs(seed, l), WebSeeds: []string{base}})
				time.Sleep(after)
				l.close()
			})
		})
	}
}
