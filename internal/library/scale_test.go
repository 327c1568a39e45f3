package library_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"shoal/internal/bt/create"
	"shoal/internal/bt/metainfo"
	"shoal/internal/library"
)

// Torrents of TestThousands.
const (
	linked = 1000 // of which nothing but the hash is known
	seeded = 250  // with a file each
)

// TestThousands does to thousands of torrents what people do. Its times are logged: what takes quadratic time stands out.
func TestThousands(t *testing.T) {
	t.Parallel()
	n := start(t, t.TempDir(), func(c *library.Config) { c.Log = slog.New(slog.DiscardHandler) })
	begin := time.Now()
	lap := func(what string) {
		t.Logf("%-28s %v", what, time.Since(begin).Round(time.Millisecond))
		begin = time.Now()
	}
	for i := range linked {
		n.add(library.Request{Link: fmt.Sprintf("%040x", i+1), Tags: []string{fmt.Sprintf("tag%d", i%7)}, Category: fmt.Sprintf("c%d", i%5)})
	}
	lap("links added")
	src := t.TempDir()
	for i := range seeded {
		path := filepath.Join(src, fmt.Sprintf("file %d", i))
		if err := os.WriteFile(path, []byte(path), 0o644); err != nil {
			t.Fatal(err)
		}
		m, _, err := create.Torrent(t.Context(), path, metainfo.CreateOptions{PieceLength: 16 << 10}, func(int64, int64) {})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.Seed(m, path, "", nil); err != nil {
			t.Fatal(err)
		}
	}
	lap("files hashed and added")
	n.count("at work", func(c library.Counts) bool {
		return c.State[library.Seeding] == seeded && c.State[library.Metadata] == linked
	})
	lap("all at work")
	n.lists(t)
	lap("lists")
	for _, c := range []struct {
		action library.Action
		is     func(library.Counts) bool
	}{
		{library.Pause, func(c library.Counts) bool { return c.State[library.Paused] == linked+seeded }},
		{library.Resume, func(c library.Counts) bool {
			return c.State[library.Seeding] == seeded && c.State[library.Metadata] == linked
		}},
		{library.Top, func(c library.Counts) bool { return c.All == linked+seeded }},
		{library.Announce, func(c library.Counts) bool { return c.All == linked+seeded }},
		{library.Remove, func(c library.Counts) bool { return c.All == 0 }},
	} {
		n.do(c.action, "all")
		lap(string(c.action) + ": answered")
		n.count(string(c.action), c.is)
		lap(string(c.action) + ": done")
	}
	if left := len(n.session.Torrents()); left > 0 {
		t.Errorf("%d torrents are still at work", left)
	}
	home := n.home
	n.stop()
	files, err := filepath.Glob(filepath.Join(home, "state", "*.wanted.json"))
	if err != nil || len(files) > 0 {
		t.Errorf("%d files of removed torrents are left, %v", len(files), err)
	}
	if _, err := os.Stat(filepath.Join(src, "file 0")); err != nil {
		t.Errorf("what was shared: %v", err)
	}
}

// count waits until as many are in each state as should be.
func (n *node) count(what string, is func(library.Counts) bool) {
	n.Helper()
	for end := time.After(2 * time.Minute); ; {
		page, err := n.List(library.Query{Limit: 1})
		if err != nil {
			n.Fatal(err)
		}
		if is(page.Counts) {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
			n.Revision() // who asks has the keeper look each second
		case <-end:
			n.Fatalf("waited in vain for all %s: %v", what, page.Counts.State)
		}
	}
}

// lists asks for pages as the web UI does.
func (n *node) lists(t *testing.T) {
	t.Helper()
	tag, category := "tag3", "c2"
	for _, c := range []struct {
		q    library.Query
		want int
	}{
		{library.Query{}, linked + seeded},
		{library.Query{Sort: "name", Desc: true}, linked + seeded},
		{library.Query{Text: "FILE 49"}, 3}, // 49, 149 and 249
		{library.Query{State: []library.State{library.Seeding}}, seeded},
		{library.Query{Tag: &tag, Category: &category}, 29}, // every 35th from the 18th
	} {
		seen := map[string]bool{}
		for c.q.Limit = 100; c.q.Offset == 0 || c.q.Offset < c.want; c.q.Offset += c.q.Limit {
			page, err := n.List(c.q)
			if err != nil {
				t.Fatal(err)
			}
			if page.Total != c.want {
				t.Errorf("%+v: %d rows, not %d", c.q, page.Total, c.want)
			}
			for _, row := range page.Torrents {
				seen[row.ID] = true
			}
		}
		if len(seen) != c.want {
			t.Errorf("%+v: pages held %d torrents, not %d", c.q, len(seen), c.want)
		}
	}
}
