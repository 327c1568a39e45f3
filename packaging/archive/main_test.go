package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// folder makes what is packed, with times of its own.
func folder(t *testing.T, at time.Time) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "shoal_1")
	for name, mode := range map[string]os.FileMode{"shoal": 0o755, "docs/a.md": 0o600} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("content of "+name), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// The same content gives the same archive, whenever it was made.
func TestReproducible(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	for _, name := range []string{"a.tar.gz", "a.zip"} {
		var first []byte
		for _, at := range []time.Time{time.Unix(1, 0), time.Unix(1_800_000_000, 0)} {
			file := filepath.Join(t.TempDir(), name)
			if err := pack(file, folder(t, at)); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(file)
			if err != nil || first != nil && !bytes.Equal(b, first) {
				t.Errorf("%s differs (%v)", name, err)
			}
			first = b
		}
	}
}

func TestContent(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	dir := folder(t, time.Now())
	file := filepath.Join(t.TempDir(), "a.tar.gz")
	if err := pack(file, dir); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(z)
	for _, want := range []struct {
		name string
		mode int64
	}{{"shoal_1/docs/a.md", 0o644}, {"shoal_1/shoal", 0o755}} {
		h, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if h.Name != want.name || h.Mode != want.mode || h.ModTime.Unix() != 1_700_000_000 || h.Uid != 0 || err != nil || string(b) != "content of "+want.name[len("shoal_1/"):] {
			t.Errorf("%+v %q %v", h, b, err)
		}
	}
	file = filepath.Join(t.TempDir(), "a.zip")
	if err := pack(file, dir); err != nil {
		t.Fatal(err)
	}
	zr, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer zr.Close()
	if len(zr.File) != 2 || zr.File[1].Name != "shoal_1/shoal" || zr.File[1].Mode().Perm() != 0o755 {
		t.Errorf("%+v", zr.File)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := pack(file, dir); err == nil {
		t.Error("a link was packed")
	}
}
