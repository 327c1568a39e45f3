package local

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"shoal/internal/netx"
)

func TestUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	u := Socket(path)
	c := netx.HTTPClient(u, netx.HTTPOptions{})
	defer c.CloseIdleConnections()
	if _, err := c.Get("http://node/x"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("nobody there: %v", err)
	}
	l, err := u.Listen(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Fatal(info, err)
	}
	if _, err := u.Listen(t.Context(), "", ""); err == nil {
		t.Fatal("a second listener took the file")
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host+r.URL.Path) })}
	go s.Serve(l)
	if got, err := get(t, c, "http://node/x"); err != nil || got != "node/x" {
		t.Fatal(got, err)
	}
	s.Close()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the file stays: %v", err)
	}
	if _, err := u.ListenPacket(t.Context(), "udp", ":0"); !errors.Is(err, netx.ErrNoPackets) || netx.TraitsOf(u).Packets {
		t.Fatal(err)
	}
	if _, err := u.Resolve(t.Context(), "x"); !errors.Is(err, netx.ErrNoResolve) {
		t.Fatal(err)
	}
}

func TestUnixReplacesOnlyWhatWasLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Socket(path).Listen(t.Context(), "", ""); err == nil {
		t.Fatal("a file that is no socket was replaced")
	}
	os.Remove(path)
	l, err := Socket(path).Listen(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	l.(interface{ SetUnlinkOnClose(bool) }).SetUnlinkOnClose(false) // as if the process was killed
	l.Close()
	if _, err := Socket(path).Dial(t.Context(), "", ""); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatal(err)
	}
	l, err = Socket(path).Listen(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func get(t *testing.T, c *http.Client, url string) (string, error) {
	t.Helper()
	r, err := c.Get(url)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return string(b), err
}
