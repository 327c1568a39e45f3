package storage_test

import (
	"path/filepath"
	"testing"

	"shoal/internal/block"
	"shoal/internal/layout"
	"shoal/internal/storage"
)

func TestFilesUnderPathsOfTheirOwn(t *testing.T) {
	lay := &layout.Layout{PieceLength: 16 << 10, Size: 20, Files: []layout.File{{Path: "a/x", Length: 10}, {Path: "a/y", Offset: 10, Length: 10}}}
	m := storage.NewMemory(block.NewPool(0))
	defer m.Close()
	root := filepath.FromSlash("/r")
	m.Put(filepath.Join(root, "a", "other x"), []byte("0123456789"))
	m.Put(filepath.Join(root, "a", "y"), []byte("abcdefghij"))
	open := func(paths map[int]string) (storage.Handle, error) {
		return m.Open(storage.Spec{Layout: lay, Root: root, ReadOnly: true, Paths: paths, Done: func(...storage.Result) {}})
	}
	h, err := open(map[int]string{0: "a/other x"})
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 20)
	if err := h.ReadAt(b, 0); err != nil || string(b) != "0123456789abcdefghij" {
		t.Errorf("read %q, %v", b, err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"../x", "/x", "a/../x", "a/y", ".shoal-parts/x"} {
		if h, err := open(map[int]string{0: bad}); err == nil {
			t.Errorf("a file at %q is taken", bad)
			h.Close()
		}
	}
}
