package library_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal/internal/bt/create"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/session"
	"shoal/internal/database"
	"shoal/internal/library"
	"shoal/internal/netx"
)

// node is a library over a session on loopback, with a home of its own.
type node struct {
	*testing.T
	*library.Library
	session *session.Session
	db      *database.DB
	home    string
	done    chan library.Torrent
}

// start opens a library at home.
func start(t *testing.T, home string, change ...func(*library.Config)) *node {
	t.Helper()
	n := &node{T: t, home: home, done: make(chan library.Torrent, 100)}
	if err := os.MkdirAll(filepath.Join(home, "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	var report database.Report
	var err error
	if n.db, report, err = database.Open(filepath.Join(home, "state", "shoal.db")); err != nil {
		t.Fatal(err)
	}
	network := netx.NewHost(netx.Options{})
	n.session, err = session.New(session.Config{Network: network, Listen: "127.0.0.1:0", State: filepath.Join(home, "state"), Isolated: true, Client: "shoal test"})
	if err != nil {
		t.Fatal(err)
	}
	cfg := library.Config{
		Session: n.session, Database: n.db, State: filepath.Join(home, "state"), Client: netx.HTTPClient(network, netx.HTTPOptions{}),
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Settings: library.Settings{Dir: filepath.Join(home, "downloads")},
		Rebuild: len(report.SetAside) > 0, Completed: func(row library.Torrent) { n.done <- row },
	}
	for _, c := range change {
		c(&cfg)
	}
	if n.Library, err = library.Open(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.stop)
	return n
}

func (n *node) stop() {
	if n.Library == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := n.Close(ctx); err != nil {
		n.Errorf("closing: %v", err)
	}
	if err := n.db.Close(); err != nil {
		n.Errorf("closing the database: %v", err)
	}
	n.Library = nil
}

// content makes a folder with files of random bytes, the same for the same seed.
func content(t *testing.T, dir string, seed uint64, sizes ...int) *metainfo.Torrent {
	t.Helper()
	r := rand.NewChaCha8([32]byte{byte(seed)})
	for i, size := range sizes {
		b := make([]byte, size)
		r.Read(b)
		path := filepath.Join(dir, "album", string(rune('a'+i))+".bin")
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	m, _, err := create.Torrent(t.Context(), filepath.Join(dir, "album"), metainfo.CreateOptions{PieceLength: 16 << 10}, func(int64, int64) {})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// seed starts a node that seeds content, and returns its address.
func seed(t *testing.T, m *metainfo.Torrent, dir string) string {
	t.Helper()
	n := start(t, t.TempDir())
	added, err := n.Seed(m, filepath.Join(dir, "album"), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	n.state(added.ID, library.Seeding)
	return n.session.Addr().String()
}

func (n *node) add(q library.Request) string {
	n.Helper()
	added, err := n.Add(n.Context(), q)
	if err != nil {
		n.Fatal(err)
	}
	return added.ID
}

func (n *node) row(id string) library.Torrent {
	n.Helper()
	d, err := n.Get(id)
	if err != nil {
		n.Fatal(err)
	}
	return d.Torrent
}

// until waits until a torrent is as it should be.
func (n *node) until(id, what string, is func(library.Torrent) bool) library.Torrent {
	n.Helper()
	late := time.After(20 * time.Second)
	for {
		row := n.row(id)
		if is(row) {
			return row
		}
		select {
		case <-time.After(20 * time.Millisecond):
			n.Revision() // who asks has the keeper look each second
		case <-late:
			n.Fatalf("waited in vain for %s: %+v", what, row)
		}
	}
}

func (n *node) state(id string, s library.State) library.Torrent {
	n.Helper()
	return n.until(id, string(s), func(t library.Torrent) bool { return t.State == s })
}

func (n *node) do(a library.Action, ids ...string) {
	n.Helper()
	if err := n.Do(n.Context(), a, ids); err != nil {
		n.Fatal(err)
	}
}

func same(t *testing.T, a, b string) {
	t.Helper()
	x, err := os.ReadFile(a)
	y, err2 := os.ReadFile(b)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(x, y) {
		t.Errorf("%s and %s differ", a, b)
	}
}

// TestDownload adds a torrent, fetches it, pauses, resumes, and finds all as it was after a restart.
func TestDownload(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	m := content(t, src, 1, 300_000, 70_000)
	peer := seed(t, m, src)
	n := start(t, t.TempDir())
	id := n.add(library.Request{Torrent: m.Encode(), Peers: []string{peer}, Category: "music", Tags: []string{"b", "a", "b"}})
	row := n.state(id, library.Seeding)
	same(t, filepath.Join(row.Path, "a.bin"), filepath.Join(src, "album", "a.bin"))
	same(t, filepath.Join(row.Path, "b.bin"), filepath.Join(src, "album", "b.bin"))
	if done := <-n.done; done.ID != id || !done.Complete {
		t.Errorf("Completed was told of %+v", done)
	}
	if row.Category != "music" || strings.Join(row.Tags, "") != "ab" || row.Done != 370_000 || row.Size != 370_000 || row.Progress != 1 || row.Completed == 0 {
		t.Errorf("%+v", row)
	}
	if row.Downloaded < 370_000 {
		t.Errorf("%d bytes downloaded", row.Downloaded)
	}
	n.do(library.Pause, id)
	n.state(id, library.Paused)
	if _, err := n.Engine(id); !errors.Is(err, library.ErrIdle) {
		t.Errorf("Engine of a paused torrent: %v", err)
	}
	home := n.home
	n.stop()
	n = start(t, home)
	got := n.row(id)
	if got.State != library.Paused || got.Downloaded != row.Downloaded || got.Category != "music" || got.Completed != row.Completed || !got.Complete {
		t.Errorf("after a restart: %+v", got)
	}
	n.do(library.Resume, id)
	if got := n.state(id, library.Seeding); got.Downloaded != row.Downloaded {
		t.Errorf("resumed: %d bytes downloaded, not %d", got.Downloaded, row.Downloaded)
	}
	files, err := n.Files(id)
	if err != nil || len(files) != 2 || files[0].Done != files[0].Size || files[0].Priority != library.Normal {
		t.Errorf("files %+v, %v", files, err)
	}
	pieces, err := n.Pieces(id)
	if err != nil || bytes.Count(pieces, []byte{2}) != len(pieces) {
		t.Errorf("pieces %v, %v", pieces, err)
	}
}

// TestMagnet adds a link of which only some files are wanted, and another one later.
func TestMagnet(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	m := content(t, src, 2, 100_000, 200_000, 50_000)
	peer := seed(t, m, src)
	n := start(t, t.TempDir())
	id := n.add(library.Request{Link: "magnet:?xt=urn:btih:" + m.Info.Hash.V1.String() + "&x.pe=" + peer + "&so=0", Paused: true})
	if row := n.row(id); row.State != library.Paused || row.Size != 0 {
		t.Fatalf("%+v", row)
	}
	n.do(library.Resume, id)
	row := n.state(id, library.Seeding)
	if row.Size != 100_000 || row.TotalSize != 350_000 || row.Name != "album" || row.HashV2 == "" {
		t.Errorf("%+v", row)
	}
	if again := n.add(library.Request{Torrent: m.Encode()}); again != id {
		t.Errorf("the same torrent is %s", again)
	}
	if _, err := os.Stat(filepath.Join(row.Path, "c.bin")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an unwanted file: %v", err)
	}
	if err := n.SetFiles(id, []int{2}, library.High); err != nil {
		t.Fatal(err)
	}
	n.until(id, "more to be there", func(t library.Torrent) bool {
		return t.State == library.Seeding && t.Size == 150_000 && t.Done == 150_000
	})
	same(t, filepath.Join(row.Path, "c.bin"), filepath.Join(src, "album", "c.bin"))
}

// TestIncomplete moves files when they are complete, and then when a person says so, paused or not.
func TestIncomplete(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	m := content(t, src, 3, 100_000)
	peer := seed(t, m, src)
	home := t.TempDir()
	n := start(t, home, func(c *library.Config) { c.Settings.Incomplete = filepath.Join(home, "incomplete") })
	id := n.add(library.Request{Torrent: m.Encode(), Peers: []string{peer}})
	if done := <-n.done; done.Dir != filepath.Join(home, "downloads") {
		t.Errorf("complete in %s", done.Dir)
	}
	row := n.state(id, library.Seeding)
	same(t, filepath.Join(row.Path, "a.bin"), filepath.Join(src, "album", "a.bin"))
	for _, pause := range []bool{false, true} {
		if pause {
			n.do(library.Pause, id)
			n.state(id, library.Paused)
		}
		dir := filepath.Join(home, "moved", map[bool]string{true: "paused", false: "at work"}[pause])
		if err := n.Set(id, library.Change{Dir: &dir}); err != nil {
			t.Fatal(err)
		}
		row = n.until(id, "the move", func(t library.Torrent) bool { return t.Dir == dir && t.State != library.Moving })
		same(t, filepath.Join(row.Path, "a.bin"), filepath.Join(src, "album", "a.bin"))
	}
	if row.State != library.Paused {
		t.Errorf("moved while paused: %+v", row)
	}
}

// TestRemove removes torrents with and without their files, at work and paused.
func TestRemove(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	m := content(t, src, 4, 100_000)
	peer := seed(t, m, src)
	n := start(t, t.TempDir())
	for _, c := range []struct{ pause, data bool }{{false, false}, {false, true}, {true, true}, {true, false}} {
		id := n.add(library.Request{Torrent: m.Encode(), Peers: []string{peer}})
		row := n.state(id, library.Seeding)
		if c.pause {
			n.do(library.Pause, id)
			n.state(id, library.Paused)
		}
		a := library.Remove
		if c.data {
			a = library.RemoveData
		}
		n.do(a, id)
		if _, err := n.Get(id); !errors.Is(err, library.ErrNotFound) {
			t.Errorf("%+v: %v", c, err)
		}
		if _, err := os.Stat(row.Path); c.data != errors.Is(err, os.ErrNotExist) {
			t.Errorf("%+v: files: %v", c, err)
		}
	}
	if got := n.Totals(); got.Downloaded < 300_000 || got.Torrents != 0 {
		t.Errorf("%+v", got)
	}
}

// TestShared never deletes what was only shared.
func TestShared(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	m := content(t, src, 5, 100_000)
	n := start(t, t.TempDir())
	added, err := n.Seed(m, filepath.Join(src, "album"), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	n.state(added.ID, library.Seeding)
	n.do(library.RemoveData, added.ID)
	if _, err := os.Stat(filepath.Join(src, "album", "a.bin")); err != nil {
		t.Error(err)
	}
}

// TestGone does not fetch anew what was complete and is not there any more, unless a person says so.
func TestGone(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	m := content(t, src, 6, 100_000, 30_000)
	peer := seed(t, m, src)
	home := t.TempDir()
	n := start(t, home)
	id := n.add(library.Request{Torrent: m.Encode(), Peers: []string{peer}})
	row := n.state(id, library.Seeding)
	n.stop()
	for _, what := range []string{row.Dir, filepath.Join(row.Path, "b.bin")} {
		if err := os.Rename(what, what+"-away"); err != nil {
			t.Fatal(err)
		}
		n = start(t, home)
		if got := n.state(id, library.Failed); got.Reason == "" || !got.Complete {
			t.Errorf("without %s: %+v", what, got)
		}
		if err := os.Rename(what+"-away", what); err != nil {
			t.Fatal(err)
		}
		n.do(library.Resume, id)
		n.state(id, library.Seeding)
		n.stop()
	}
	if err := os.Remove(filepath.Join(row.Path, "b.bin")); err != nil {
		t.Fatal(err)
	}
	n = start(t, home)
	n.state(id, library.Failed)
	n.do(library.Recheck, id)
	n.state(id, library.Seeding)
	same(t, filepath.Join(row.Path, "b.bin"), filepath.Join(src, "album", "b.bin"))
}

// TestRebuilt loses the database and finds every torrent again.
func TestRebuilt(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	m := content(t, src, 7, 100_000)
	peer := seed(t, m, src)
	home := t.TempDir()
	n := start(t, home)
	id := n.add(library.Request{Torrent: m.Encode(), Peers: []string{peer}, Category: "kept", Tags: []string{"x"}, Dir: filepath.Join(home, "elsewhere")})
	n.state(id, library.Seeding)
	n.stop()
	path := filepath.Join(home, "state", "shoal.db")
	if err := os.WriteFile(path, bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	n = start(t, home)
	if row := n.state(id, library.Seeding); row.Category != "kept" || len(row.Tags) != 1 || row.Dir != filepath.Join(home, "elsewhere") || row.Downloaded != 0 && row.Downloaded < 100_000 {
		t.Errorf("%+v", row)
	}
}

// TestQueue has no more at work than may be, in the order of the queue.
func TestQueue(t *testing.T) {
	t.Parallel()
	n := start(t, t.TempDir(), func(c *library.Config) { c.Settings.ActiveDownloads = 1 })
	var ids []string
	for i := range 3 {
		ids = append(ids, n.add(library.Request{Link: strings.Repeat(string(rune('1'+i)), 40)}))
	}
	n.state(ids[0], library.Metadata)
	n.state(ids[1], library.Queued)
	n.do(library.Top, ids[2])
	n.state(ids[2], library.Metadata)
	n.state(ids[0], library.Queued)
	n.do(library.Force, ids[1])
	n.state(ids[1], library.Metadata)
	n.do(library.Up, ids[1])
	n.do(library.Up, ids[1])
	page, err := n.List(library.Query{Sort: "queue"})
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, row := range page.Torrents {
		order = append(order, row.ID[:1])
	}
	if got := strings.Join(order, ""); got != "231" {
		t.Errorf("the queue is %s", got)
	}
	n.do(library.Pause, ids[2], ids[1])
	n.state(ids[0], library.Metadata)
	if err := n.Do(t.Context(), library.Pause, []string{"nobody"}); !errors.Is(err, library.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

// TestSeedRule ends seeding when the goal of the rule that matches is reached.
func TestSeedRule(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	m := content(t, src, 8, 50_000)
	n := start(t, t.TempDir())
	tag := "short"
	if err := n.SetSeedRules([]library.SeedRule{{Tag: &tag, Ratio: 1, Then: "pause"}, {Ratio: 0.1, Then: "format"}}); !errors.Is(err, library.ErrBad) {
		t.Errorf("a rule that formats: %v", err)
	}
	if err := n.SetSeedRules([]library.SeedRule{{Tag: &tag, Ratio: 1, Then: "pause"}}); err != nil {
		t.Fatal(err)
	}
	added, err := n.Seed(m, filepath.Join(src, "album"), "", []string{tag})
	if err != nil {
		t.Fatal(err)
	}
	n.state(added.ID, library.Seeding)
	other := start(t, t.TempDir())
	id := other.add(library.Request{Torrent: m.Encode(), Peers: []string{n.session.Addr().String()}})
	other.state(id, library.Seeding)
	n.state(added.ID, library.Paused)
}

// TestFloor holds downloads while less is free than the floor.
func TestFloor(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	m := content(t, src, 9, 100_000)
	peer := seed(t, m, src)
	n := start(t, t.TempDir(), func(c *library.Config) { c.Settings.Floor = 1 << 62 })
	id := n.add(library.Request{Link: "magnet:?xt=urn:btih:" + m.Info.Hash.V1.String(), DownLimit: 1000})
	n.state(id, library.Metadata)
	if err := n.AddPeers(id, []string{peer}); err != nil {
		t.Fatal(err)
	}
	row := n.state(id, library.Failed)
	if !strings.Contains(row.Reason, "no space left") || !strings.Contains(row.Reason, "goes on when there is room") {
		t.Errorf("%q", row.Reason)
	}
	set := n.Settings()
	set.Floor = 0
	n.SetSettings(set)
	none := int64(0)
	if err := n.Set(id, library.Change{DownLimit: &none}); err != nil {
		t.Fatal(err)
	}
	n.state(id, library.Seeding)
}

// TestUse puts a paused torrent to work for as long as it is read.
func TestUse(t *testing.T) {
	t.Parallel()
	src := t.TempDir()
	m := content(t, src, 10, 50_000)
	n := start(t, t.TempDir())
	added, err := n.Seed(m, filepath.Join(src, "album"), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	n.do(library.Pause, added.ID)
	n.state(added.ID, library.Paused)
	engine, err := n.Use(t.Context(), added.ID)
	if err != nil {
		t.Fatal(err)
	}
	<-engine.Settled()
	if row := n.until(added.ID, "work", func(r library.Torrent) bool { return r.State == library.Seeding }); row.State != library.Seeding {
		t.Errorf("%+v", row)
	}
	if _, err := n.Use(t.Context(), strings.Repeat("0", 40)); !errors.Is(err, library.ErrNotFound) {
		t.Errorf("%v", err)
	}
}
