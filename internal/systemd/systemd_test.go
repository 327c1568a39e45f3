//go:build linux

package systemd

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test start itself as a service.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_SERVICE") != "" {
		service()
		return
	}
	os.Exit(m.Run())
}

// service says what it was given, and answers one connection of each socket.
func service() {
	list, err := Listeners()
	if err != nil {
		fmt.Println("error:", err)
		return
	}
	for _, l := range list {
		fmt.Println(l.Name, l.Addr().Network())
		c, err := l.Accept()
		if err != nil {
			fmt.Println("error:", err)
			return
		}
		io.WriteString(c, "hello from "+l.Name)
		c.Close()
	}
	again, err := Listeners()
	fmt.Println("again", len(again), err, os.Getenv("LISTEN_FDS") == "")
}

// start runs the service with files, as systemd does.
func start(t *testing.T, names string, files ...*os.File) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0"`, self)
	cmd.Env = []string{"TEST_SERVICE=1", "LISTEN_FDS=" + strconv.Itoa(len(files)), "LISTEN_FDNAMES=" + names, "GORACE=atexit_sleep_ms=0"}
	cmd.ExtraFiles = files
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, &out
}

func TestListeners(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	path := filepath.Join(t.TempDir(), "s")
	local, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	tf, err := tcp.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer tf.Close()
	uf, err := local.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer uf.Close()
	cmd, out := start(t, "api:shoal.socket", tf, uf)
	for _, at := range []struct{ network, addr, want string }{{"tcp", tcp.Addr().String(), "hello from api"}, {"unix", path, "hello from shoal.socket"}} {
		c, err := net.Dial(at.network, at.addr)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(c)
		c.Close()
		if err != nil || string(b) != at.want {
			t.Errorf("%s: %q, %v", at.network, b, err)
		}
	}
	if err := cmd.Wait(); err != nil || out.String() != "api tcp\nshoal.socket unix\nagain 0 <nil> true\n" {
		t.Errorf("%v: %q", err, out)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the service took away systemd's socket: %v", err)
	}
}

// What is no listener is refused, and sockets of another process are left alone.
func TestNoListeners(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	cmd, out := start(t, "null", null)
	if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "error: socket 0 (null) from systemd:") {
		t.Errorf("%v: %q", err, out)
	}
	t.Setenv("LISTEN_PID", "1")
	t.Setenv("LISTEN_FDS", "1")
	t.Setenv("LISTEN_FDNAMES", "x")
	if list, err := Listeners(); list != nil || err != nil {
		t.Error(list, err)
	}
	t.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
	t.Setenv("LISTEN_FDS", "65")
	if list, err := Listeners(); list != nil || err == nil {
		t.Error(list, err)
	}
}

func TestNotify(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "notify"), "@shoal-test-" + strconv.Itoa(os.Getpid())} {
		c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		t.Setenv("NOTIFY_SOCKET", path)
		t.Setenv("WATCHDOG_USEC", "20000000")
		t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
		n := NewNotifier()
		if n.Watchdog() != 10*time.Second || os.Getenv("NOTIFY_SOCKET") != "" {
			t.Error(n.Watchdog(), os.Getenv("NOTIFY_SOCKET"))
		}
		for _, test := range []struct {
			say  func()
			want string
		}{
			{func() { n.Ready("serving") }, `^READY=1\nSTATUS=serving$`},
			{n.Reloading, `^RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]+$`},
			{func() { n.Status("a\nb") }, `^STATUS=a b$`},
			{n.Alive, `^WATCHDOG=1$`},
			{func() { n.Stopping("bye") }, `^STOPPING=1\nSTATUS=bye$`},
		} {
			test.say()
			b := make([]byte, 1000)
			k, err := c.Read(b)
			if err != nil || !regexp.MustCompile(test.want).Match(b[:k]) {
				t.Errorf("%q, want %s (%v)", b[:k], test.want, err)
			}
		}
	}
}

// Where nobody asks, nothing is said; nor is the watchdog of another process fed.
func TestNobodyAsks(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "20000000")
	n := NewNotifier()
	n.Ready("x")
	if n.Watchdog() != 0 {
		t.Error(n.Watchdog())
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "gone"))
	t.Setenv("WATCHDOG_USEC", "20000000")
	t.Setenv("WATCHDOG_PID", "1")
	n = NewNotifier()
	n.Alive() // nobody is there, and that is no harm
	if n.Watchdog() != 0 {
		t.Error(n.Watchdog())
	}
}
