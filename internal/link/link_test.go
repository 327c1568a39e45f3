package link

import (
	"errors"
	"io/fs"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestFileURL takes the URLs of files of this machine, and of no other.
func TestFileURL(t *testing.T) {
	for url, path := range map[string]string{
		"file:///srv/a%20b.torrent": "/srv/a b.torrent", "FILE://localhost/x": "/x", "plain/path": "plain/path", "file:relative": "file:relative",
	} {
		got, err := local(url)
		if runtime.GOOS == "windows" {
			path = strings.TrimPrefix(path, "/")
		}
		if err != nil || got != filepath.FromSlash(path) {
			t.Errorf("%s is %q, %v", url, got, err)
		}
	}
	for _, url := range []string{"file://elsewhere/x.torrent", "file://%zz"} {
		if got, err := local(url); !errors.Is(err, ErrBad) {
			t.Errorf("%s is %q, %v", url, got, err)
		}
	}
	if _, err := File("file://" + filepath.ToSlash(filepath.Join(t.TempDir(), "none.torrent"))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
