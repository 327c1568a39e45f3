//go:build linux

package interop

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pieceLength is that of the torrents made here, so that edges know where pieces end.
const pieceLength = 64 << 10

// content is something to share; each is the same in every run.
type content struct {
	name  string // of the file or folder
	files func(add func(path string, size int))
}

var (
	single = content{"single.bin", func(add func(string, int)) { add("", 24<<20+12345) }}

	manyFiles = content{"many files", func(add func(string, int)) {
		for i := range 2000 {
			add(fmt.Sprintf("dir %02d/file %04d", i%37, i), i*7%9000)
		}
	}}

	edges = content{"edges", func(add func(string, int)) {
		add("00 empty", 0)
		for i, size := range []int{1, 16383, 16384, 16385, pieceLength - 1, pieceLength, pieceLength + 1, 2*pieceLength - 1,
			2 * pieceLength, 3*pieceLength + 16384, 15, 4 * pieceLength, 16384, 1} {
			add(fmt.Sprintf("%02d of %d", i+1, size), size)
			if i%4 == 2 {
				add(fmt.Sprintf("%02d then empty", i+1), 0)
			}
		}
		add("99 empty too", 0)
	}}

	names = content{"Namen – имена – 名前", func(add func(string, int)) {
		for i, name := range []string{
			strings.Repeat("n", 200), strings.Repeat("日", 66) + "ab", "with space", "ünïcödé.txt", "кириллица/файл", "🐟/🐠/🐡",
			"a'b", "100%", "semi;colon&amp", "-dash", "UPPER", "deep/er/and/deep/er/still", "dots...in.name", "(brackets) [too] {all}", "#hash", "plus+plus",
		} {
			add(name, 1000*i+1)
		}
	}}
)

// make writes the content below dir and returns its path.
func (c content) make(t *testing.T, dir string) string {
	t.Helper()
	var seed [32]byte
	copy(seed[:], c.name)
	random := rand.NewChaCha8(seed)
	root := filepath.Join(dir, c.name)
	c.files(func(path string, size int) {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(path)
		if err == nil {
			_, err = io.CopyN(f, random, int64(size))
		}
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	return root
}

// sameFrom is sameTree for what another client has fetched. Transmission makes no empty files.
func sameFrom(t *testing.T, client, want, got string) {
	t.Helper()
	a, b := tree(t, want), tree(t, got)
	if client == "transmission" {
		maps.DeleteFunc(a, func(name string, data []byte) bool { return len(data) == 0 && b[name] == nil })
	}
	sameFiles(t, a, b)
}

// sameTree fails the test unless two files or folders have the same files with the same bytes.
func sameTree(t *testing.T, want, got string) {
	t.Helper()
	sameFiles(t, tree(t, want), tree(t, got))
}

func sameFiles(t *testing.T, a, b map[string][]byte) {
	t.Helper()
	missing, extra := 0, 0
	for _, name := range slices.Sorted(maps.Keys(a)) {
		switch data, ok := b[name]; {
		case !ok:
			if missing++; missing < 5 {
				t.Errorf("%q is missing in the copy", name)
			}
		case !bytes.Equal(data, a[name]):
			t.Errorf("%q differs: %d bytes, want %d; first difference at %d", name, len(data), len(a[name]), difference(data, a[name]))
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			if extra++; extra < 5 {
				t.Errorf("the copy has %q, which the original has not", name)
			}
		}
	}
	if len(a) == 0 {
		t.Error("there is nothing to compare")
	}
}

func difference(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// tree reads all files at or below root. What clients put beside content is left out: pad files of clients that do not
// know BEP 47, and aria2's control files.
func tree(t *testing.T, root string) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == ".pad" {
				return filepath.SkipDir
			}
			return nil
		}
		name, err := filepath.Rel(root, path)
		if err == nil && filepath.Ext(path) != ".aria2" {
			files[name], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		t.Errorf("%s: %v", root, err)
	}
	return files
}
