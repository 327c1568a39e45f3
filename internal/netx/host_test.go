package netx

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
)

var _ Network = (*Host)(nil)

// echo accepts one connection, sends back the address that it comes from, and closes it.
func echo(l net.Listener) {
	c, err := l.Accept()
	if err != nil {
		return
	}
	io.WriteString(c, c.RemoteAddr().String())
	c.Close()
}

func TestHostStream(t *testing.T) {
	h := NewHost(Options{})
	for _, c := range []struct{ network, listen string }{{"tcp", "127.0.0.1:0"}, {"tcp4", "127.0.0.1:0"}, {"tcp", "localhost:0"}} {
		l, err := h.Listen(t.Context(), c.network, c.listen)
		if err != nil {
			t.Fatal(err)
		}
		go echo(l)
		conn, err := h.Dial(t.Context(), c.network, l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(conn)
		if err != nil || string(b) != conn.LocalAddr().String() {
			t.Errorf("%v: %q, %v", c, b, err)
		}
		conn.Close()
		l.Close()
	}
}

func TestHostPacket(t *testing.T) {
	h := NewHost(Options{})
	pc, err := h.ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	c, err := h.Dial(t.Context(), "udp", pc.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 10)
	n, from, err := pc.ReadFrom(b)
	if err != nil || string(b[:n]) != "ping" || from.String() != c.LocalAddr().String() {
		t.Fatalf("%q from %v, %v", b[:n], from, err)
	}
}

// boundAddr returns a second loopback address where the system has one.
func boundAddr() netip.Addr {
	if runtime.GOOS == "linux" {
		return netip.MustParseAddr("127.0.0.5")
	}
	return netip.MustParseAddr("127.0.0.1")
}

func TestHostBind(t *testing.T) {
	a := boundAddr()
	h := NewHost(Options{Bind: a})
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0", a.String() + ":0", "[::ffff:" + a.String() + "]:0"} {
		l, err := h.Listen(t.Context(), "tcp", addr)
		if err != nil {
			t.Errorf("%s: %v", addr, err)
			continue
		}
		if got := l.Addr().(*net.TCPAddr).AddrPort().Addr().Unmap(); got != a {
			t.Errorf("%s: listens on %v", addr, got)
		}
		go echo(l)
		c, err := h.Dial(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(c); !strings.HasPrefix(string(b), a.String()+":") {
			t.Errorf("dialled from %s", b)
		}
		c.Close()
		l.Close()
	}
	pc, err := h.ListenPacket(t.Context(), "udp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	if got := pc.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(); got != a {
		t.Errorf("packets on %v", got)
	}
	c, err := h.Dial(t.Context(), "udp", pc.LocalAddr().String())
	if err != nil || c.LocalAddr().(*net.UDPAddr).AddrPort().Addr() != a {
		t.Errorf("udp from %v, %v", c, err)
	}
	c.Close()
}

func TestHostBindFailsClosed(t *testing.T) {
	h := NewHost(Options{Bind: boundAddr()})
	for _, addr := range []string{"127.9.9.9:0", "[::1]:0", "localhost:0", "nonsense"} {
		if l, err := h.Listen(t.Context(), "tcp", addr); err == nil {
			t.Errorf("listens on %v", l.Addr())
		}
		if l, err := h.ListenPacket(t.Context(), "udp", addr); err == nil {
			t.Errorf("receives on %v", l.LocalAddr())
		}
	}
	if c, err := h.Dial(t.Context(), "tcp", "[::1]:9"); err == nil {
		t.Errorf("dialled IPv6 from %v", c.LocalAddr())
	}
	var unknown net.UnknownNetworkError
	if _, err := h.Dial(t.Context(), "unix", "x"); !errors.As(err, &unknown) {
		t.Error(err)
	}
}

func TestHostResolve(t *testing.T) {
	h := NewHost(Options{})
	for in, want := range map[string]string{"192.0.2.1": "192.0.2.1", "2001:db8::1": "2001:db8::1", "::ffff:192.0.2.1": "192.0.2.1"} {
		if got, err := h.Resolve(t.Context(), in); err != nil || len(got) != 1 || got[0].String() != want {
			t.Errorf("%s: %v, %v", in, got, err)
		}
	}
	got, err := h.Resolve(t.Context(), "localhost")
	if err != nil || len(got) == 0 {
		t.Fatal(got, err)
	}
	for _, a := range got {
		if !a.IsLoopback() || a.Is4In6() {
			t.Errorf("localhost is %v", a)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := h.Resolve(ctx, "name.invalid"); err == nil {
		t.Errorf("resolved after cancel: %v", got)
	}
}
