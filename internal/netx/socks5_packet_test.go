package netx_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"shoal/internal/netx"
	"shoal/internal/netx/proxytest"
	"shoal/internal/simnet"
)

// packetConn is what a packet socket of a route has beside net.PacketConn.
type packetConn interface {
	net.PacketConn
	ReadFromUDPAddrPort([]byte) (int, netip.AddrPort, error)
	WriteToUDPAddrPort([]byte, netip.AddrPort) (int, error)
}

func TestAssociation(t *testing.T) {
	server := echoPackets(t, host(), "127.0.0.1:0")
	other := echoPackets(t, host(), "127.0.0.1:0")
	p := proxytest.SOCKS5(t, host(), proxytest.Options{User: "u", Password: "p"})
	n, w := open(t, host(), "socks5://u:p@"+p.Addr())
	pc, err := n.ListenPacket(t.Context(), "udp", ":6881")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	c := pc.(packetConn)
	c.SetDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, 2000)
	for _, to := range []netip.AddrPort{server, other, netip.AddrPortFrom(netip.AddrFrom16(server.Addr().As16()), server.Port())} {
		for _, size := range []int{0, 1, 1400, 2000} {
			payload := bytes.Repeat([]byte{byte(size)}, size)
			if n, err := c.WriteToUDPAddrPort(payload, to); n != size || err != nil {
				t.Fatal(n, err)
			}
			n, from, err := c.ReadFromUDPAddrPort(b)
			if err != nil || !bytes.Equal(b[:n], payload) || from != netip.AddrPortFrom(to.Addr().Unmap(), to.Port()) {
				t.Fatalf("%d bytes from %v, %v", n, from, err)
			}
		}
	}
	if _, err := c.WriteTo([]byte("long"), net.UDPAddrFromAddrPort(server)); err != nil {
		t.Fatal(err)
	}
	if n, from, err := c.ReadFrom(b[:2]); n != 2 || err != nil || from.String() != server.String() {
		t.Errorf("into a short buffer: %d from %v, %v", n, from, err)
	}
	if got := c.LocalAddr().String(); got != "0.0.0.0:0" {
		t.Errorf("it tells our address towards the proxy: %s", got)
	}
	c.SetReadDeadline(time.Now().Add(-time.Second))
	if _, _, err := c.ReadFrom(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	if r := p.Requests(); len(r) != 1 || r[0].Command != 3 || r[0].Target != "0.0.0.0:0" {
		t.Errorf("%+v", r)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	for _, err := range []error{c.Close(), second(c.ReadFrom(b)), third(c.WriteTo(b, net.UDPAddrFromAddrPort(server)))} {
		if !errors.Is(err, net.ErrClosed) || strings.Contains(err.Error(), "proxy") {
			t.Errorf("closed: %v", err)
		}
	}
	w.wantOnly(t, p.Addr())
}

func second(_ int, _ net.Addr, err error) error { return err }
func third(_ int, err error) error              { return err }

func TestAssociationBadWrites(t *testing.T) {
	p := proxytest.SOCKS5(t, host(), proxytest.Options{})
	n, _ := open(t, host(), "socks5://"+p.Addr())
	for network, bad := range map[string][]string{
		"udp": {"[fe80::1%eth0]:1"}, "udp4": {"[2001:db8::1]:1"}, "udp6": {"192.0.2.1:1", "[::ffff:192.0.2.1]:1"},
	} {
		pc, err := n.ListenPacket(t.Context(), network, ":0")
		if err != nil {
			t.Fatal(err)
		}
		c := pc.(packetConn)
		for _, to := range bad {
			if _, err := c.WriteToUDPAddrPort([]byte("x"), netip.MustParseAddrPort(to)); err == nil {
				t.Errorf("%s to %s", network, to)
			}
		}
		if _, err := c.WriteToUDPAddrPort([]byte("x"), netip.AddrPort{}); err == nil {
			t.Error("a packet to nowhere")
		}
		if _, err := c.WriteTo([]byte("x"), &net.TCPAddr{}); err == nil {
			t.Error("a packet to a TCP address")
		}
		if _, err := c.WriteTo(make([]byte, 65530), &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}); err == nil && network != "udp6" {
			t.Error("a packet of 65,530 bytes")
		}
		c.Close()
	}
	if _, err := n.ListenPacket(t.Context(), "unixgram", ":0"); err == nil {
		t.Error("a packet socket of another kind")
	}
	if got := p.Packets(); len(got) != 0 {
		t.Errorf("packets have gone to %v", got)
	}
}

// A name is the proxy's to resolve, for packets too.
func TestAssociationToAName(t *testing.T) {
	server := echoPackets(t, host(), "127.0.0.1:0")
	p := proxytest.SOCKS5(t, host(), proxytest.Options{Names: map[string][]netip.AddrPort{"tracker.example": {server}}})
	n, w := open(t, host(), "socks5://"+p.Addr())
	for _, target := range []string{net.JoinHostPort("tracker.example", portOf(server)), server.String()} {
		c, err := n.Dial(t.Context(), "udp", target)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(10 * time.Second))
		b := make([]byte, 10)
		for range 2 {
			if _, err := c.Write([]byte("ping")); err != nil {
				t.Fatal(err)
			}
			if n, err := c.Read(b); err != nil || string(b[:n]) != "ping" {
				t.Fatalf("%q, %v", b[:n], err)
			}
		}
		if c.RemoteAddr().String() != target {
			t.Errorf("%v is not %s", c.RemoteAddr(), target)
		}
		c.Close()
	}
	if got := p.Packets(); got[0] != net.JoinHostPort("tracker.example", portOf(server)) {
		t.Errorf("the proxy got %v", got)
	}
	w.wantOnly(t, p.Addr())
}

func portOf(a netip.AddrPort) string {
	_, port, _ := net.SplitHostPort(a.String())
	return port
}

// From what comes from the relay only proper packets, of the family that was asked for, reach the reader.
func TestAssociationDropsPackets(t *testing.T) {
	server := echoPackets(t, host(), "127.0.0.1:0")
	stranger := netip.MustParseAddrPort("192.0.2.66:6")
	six := netip.MustParseAddrPort("[2001:db8::1]:6")
	fragment := proxytest.Header(server)
	fragment[2] = 1
	var bad [][]byte
	for i := range len(proxytest.Header(server)) {
		bad = append(bad, proxytest.Header(server)[:i])
	}
	bad = append(bad,
		append(fragment, "fragment"...),
		append([]byte{0, 0, 0, 3, 4}, "name\x00\x50a name"...),
		[]byte{0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7},
		proxytest.Header(six)[:20],
		append(proxytest.Header(six), "other family"...),
	)
	p := proxytest.SOCKS5(t, host(), proxytest.Options{Mangle: func(packet []byte) [][]byte {
		return append(slices.Clone(bad), append(proxytest.Header(stranger), "a stranger"...), packet)
	}})
	n, _ := open(t, host(), "socks5://"+p.Addr())
	pc, err := n.ListenPacket(t.Context(), "udp4", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	conn, err := n.Dial(t.Context(), "udp4", server.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	pc.SetDeadline(time.Now().Add(10 * time.Second))
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, 100)
	pc.WriteTo([]byte("good"), net.UDPAddrFromAddrPort(server))
	for _, want := range []string{"a stranger", "good"} {
		if n, _, err := pc.ReadFrom(b); err != nil || string(b[:n]) != want {
			t.Errorf("%q, %v, not %q", b[:n], err, want)
		}
	}
	conn.Write([]byte("good")) // it is connected: strangers are not heard
	if n, err := conn.Read(b); err != nil || string(b[:n]) != "good" {
		t.Errorf("%q, %v", b[:n], err)
	}
}

// The relay has to be the proxy itself.
func TestAssociationRelayElsewhere(t *testing.T) {
	for relay, want := range map[string]string{
		"127.0.0.1:0": "no port", "0.0.0.0:0": "no port", "192.0.2.1:5": "not its own host 127.0.0.1",
		"10.0.0.1:5": "not its own host", "[2001:db8::1]:5": "not its own host", "255.255.255.255:5": "not its own host", "[::]:5": "", "127.0.0.1:5": "", "[::1]:5": "",
	} {
		p := proxytest.SOCKS5(t, host(), proxytest.Options{Relay: netip.MustParseAddrPort(relay)})
		n, w := open(t, host(), "socks5://"+p.Addr())
		c, err := n.ListenPacket(t.Context(), "udp", ":0")
		if err == nil {
			c.Close()
		}
		if want == "" {
			if err != nil && !(relay == "[::1]:5" && errors.Is(err, netx.ErrRouteDown)) { // a machine without IPv6 says so
				t.Errorf("%s: %v", relay, err)
			}
			continue
		}
		if !errors.Is(err, netx.ErrNoPackets) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", relay, err)
		}
		w.wantOnly(t, p.Addr())
	}
	// A name is no address that could be compared.
	p := proxytest.SOCKS5(t, host(), proxytest.Options{Faults: map[proxytest.Step]proxytest.Fault{
		proxytest.Requested: {Send: []byte("\x05\x00\x00\x03\x09localhost\x00\x50"), Hold: true},
	}})
	n, w := open(t, host(), "socks5://"+p.Addr())
	if _, err := n.ListenPacket(t.Context(), "udp", ":0"); !errors.Is(err, netx.ErrNoPackets) {
		t.Error(err)
	}
	w.wantOnly(t, p.Addr())
}

// An association ends with its control connection, whoever reads at the time.
func TestAssociationEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := simnet.New(1)
		us, far := sim.Host(netip.MustParseAddr("192.0.2.1"), simnet.Link{}), sim.Host(netip.MustParseAddr("192.0.2.2"), simnet.Link{Latency: time.Second})
		p := proxytest.SOCKS5(t, far, proxytest.Options{Addr: ":1080"})
		n, _ := open(t, us, "socks5://192.0.2.2:1080")
		pc, err := n.ListenPacket(t.Context(), "udp", ":0")
		if err != nil {
			t.Fatal(err)
		}
		conn, err := n.Dial(t.Context(), "udp", "name.example:80")
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Minute, p.Hangup)
		begin := time.Now()
		_, _, err = pc.ReadFrom(make([]byte, 10))
		if !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), "the proxy has ended") || time.Since(begin) < time.Minute {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		if _, err := pc.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 9}); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if _, err := conn.Read(make([]byte, 10)); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if err := pc.Close(); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		conn.Close()
		if _, err := n.ListenPacket(t.Context(), "udp", ":0"); !errors.Is(err, netx.ErrRouteDown) {
			t.Errorf("again: %v", err)
		}
	})
}

func TestProbe(t *testing.T) {
	for name, c := range map[string]struct {
		route string
		o     proxytest.Options
		want  netx.Traits
		down  string
	}{
		"with UDP":         {"socks5://", proxytest.Options{}, netx.Traits{Packets: true}, ""},
		"without UDP":      {"socks5://", proxytest.Options{NoUDP: true}, netx.Traits{}, ""},
		"relay elsewhere":  {"socks5://", proxytest.Options{Relay: netip.MustParseAddrPort("192.0.2.1:9")}, netx.Traits{}, ""},
		"bad password":     {"socks5://u:q@", proxytest.Options{User: "u", Password: "p"}, netx.Traits{Packets: true}, "refuses"},
		"missing password": {"socks5://", proxytest.Options{User: "u", Password: "p"}, netx.Traits{Packets: true}, "wants a user"},
		"Tor":              {"tor://", proxytest.Options{}, netx.Traits{Resolves: true, Anonymous: true}, ""},
		"HTTP":             {"http://", proxytest.Options{}, netx.Traits{}, ""},
	} {
		start := proxytest.SOCKS5
		if c.route == "http://" {
			start = proxytest.HTTP
		}
		p := start(t, host(), c.o)
		n, w := open(t, host(), c.route+p.Addr())
		got, err := netx.Probe(t.Context(), n)
		if got != c.want || (err != nil) != (c.down != "") || err != nil && (!errors.Is(err, netx.ErrRouteDown) || !strings.Contains(err.Error(), c.down)) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		w.wantOnly(t, p.Addr())
	}
	all := netx.Traits{Listens: true, Packets: true, Resolves: true, Local: true}
	if got, err := netx.Probe(t.Context(), host()); got != all || err != nil || got.String() != "everything" {
		t.Errorf("the host: %+v, %v", got, err)
	}
	if got := (netx.Traits{Anonymous: true}).String(); got != "no incoming connections, TCP only, names resolved at the far end, no local network, anonymous" {
		t.Error(got)
	}
}

// stalled is a network whose packet sockets cannot be had.
type stalled struct{ netx.Network }

func (s stalled) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if network == "udp" {
		return nil, io.ErrNoProgress
	}
	return s.Network.Dial(ctx, network, addr)
}

func TestAssociationWithoutSocket(t *testing.T) {
	p := proxytest.SOCKS5(t, host(), proxytest.Options{})
	n, _ := open(t, stalled{host()}, "socks5://"+p.Addr())
	if _, err := n.ListenPacket(t.Context(), "udp", ":0"); !errors.Is(err, netx.ErrRouteDown) || !errors.Is(err, io.ErrNoProgress) {
		t.Error(err)
	}
}

func BenchmarkAssociation(b *testing.B) {
	r, err := netx.ParseRoute("socks5://" + proxytest.SOCKS5(b, host(), proxytest.Options{}).Addr())
	if err != nil {
		b.Fatal(err)
	}
	n, err := r.Open(netx.Options{})
	if err != nil {
		b.Fatal(err)
	}
	pc, err := n.ListenPacket(b.Context(), "udp", ":0")
	if err != nil {
		b.Fatal(err)
	}
	defer pc.Close()
	c := pc.(packetConn)
	payload, to := make([]byte, 1400), netip.MustParseAddrPort("127.0.0.1:9")
	b.SetBytes(1400)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.WriteToUDPAddrPort(payload, to); err != nil {
			b.Fatal(err)
		}
	}
}
