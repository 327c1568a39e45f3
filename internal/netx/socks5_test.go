package netx_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"shoal/internal/netx"
	"shoal/internal/netx/proxytest"
	"shoal/internal/simnet"
)

// witness is a network that notes what is asked of it.
type witness struct {
	netx.Network
	mu    sync.Mutex
	calls []string
}

func (w *witness) note(call, network, addr string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, strings.TrimSpace(call+" "+network)+" "+addr)
}

func (w *witness) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	w.note("dial", network, addr)
	return w.Network.Dial(ctx, network, addr)
}

func (w *witness) Listen(ctx context.Context, network, addr string) (net.Listener, error) {
	w.note("listen", network, addr)
	return w.Network.Listen(ctx, network, addr)
}

func (w *witness) ListenPacket(ctx context.Context, network, addr string) (net.PacketConn, error) {
	w.note("listen", network, addr)
	return w.Network.ListenPacket(ctx, network, addr)
}

func (w *witness) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	w.note("resolve", "", host)
	return w.Network.Resolve(ctx, host)
}

// wantOnly checks that nothing was asked for but TCP and UDP to one host.
func (w *witness) wantOnly(t *testing.T, proxy string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	host, _, _ := net.SplitHostPort(proxy)
	for _, c := range w.calls {
		if c != "dial tcp "+proxy && !strings.HasPrefix(c, "dial udp "+host+":") {
			t.Errorf("went past the proxy at %s: %s", proxy, c)
		}
	}
	if len(w.calls) == 0 {
		t.Error("the proxy was not asked")
	}
}

// open returns the network of a route, and who saw what was done underneath.
func open(t *testing.T, under netx.Network, route string) (netx.Network, *witness) {
	t.Helper()
	r, err := netx.ParseRoute(route)
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{Network: under}
	n, err := r.Over(w)
	if err != nil {
		t.Fatal(err)
	}
	return n, w
}

// echoServer sends back all that it gets over TCP, after a greeting; it says what it saw.
func echoServer(t *testing.T, n netx.Network, addr string) netip.AddrPort {
	t.Helper()
	l, err := n.Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				io.WriteString(c, "hello ")
				io.Copy(c, c)
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return netip.MustParseAddrPort(l.Addr().String())
}

// echoPackets sends back every packet.
func echoPackets(t *testing.T, n netx.Network, addr string) netip.AddrPort {
	t.Helper()
	pc, err := n.ListenPacket(t.Context(), "udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		b := make([]byte, 65535)
		for {
			n, from, err := pc.ReadFrom(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				pc.WriteTo(b[:n], from)
			}
		}
	})
	t.Cleanup(func() { pc.Close(); wg.Wait() })
	return netip.MustParseAddrPort(pc.LocalAddr().String())
}

// talk checks that a connection leads to an echoServer.
func talk(t *testing.T, c net.Conn) {
	t.Helper()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := (&net.Buffers{[]byte("one "), []byte("two")}).WriteTo(c); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len("hello one two"))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "hello one two" {
		t.Fatalf("%q, %v", b, err)
	}
}

func host() *netx.Host { return netx.NewHost(netx.Options{}) }

func TestProxyConnects(t *testing.T) {
	server := echoServer(t, host(), "127.0.0.1:0")
	for _, c := range []struct {
		scheme, login string // of the route
		target        string // %d is the server's port
		network       string
		asked         proxytest.Request
	}{
		{"socks5", "", "127.0.0.1:%d", "tcp", proxytest.Request{}},
		{"socks5", "us:s%20%3A%40x@", "127.0.0.1:%d", "tcp4", proxytest.Request{User: "us", Password: "s :@x"}},
		{"socks5h", "us:s%20%3A%40x@", "tracker.example:%d", "tcp6", proxytest.Request{User: "us", Password: "s :@x"}},
		{"socks5", "", "[::ffff:127.0.0.1]:%d", "tcp", proxytest.Request{Target: "127.0.0.1:%d"}},
		{"http", "", "127.0.0.1:%d", "tcp", proxytest.Request{}},
		{"http", "us:s%20%3A%40x@", "tracker.example:%d", "tcp", proxytest.Request{User: "us", Password: "s :@x"}},
	} {
		t.Run(c.scheme+" "+c.login+c.target, func(t *testing.T) {
			o := proxytest.Options{User: c.asked.User, Password: c.asked.Password, Names: map[string][]netip.AddrPort{"tracker.example": {server}}}
			start := proxytest.SOCKS5
			if c.scheme == "http" {
				start = proxytest.HTTP
			}
			p := start(t, host(), o)
			n, w := open(t, host(), c.scheme+"://"+c.login+p.Addr())
			target := fmt.Sprintf(c.target, server.Port())
			conn, err := n.Dial(t.Context(), c.network, target)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			talk(t, conn)
			if got := conn.LocalAddr().String(); got != "0.0.0.0:0" {
				t.Errorf("it tells our address towards the proxy: %s", got)
			}
			if got := conn.RemoteAddr().String(); got != strings.ReplaceAll(strings.ReplaceAll(target, "[::ffff:", ""), "]", "") {
				t.Errorf("the far end of the connection to %s is %s", target, got)
			}
			if _, ok := conn.(interface{ ReadVector([][]byte) (int, error) }); ok != (runtime.GOOS == "linux") {
				t.Error("it does not read into several buffers")
			}
			c.asked.Command = 1
			c.asked.Target = conn.RemoteAddr().String()
			if got := p.Requests(); !slices.Equal(got, []proxytest.Request{c.asked}) {
				t.Errorf("asked for %+v, not %+v", got, c.asked)
			}
			w.wantOnly(t, p.Addr())
		})
	}
}

// All addresses of a proxy's world may be IPv6.
func TestProxyOverIPv6(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := simnet.New(1)
		us, far := sim.Host(netip.MustParseAddr("2001:db8::1"), simnet.Link{}), sim.Host(netip.MustParseAddr("2001:db8::2"), simnet.Link{Latency: time.Second})
		server, packets := echoServer(t, far, ":7000"), echoPackets(t, far, ":7000")
		p := proxytest.SOCKS5(t, far, proxytest.Options{Addr: ":1080"})
		proxytest.HTTP(t, far, proxytest.Options{Addr: ":8080"})
		for _, route := range []string{"socks5://[2001:db8::2]:1080", "http://[2001:db8::2]:8080"} {
			n, _ := open(t, us, route)
			target := netip.AddrPortFrom(far.Addr(), server.Port()).String()
			c, err := n.Dial(t.Context(), "tcp6", target)
			if err != nil {
				t.Fatal(err)
			}
			talk(t, c)
			c.Close()
			if c.RemoteAddr().String() != target {
				t.Errorf("%s: the far end is %v", route, c.RemoteAddr())
			}
		}
		n, _ := open(t, us, "socks5://[2001:db8::2]:1080")
		pc, err := n.ListenPacket(t.Context(), "udp6", ":0")
		if err != nil {
			t.Fatal(err)
		}
		defer pc.Close()
		to := netip.AddrPortFrom(far.Addr(), packets.Port())
		b := make([]byte, 100)
		pc.WriteTo([]byte("ping"), net.UDPAddrFromAddrPort(to))
		if n, from, err := pc.ReadFrom(b); err != nil || string(b[:n]) != "ping" || from.String() != to.String() {
			t.Errorf("%q from %v, %v", b[:n], from, err)
		}
		if got := p.Packets(); len(got) != 1 || got[0] != to.String() {
			t.Errorf("packets to %v", got)
		}
	})
}

// A proxy of a name is looked up by the network underneath, and that is all it looks up.
func TestProxyOfAName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := simnet.New(1)
		us, far := sim.Host(netip.MustParseAddr("192.0.2.1"), simnet.Link{}), sim.Host(netip.MustParseAddr("192.0.2.2"), simnet.Link{Latency: time.Second})
		sim.Name("proxy.example", far.Addr())
		server := echoServer(t, far, ":7000")
		proxytest.SOCKS5(t, far, proxytest.Options{Addr: ":1080"})
		n, w := open(t, us, "socks5://proxy.example:1080")
		c, err := n.Dial(t.Context(), "tcp", netip.AddrPortFrom(far.Addr(), server.Port()).String())
		if err != nil {
			t.Fatal(err)
		}
		talk(t, c)
		c.Close()
		w.wantOnly(t, "proxy.example:1080")
	})
}

func TestSOCKS5Refusals(t *testing.T) {
	for code := byte(1); code <= 9; code++ {
		p := proxytest.SOCKS5(t, host(), proxytest.Options{Refuse: code})
		n, w := open(t, host(), "socks5://"+p.Addr())
		for _, network := range []string{"tcp", "udp"} {
			c, err := n.Dial(t.Context(), network, "127.0.0.1:9")
			if err == nil {
				c.Close()
				t.Fatalf("reply %d, %s: connected", code, network)
			}
			if errors.Is(err, netx.ErrRouteDown) || !strings.Contains(err.Error(), "the proxy says: ") {
				t.Errorf("reply %d, %s: %v", code, network, err)
			}
			if errors.Is(err, netx.ErrNoPackets) != (network == "udp") {
				t.Errorf("reply %d, %s: %v", code, network, err)
			}
			for want, is := range map[byte]error{3: syscall.ENETUNREACH, 4: syscall.EHOSTUNREACH, 5: syscall.ECONNREFUSED} {
				if errors.Is(err, is) != (code == want) {
					t.Errorf("reply %d, %s: errors.Is %v is wrong", code, network, is)
				}
			}
		}
		w.wantOnly(t, p.Addr())
	}
}

// faults are what a proxy may do wrong at each step, and what is then said.
var faults = []struct {
	name, route string
	step        proxytest.Step
	send        string
	hold        bool
	want        string
	up          bool // it is not the route that counts as down
}{
	{"hangs up at once", "socks5://", proxytest.Accepted, "", false, "hung up in the middle", false},
	{"accepts and is silent", "socks5://", proxytest.Accepted, "", true, "i/o timeout", false},
	{"is a web server", "socks5://", proxytest.Accepted, "HTTP/1.1 400 Bad Request\r\n\r\n", true, "begins with 0x48", false},
	{"is SOCKS4", "socks5://", proxytest.Greeted, "\x00\x5b\x00\x00\x00\x00\x00\x00", false, "begins with 0x00", false},
	{"half a greeting", "socks5://", proxytest.Greeted, "\x05", false, "hung up in the middle", false},
	{"half a greeting, then silence", "socks5://", proxytest.Greeted, "\x05", true, "i/o timeout", false},
	{"wants a password", "socks5://", proxytest.Greeted, "\x05\xff", true, "wants a user and a password", false},
	{"chooses the password that was not offered", "socks5://", proxytest.Greeted, "\x05\x02", true, "none of our ways", false},
	{"chooses GSSAPI", "socks5://u:p@", proxytest.Greeted, "\x05\x01", true, "none of our ways", false},
	{"accepts no method", "socks5://u:p@", proxytest.Greeted, "\x05\xff", true, "none of our ways", false},
	{"refuses the password", "socks5://u:p@", proxytest.LoggedIn, "\x01\x01", false, "refuses our user or password", false},
	{"other version of the login", "socks5://u:p@", proxytest.LoggedIn, "\x05\x00", true, "begins with 0x05", false},
	{"half a login", "socks5://u:p@", proxytest.LoggedIn, "\x01", false, "hung up in the middle", false},
	{"login, then silence", "socks5://u:p@", proxytest.LoggedIn, "", true, "i/o timeout", false},
	{"hangs up instead of a reply", "socks5://", proxytest.Requested, "", false, "hung up in the middle", false},
	{"no reply", "socks5://", proxytest.Requested, "", true, "i/o timeout", true},
	{"reply of another version", "socks5://", proxytest.Requested, "\x04\x00\x00\x01\x7f\x00\x00\x01\x00\x50", true, "begins with 0x04", false},
	{"reply with an unknown type of address", "socks5://", proxytest.Requested, "\x05\x00\x00\x02\x7f\x00\x00\x01\x00\x50", true, "unknown type 0x02", false},
	{"half a reply", "socks5://", proxytest.Requested, "\x05\x00\x00\x01\x7f\x00", false, "hung up in the middle", false},
	{"reply without its port, then silence", "socks5://", proxytest.Requested, "\x05\x00\x00\x01\x7f\x00\x00\x01", true, "i/o timeout", false},
	{"half of a long name", "socks5://", proxytest.Requested, "\x05\x00\x00\x03\xffabc", false, "hung up in the middle", false},
	{"a refusal without an address", "socks5://", proxytest.Requested, "\x05\x05\x00", true, "connection refused", true},
	{"Tor without isolation", "tor://", proxytest.Greeted, "\x05\x00", true, "none of our ways", false},

	{"hangs up at once", "http://", proxytest.Accepted, "", false, "hung up in the middle", false},
	{"accepts and is silent", "http://", proxytest.Accepted, "", true, "i/o timeout", true},
	{"is a SOCKS proxy", "http://", proxytest.Accepted, "\x05\xff\x00\x00\x00", true, "no HTTP proxy", false},
	{"speaks anything", "http://", proxytest.Requested, "SSH-2.0-x\r\n\r\n", true, "no HTTP proxy", false},
	{"bad status", "http://", proxytest.Requested, "HTTP/1.1 xyz OK\r\n\r\n", true, "no HTTP proxy", false},
	{"half a header", "http://", proxytest.Requested, "HTTP/1.1 200 OK\r\n", false, "hung up in the middle", false},
	{"half a header, then silence", "http://", proxytest.Requested, "HTTP/1.1 200 OK\r\n", true, "i/o timeout", true},
	{"endless header", "http://", proxytest.Requested, "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 5000), true, "no HTTP proxy", false},
	{"wants a password", "http://", proxytest.Requested, "HTTP/1.1 407 x\r\n\r\n", true, "wants a user and a password", false},
	{"refuses the password", "http://u:p@", proxytest.Requested, "HTTP/1.1 407 x\r\n\r\n", true, "refuses our user or password", false},
	{"refuses the password as a server would", "http://u:p@", proxytest.Requested, "HTTP/1.1 401 x\r\n\r\n", true, "refuses our user or password", false},
	{"forbids", "http://", proxytest.Requested, "HTTP/1.1 403 x\r\nContent-Length: 1000\r\n\r\n", true, "the proxy says: 403 Forbidden", true},
	{"redirects", "http://", proxytest.Requested, "HTTP/1.1 302 x\r\nLocation: http://192.0.2.9/\r\n\r\n", true, "the proxy says: 302", true},
}

// Whatever a proxy does wrong, there is a clear error in time, and not one packet goes past it.
func TestProxyFaults(t *testing.T) {
	for _, f := range faults {
		t.Run(f.route+" "+f.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sim := simnet.New(1)
				us, far := sim.Host(netip.MustParseAddr("192.0.2.1"), simnet.Link{}), sim.Host(netip.MustParseAddr("192.0.2.2"), simnet.Link{})
				testFault(t, us, far, "192.0.2.2:1080", f, time.Hour, 30*time.Second)
			})
		})
	}
}

// The same with the system's sockets, and who dials sets the time.
func TestProxyFaultsOfRealSockets(t *testing.T) {
	for _, f := range faults {
		t.Run(f.route+" "+f.name, func(t *testing.T) {
			t.Parallel()
			wait := 10 * time.Second
			if f.hold && strings.Contains(f.want, "timeout") {
				wait = 100 * time.Millisecond
			}
			testFault(t, host(), host(), "127.0.0.1:0", f, wait, wait)
		})
	}
}

func testFault(t *testing.T, us, far netx.Network, addr string, f struct {
	name, route string
	step        proxytest.Step
	send        string
	hold        bool
	want        string
	up          bool
}, limit, longest time.Duration) {
	start := proxytest.SOCKS5
	if strings.HasPrefix(f.route, "http") {
		start = proxytest.HTTP
	}
	p := start(t, far, proxytest.Options{Addr: addr, Faults: map[proxytest.Step]proxytest.Fault{f.step: {Send: []byte(f.send), Hold: f.hold}}})
	n, w := open(t, us, f.route+p.Addr())
	for _, network := range []string{"tcp", "udp"} {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		begin := time.Now()
		c, err := n.Dial(ctx, network, "192.0.2.3:80")
		if err == nil {
			c.Close()
			t.Fatalf("%s: connected", network)
		}
		if network == "udp" && !strings.HasPrefix(f.route, "socks") {
			if !errors.Is(err, netx.ErrNoPackets) {
				t.Error(err)
			}
			continue
		}
		if took := time.Since(begin); took > longest+5*time.Second {
			t.Errorf("%s: took %v", network, took)
		}
		if !strings.Contains(err.Error(), f.want) || errors.Is(err, netx.ErrRouteDown) == f.up {
			t.Errorf("%s: %v", network, err)
		}
		if strings.Contains(err.Error(), "u:p") {
			t.Errorf("%s: the password is told: %v", network, err)
		}
	}
	w.wantOnly(t, p.Addr())
}

func TestProxyIsNotThere(t *testing.T) {
	l, err := host().Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for _, scheme := range []string{"socks5://u:secret@", "http://u:secret@", "tor://"} {
		n, w := open(t, host(), scheme+l.Addr().String())
		_, err := n.Dial(t.Context(), "tcp", "127.0.0.1:80")
		if !errors.Is(err, netx.ErrRouteDown) || !errors.Is(err, syscall.ECONNREFUSED) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", scheme, err)
		}
		if _, err := netx.Probe(t.Context(), n); !errors.Is(err, netx.ErrRouteDown) {
			t.Errorf("%s: %v", scheme, err)
		}
		w.wantOnly(t, l.Addr().String())
	}
}

// A dial that is given up ends at once, and is no fault of the route.
func TestProxyDialCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := simnet.New(1)
		us, far := sim.Host(netip.MustParseAddr("192.0.2.1"), simnet.Link{}), sim.Host(netip.MustParseAddr("192.0.2.2"), simnet.Link{})
		proxytest.SOCKS5(t, far, proxytest.Options{Addr: ":1080", Faults: map[proxytest.Step]proxytest.Fault{proxytest.Greeted: {Hold: true}}})
		proxytest.HTTP(t, far, proxytest.Options{Addr: ":8080", Faults: map[proxytest.Step]proxytest.Fault{proxytest.Accepted: {Hold: true}}})
		for _, route := range []string{"socks5://192.0.2.2:1080", "http://192.0.2.2:8080", "socks5://192.0.2.9:1080"} {
			n, _ := open(t, us, route)
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			begin := time.Now()
			_, err := n.Dial(ctx, "tcp", "192.0.2.3:80")
			if !errors.Is(err, context.Canceled) || errors.Is(err, netx.ErrRouteDown) || time.Since(begin) != time.Second {
				t.Errorf("%s: after %v: %v", route, time.Since(begin), err)
			}
		}
	})
}

// What comes right behind the proxy's answer belongs to who dialled.
func TestProxyAnswerAndDataTogether(t *testing.T) {
	for route, answer := range map[string]string{
		"socks5://": "\x05\x00\x00\x03\x04name\x00\x50payload", "http://": "HTTP/1.0 200 OK\nContent-Length: 3\n\npayload",
	} {
		start := proxytest.SOCKS5
		if route == "http://" {
			start = proxytest.HTTP
		}
		p := start(t, host(), proxytest.Options{Faults: map[proxytest.Step]proxytest.Fault{proxytest.Requested: {Send: []byte(answer)}}})
		n, _ := open(t, host(), route+p.Addr())
		c, err := n.Dial(t.Context(), "tcp", "name.example:80")
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(c); !bytes.Equal(b, []byte("payload")) || err != nil {
			t.Errorf("%s: %q, %v", route, b, err)
		}
		if c.RemoteAddr().String() != "name.example:80" || c.RemoteAddr().Network() != "tcp" {
			t.Errorf("%s: %v", route, c.RemoteAddr())
		}
		c.Close()
	}
}

func TestProxyBadTargets(t *testing.T) {
	p := proxytest.SOCKS5(t, host(), proxytest.Options{})
	h := proxytest.HTTP(t, host(), proxytest.Options{})
	for _, route := range []string{"socks5://" + p.Addr(), "http://" + h.Addr(), "tor://" + p.Addr()} {
		n, w := open(t, host(), route)
		for network, addrs := range map[string][]string{
			"tcp":  {"", "host", "host:", "host:0", "host:65536", "host:http", ":80", "[fe80::1%eth0]:80", "a b:80", "a\r\nX: y:80", "a/b:80", strings.Repeat("x", 254) + ":80", "höst:80"},
			"tcp4": {"[::1]:80"},
			"tcp6": {"127.0.0.1:80", "[::ffff:127.0.0.1]:80"},
			"unix": {"/tmp/x"},
			"ip":   {"127.0.0.1"},
		} {
			for _, addr := range addrs {
				if _, err := n.Dial(t.Context(), network, addr); err == nil || errors.Is(err, netx.ErrRouteDown) {
					t.Errorf("%s %s %q: %v", route, network, addr, err)
				}
			}
		}
		if len(w.calls) != 0 {
			t.Errorf("the proxy was bothered: %v", w.calls)
		}
	}
}

func TestProxyTakesNoConnections(t *testing.T) {
	p := proxytest.SOCKS5(t, host(), proxytest.Options{})
	for _, scheme := range []string{"socks5://", "http://", "tor://"} {
		n, w := open(t, host(), scheme+p.Addr())
		if _, err := n.Listen(t.Context(), "tcp", ":0"); !errors.Is(err, netx.ErrNoListen) {
			t.Errorf("%s: %v", scheme, err)
		}
		if scheme != "socks5://" {
			if _, err := n.ListenPacket(t.Context(), "udp", ":0"); !errors.Is(err, netx.ErrNoPackets) {
				t.Errorf("%s: %v", scheme, err)
			}
			if _, err := n.Dial(t.Context(), "udp", "127.0.0.1:9"); !errors.Is(err, netx.ErrNoPackets) {
				t.Errorf("%s: %v", scheme, err)
			}
		}
		if len(w.calls) != 0 {
			t.Errorf("%s: %v", scheme, w.calls)
		}
	}
}

func TestProxyResolves(t *testing.T) {
	names := map[string][]netip.AddrPort{"known.example": {netip.MustParseAddrPort("192.0.2.7:0")}}
	p := proxytest.SOCKS5(t, host(), proxytest.Options{Names: names})
	for _, scheme := range []string{"socks5://", "http://", "tor://"} {
		n, w := open(t, host(), scheme+p.Addr())
		if as, err := n.Resolve(t.Context(), "::ffff:192.0.2.1"); err != nil || len(as) != 1 || as[0].String() != "192.0.2.1" {
			t.Errorf("%s: an address: %v, %v", scheme, as, err)
		}
		if len(w.calls) != 0 {
			t.Errorf("%s: %v", scheme, w.calls)
		}
		as, err := n.Resolve(t.Context(), "known.example")
		if scheme != "tor://" {
			if !errors.Is(err, netx.ErrNoResolve) || len(w.calls) != 0 {
				t.Errorf("%s: %v, %v; %v", scheme, as, err, w.calls)
			}
			continue
		}
		if err != nil || len(as) != 1 || as[0].String() != "192.0.2.7" {
			t.Errorf("%s: %v, %v", scheme, as, err)
		}
		if as, err := n.Resolve(t.Context(), "unknown.example"); err == nil {
			t.Errorf("%s: %v", scheme, as)
		}
		if as, err := n.Resolve(t.Context(), "bad name"); err == nil {
			t.Errorf("%s: %v", scheme, as)
		}
		w.wantOnly(t, p.Addr())
		if r := p.Requests(); len(r) != 2 || r[0].Command != 0xF0 || r[0].Target != "known.example:0" {
			t.Errorf("%+v", r)
		}
	}
}

// Streams of different keys, and of different routes, never come with the same login, and the key is not told.
func TestTorIsolates(t *testing.T) {
	server := echoServer(t, host(), "127.0.0.1:0")
	p := proxytest.SOCKS5(t, host(), proxytest.Options{})
	dial := func(n netx.Network) proxytest.Request {
		t.Helper()
		c, err := n.Dial(t.Context(), "tcp", server.String())
		if err != nil {
			t.Fatal(err)
		}
		talk(t, c)
		c.Close()
		rs := p.Requests()
		return rs[len(rs)-1]
	}
	one, _ := open(t, host(), "tor://"+p.Addr())
	two, _ := open(t, host(), "tor://"+p.Addr())
	seen := map[[2]string]string{}
	for name, n := range map[string]netx.Network{
		"one": one, "one a": netx.Isolate(one, "key a"), "one b": netx.Isolate(one, "key b"), "one tracker": netx.Isolate(one, "tracker"),
		"one a tracker": netx.Isolate(netx.Isolate(one, "key a"), "tracker"), "one b tracker": netx.Isolate(netx.Isolate(one, "key b"), "tracker"),
		"two": two, "two a": netx.Isolate(two, "key a"), "one empty": netx.Isolate(one, ""),
	} {
		first, second := dial(n), dial(n)
		if first != second {
			t.Errorf("%s: %+v, then %+v", name, first, second)
		}
		login := [2]string{first.User, first.Password}
		if other, ok := seen[login]; ok {
			t.Errorf("%s and %s share a login", name, other)
		}
		if seen[login] = name; strings.Contains(first.User+first.Password, "key") {
			t.Errorf("%s: the key is told: %+v", name, first)
		}
	}
	if a, b := dial(netx.Isolate(one, "key a")), dial(netx.Isolate(one, "key a")); a != b {
		t.Errorf("views of one key differ: %+v, %+v", a, b)
	}
	plain, _ := open(t, host(), "socks5://"+p.Addr())
	if netx.Isolate(plain, "x") != plain || netx.Isolate(host(), "x") == nil {
		t.Error("a network that cannot isolate is not returned as it is")
	}
}
