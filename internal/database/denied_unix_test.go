//go:build unix

package database

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A file of which the rights were lost is left as it is. Root has every right, so a child without them opens it.
func TestDenied(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shoal.db")
	db := mustOpen(t, path)
	db.Migrate("notes", notes)
	db.Close()
	was, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	c := child(t, "open", path)
	if os.Geteuid() == 0 {
		for dir := filepath.Dir(path); dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
			os.Chmod(dir, 0o777)
		}
		exe, err := os.ReadFile(os.Args[0])
		if err != nil {
			t.Fatal(err)
		}
		c.Path = filepath.Join(filepath.Dir(path), "child") // where that user can run it
		if err := os.WriteFile(c.Path, exe, 0o755); err != nil {
			t.Fatal(err)
		}
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := c.Output()
	if err != nil || !bytes.HasPrefix(out, []byte("0 true ")) {
		t.Fatalf("%s, %v", out, err)
	}
	if now, err := os.ReadFile(path); os.Geteuid() == 0 && (err != nil || !bytes.Equal(now, was)) {
		t.Fatalf("the file was changed: %v", err)
	}
}
