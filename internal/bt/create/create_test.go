package create

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal/internal/bt/metainfo"
)

// content is what the fixtures were made of: n bytes of a linear congruential generator.
func content(n int, x uint32) []byte {
	b := make([]byte, n)
	for i := range b {
		x = (x*1103515245 + 12345) & 0x7fffffff
		b[i] = byte(x >> 16)
	}
	return b
}

func write(t *testing.T, name string, b []byte, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b, mode); err != nil {
		t.Fatal(err)
	}
}

// disk writes the content of the fixtures and returns its folder.
func disk(t *testing.T) string {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "tree/a.bin"), content(100000, 1), 0o644)
	write(t, filepath.Join(dir, "tree/empty"), nil, 0o644)
	write(t, filepath.Join(dir, "tree/sub/b.bin"), content(65536, 3), 0o644)
	write(t, filepath.Join(dir, "tree/sub/deep/c.sh"), content(5, 4), 0o755)
	write(t, filepath.Join(dir, "tree/z.bin"), content(40000, 5), 0o644)
	write(t, filepath.Join(dir, "one.bin"), content(200000, 6), 0o644)
	return dir
}

func options(version metainfo.Version, private bool) metainfo.CreateOptions {
	return metainfo.CreateOptions{
		Version: version, PieceLength: 32768, Private: private, Comment: "fixture", CreatedBy: "test",
		Announce: [][]string{{"http://one.example/announce"}, {"udp://two.example:80"}},
		WebSeeds: []string{"http://seed.example/"}, Created: time.Unix(1500000000, 0),
	}
}

// What another implementation makes of the same content is the same, byte for byte, whatever the number of cores.
func TestFixtures(t *testing.T) {
	dir := disk(t)
	for _, c := range []struct {
		name    string
		version metainfo.Version
	}{{"v1", metainfo.V1}, {"v2", metainfo.V2}, {"hybrid", metainfo.Hybrid}} {
		for _, what := range []string{"tree", "one.bin"} {
			if what == "tree" && runtime.GOOS == "windows" {
				continue // it has no executable bit
			}
			fixture := strings.TrimSuffix(what, ".bin") + "-" + c.name + ".torrent"
			want, err := os.ReadFile(filepath.Join("../metainfo/testdata", fixture))
			if err != nil {
				t.Fatal(err)
			}
			for _, cores := range []int{1, 7} {
				before := runtime.GOMAXPROCS(cores)
				got, notices, err := Torrent(t.Context(), filepath.Join(dir, what), options(c.version, what == "tree"), nil)
				runtime.GOMAXPROCS(before)
				if err != nil || len(notices) > 0 {
					t.Fatal(fixture, err, notices)
				}
				if b := got.Encode(); !bytes.Equal(b, want) {
					t.Errorf("%s differs:\n%q\n%q", fixture, b, want)
				}
			}
		}
	}
}

func TestWalk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "w")
	write(t, filepath.Join(dir, ".hidden/.dot"), []byte("x"), 0o644)
	write(t, filepath.Join(dir, "a/file"), []byte("yy"), 0o644)
	write(t, filepath.Join(dir, "a.txt"), []byte("z"), 0o600)
	if err := os.MkdirAll(filepath.Join(dir, "void/inner"), 0o755); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{
		"link": "a/file", "a/up": "../a.txt", "folder": ".hidden", "out": "../..", "dangling": "nowhere", "a/self": "..", "abs": filepath.Join(dir, "a.txt"),
	} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range []metainfo.Version{metainfo.Hybrid, metainfo.V1, metainfo.V2} {
		got, notices, err := Torrent(t.Context(), dir, metainfo.CreateOptions{Version: v}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var paths []string
		for _, f := range got.Info.Layout.Files {
			if p := f.Path; f.Symlink != "" {
				paths = append(paths, p+">"+f.Symlink)
			} else {
				paths = append(paths, p)
			}
		}
		want := []string{"w/.hidden/.dot", "w/a/file", "w/a/up>w/a.txt", "w/a.txt", "w/abs>w/a.txt", "w/folder>w/.hidden", "w/link>w/a/file"}
		if !slices.Equal(paths, want) {
			t.Errorf("version %d:\n%q\n%q", v, paths, want)
		}
		all := strings.Join(notices, "\n")
		for _, part := range []string{`symlink "out"`, `symlink "dangling"`, `symlink "a/self"`, `folder "void" is empty`, `folder "void/inner" is empty`} {
			if !strings.Contains(all, part) {
				t.Errorf("no notice of %s in %q", part, all)
			}
		}
		if len(notices) != 5 {
			t.Error(notices)
		}
	}
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "empty/file"), nil, 0o644)
	if err := os.Mkdir(filepath.Join(dir, "none"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "ok"), []byte("ok"), 0o644)
	for _, c := range []struct {
		path string
		opts metainfo.CreateOptions
		want string
	}{
		{"missing", metainfo.CreateOptions{}, "no such file"},
		{"none", metainfo.CreateOptions{}, "no files to share"},
		{"empty", metainfo.CreateOptions{}, "all files are empty"},
		{"ok", metainfo.CreateOptions{PieceLength: 20000}, "power of two"},
		{"ok", metainfo.CreateOptions{Name: "a/b"}, "has a slash"},
	} {
		_, _, err := Torrent(t.Context(), filepath.Join(dir, c.path), c.opts, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.path, err, c.want)
		}
	}
}

// A file that changes while it is hashed is an error, since its torrent would fit no version of it.
func TestChanged(t *testing.T) {
	for _, size := range []int64{100, 60000} { // it shrinks behind the reader's back, it grows
		name := filepath.Join(t.TempDir(), "f")
		write(t, name, content(50000, 1), 0o644)
		opts := metainfo.CreateOptions{PieceLength: 16384}
		_, _, err := Torrent(t.Context(), name, opts, func(done, total int64) {
			if err := os.Truncate(name, size); err != nil {
				t.Error(err)
			}
		})
		if err == nil || !strings.Contains(err.Error(), "while it was hashed") {
			t.Errorf("%d: %v", size, err)
		}
	}
}

func TestCancel(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	write(t, name, content(100000, 1), 0o644)
	ctx, cancel := context.WithCancel(t.Context())
	_, _, err := Torrent(ctx, name, metainfo.CreateOptions{PieceLength: 16384}, func(done, total int64) {
		if total != 100000 || done <= 0 || done > total {
			t.Error(done, total)
		}
		cancel()
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func BenchmarkTorrent(b *testing.B) {
	name := filepath.Join(b.TempDir(), "f")
	if err := os.WriteFile(name, make([]byte, 256<<20), 0o644); err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		version metainfo.Version
	}{{"v1", metainfo.V1}, {"v2", metainfo.V2}, {"hybrid", metainfo.Hybrid}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(256 << 20)
			for b.Loop() {
				if _, _, err := Torrent(b.Context(), name, metainfo.CreateOptions{Version: c.version}, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
