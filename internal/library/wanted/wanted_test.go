package wanted

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestFiles reads what was saved last and not removed, and passes over the rest with a warning.
func TestFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "torrents")
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, nil))
	f := Open(dir, log)
	f.Save("a", []byte("old"))
	f.Save("a", []byte("new"))
	f.Save("b", []byte("gone"))
	f.Remove("b")
	f.Save("c", []byte("bad"))
	f.Close()
	for name, size := range map[string]int64{"huge.wanted.json": maxSize + 1, "other.txt": 10} {
		if err := errors.Join(os.WriteFile(filepath.Join(dir, name), nil, 0o600), os.Truncate(filepath.Join(dir, name), size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder.wanted.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := Read(dir, log, func(doc []byte) error {
		if string(doc) == "bad" {
			return errors.New("not taken")
		}
		got = append(got, string(doc))
		return nil
	})
	if err != nil || !slices.Equal(got, []string{"new"}) {
		t.Errorf("%q, %v", got, err)
	}
	for _, name := range []string{"c", "huge", "folder"} {
		if !strings.Contains(said.String(), name+suffix) {
			t.Errorf("nothing was said of %s: %s", name, said.String())
		}
	}
	if err := Read(filepath.Join(dir, "none"), log, func([]byte) error { return nil }); err != nil {
		t.Error(err)
	}
}

// TestNoFolder warns when files cannot be written.
func TestNoFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	f := Open(filepath.Join(file, "below"), slog.New(slog.NewTextHandler(&said, nil)))
	f.Save("a", []byte("x"))
	f.Close()
	if !strings.Contains(said.String(), "files=1") {
		t.Errorf("%q", said.String())
	}
}
