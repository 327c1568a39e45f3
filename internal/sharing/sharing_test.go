package sharing

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/library"
)

func ended(t *testing.T, s *Sharing, id string) library.Job {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		j, err := s.Job(id)
		if err != nil {
			t.Fatal(err)
		}
		if j.State != "running" {
			return j
		}
		if time.Now().After(end) {
			t.Fatalf("it does not end: %+v", j)
		}
	}
}

func TestShare(t *testing.T) {
	path := filepath.Join(t.TempDir(), "talk.mp4")
	if err := os.WriteFile(path, make([]byte, 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	var seeded []string
	refuse := errors.New("the library is full")
	var refused error
	s := New(func(m *metainfo.Torrent, path, category string, tags []string) (library.Added, error) {
		seeded = append(seeded, path+" "+category+" "+strings.Join(tags, ","))
		return library.Added{ID: m.Info.Hash.Key().String()}, refused
	}, slog.New(slog.DiscardHandler))
	defer s.Close()

	j, err := s.Share(library.ShareRequest{Path: path, Category: "talks", Tags: []string{"x"}})
	if err != nil {
		t.Fatal(err)
	}
	if j = ended(t, s, j.ID); j.State != "done" || j.Done != 100_000 || len(j.Torrent) != 40 || !strings.HasPrefix(j.Magnet, "magnet:?xt=urn:bt") {
		t.Errorf("%+v", j)
	}
	if len(seeded) != 1 || seeded[0] != path+" talks x" {
		t.Error(seeded)
	}
	only, err := s.Share(library.ShareRequest{Path: path, OnlyCreate: true, Format: "v1", PieceLength: 32 << 10, Trackers: []string{"udp://t.example:1"}})
	if err != nil {
		t.Fatal(err)
	}
	if ended(t, s, only.ID); len(seeded) != 1 {
		t.Error("what was only to be made is seeded")
	}
	b, err := s.JobTorrent(only.ID)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := metainfo.Parse(b); err != nil || m.Info.Hash.HasV2() || m.Info.Layout.PieceLength != 32<<10 || len(m.Announce) != 1 {
		t.Errorf("%+v, %v", m, err)
	}
	refused = refuse
	if j, err = s.Share(library.ShareRequest{Path: path}); err != nil {
		t.Fatal(err)
	}
	if j = ended(t, s, j.ID); j.State != "failed" || j.Message != refuse.Error() {
		t.Errorf("%+v", j)
	}
	for _, q := range []library.ShareRequest{{Path: "relative"}, {Path: path, Format: "v3"}, {Path: path, PieceLength: 1000}, {Path: path, Trackers: []string{"ftp://x"}}} {
		if _, err := s.Share(q); !errors.Is(err, library.ErrBad) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	if j, err = s.Share(library.ShareRequest{Path: path + ".gone"}); err != nil {
		t.Fatal(err)
	}
	if j = ended(t, s, j.ID); j.State != "failed" || !strings.Contains(j.Message, "talk.mp4.gone") {
		t.Errorf("%+v", j)
	}
	if err := s.CancelJob("nobody"); !errors.Is(err, library.ErrNotFound) {
		t.Error(err)
	}
	if got := len(s.Jobs()); got != 4 {
		t.Errorf("%d jobs", got)
	}
}

// TestClose cancels what is being hashed, and takes nothing more.
func TestClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := New(nil, slog.New(slog.DiscardHandler))
	s.turn <- struct{}{} // somebody else hashes
	j, err := s.Share(library.ShareRequest{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if j, err = s.Job(j.ID); err != nil || j.State != "cancelled" {
		t.Errorf("%+v, %v", j, err)
	}
	if _, err := s.Share(library.ShareRequest{Path: path}); err == nil {
		t.Error("shared after the end")
	}
}
