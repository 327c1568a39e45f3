//go:build linux

package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"shoal/internal/netx"
	"shoal/internal/netx/proxytest"
)

// proxyFaults are what a proxy does wrong, by the step at which it does.
var proxyFaults = []struct {
	scheme string
	step   proxytest.Step
	send   string
	hold   bool
}{
	{"socks5://", proxytest.Accepted, "", false},
	{"socks5://", proxytest.Accepted, "", true},
	{"socks5://", proxytest.Accepted, "HTTP/1.1 400 Bad Request\r\n\r\n", true},
	{"socks5://", proxytest.Greeted, "\x05", false},
	{"socks5://", proxytest.Greeted, "\x05", true},
	{"socks5://", proxytest.Greeted, "\x05\xff", false},
	{"socks5://", proxytest.Greeted, "\x04\x00", true},
	{"socks5://u:p@", proxytest.Greeted, "\x05\x01", true},
	{"socks5://u:p@", proxytest.LoggedIn, "\x01\x01", false},
	{"socks5://u:p@", proxytest.LoggedIn, "\x01", false},
	{"socks5://u:p@", proxytest.LoggedIn, "", true},
	{"socks5://", proxytest.Requested, "", false},
	{"socks5://", proxytest.Requested, "", true},
	{"socks5://", proxytest.Requested, "\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00", false},
	{"socks5://", proxytest.Requested, "\x05\x07\x00\x01\x00\x00\x00\x00\x00\x00", false},
	{"socks5://", proxytest.Requested, "\x05\x00\x00\x01\x0a", false},
	{"socks5://", proxytest.Requested, "\x05\x00\x00\x09\x0a\x4e\x09\x09\x1b\x58", true},
	{"tor://", proxytest.Greeted, "\x05\x00", true},
	{"tor://", proxytest.Requested, "\x05\xf0\x00\x01\x00\x00\x00\x00\x00\x00", false},
	{"http://", proxytest.Accepted, "", false},
	{"http://", proxytest.Accepted, "", true},
	{"http://", proxytest.Requested, "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", false},
	{"http://u:p@", proxytest.Requested, "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", false},
	{"http://", proxytest.Requested, "HTTP/1.1 302 Found\r\nLocation: http://10.78.9.9:7000/\r\n\r\n", false},
	{"http://", proxytest.Requested, "HTTP/1.1 200", true},
}

// relayFaults are replies to UDP ASSOCIATE that name anyone but the proxy as the relay.
var relayFaults = []string{farAddr + ":7000", "10.78.2.2:7000", "10.78.1.1:7000", "255.255.255.255:7000", "127.0.0.1:53"}

// A proxy that fails in any way is never gone round: no packet for anyone but the proxy leaves by any interface, and no name server is
// asked, though the system could reach all that is asked for.
func TestProxyLeaks(t *testing.T) {
	if !alone(t) {
		return
	}
	far := twoWays(t)
	far.serve(t)
	if from, err := read(t, openRoute(t, "direct"), "udp", farAddr+":7000"); err != nil || from != "10.78.2.1" {
		t.Fatalf("the system's choice: seen as %q, %v", from, err) // otherwise nothing below would prove anything
	}
	ip(t, "link set lo up")
	out, toProxy, self := watch(t, plain), watch(t, tunnel), watch(t, "lo")
	var wg sync.WaitGroup
	tries := 0
	try := func(start func(testing.TB, netx.Network, proxytest.Options) *proxytest.Proxy, scheme string, o proxytest.Options) {
		o.Addr = "10.78.1.2:0"
		p := start(t, far.host(), o)
		n := openRoute(t, scheme+p.Addr())
		for _, c := range proxyCalls {
			tries++
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				defer cancel()
				if err := c.call(ctx, n); err == nil {
					t.Errorf("%s%v: %s succeeded", scheme, o, c.name)
				}
			})
		}
	}
	for _, f := range proxyFaults {
		start := proxytest.SOCKS5
		if strings.HasPrefix(f.scheme, "http") {
			start = proxytest.HTTP
		}
		try(start, f.scheme, proxytest.Options{Faults: map[proxytest.Step]proxytest.Fault{f.step: {Send: []byte(f.send), Hold: f.hold}}})
	}
	for code := byte(1); code <= 8; code++ {
		try(proxytest.SOCKS5, "socks5://", proxytest.Options{Refuse: code})
	}
	wg.Wait()
	for _, relay := range relayFaults {
		p := proxytest.SOCKS5(t, far.host(), proxytest.Options{Addr: "10.78.1.2:0", Relay: netip.MustParseAddrPort(relay)})
		n := openRoute(t, "socks5://"+p.Addr())
		for _, c := range proxyCalls[2:] {
			tries++
			if err := c.call(t.Context(), n); err == nil {
				t.Errorf("relay %s: %s succeeded", relay, c.name)
			}
		}
	}
	if packets, answers := out.left(); len(packets) > 0 || answers > 0 {
		t.Errorf("packets have left by the plain interface: %d answers, and %q", answers, packets)
	}
	if packets, answers := self.left(); len(packets) > 0 || answers > 0 {
		t.Errorf("somebody of this machine was asked: %d answers, and %q", answers, packets)
	}
	packets, _ := toProxy.left()
	for _, p := range packets {
		var b []byte
		if _, err := fmt.Sscanf(strings.ReplaceAll(p, " ", ""), "%x", &b); err != nil || len(b) < 20 || b[9] != 6 || !bytes.Equal(b[16:20], []byte{10, 78, 1, 2}) {
			t.Errorf("a packet for anyone but the proxy: %s, %v", p, err)
		}
	}
	t.Logf("%d calls, all failed; %d packets, all to the proxy", tries, len(packets))
	if len(packets) < tries {
		t.Error("the proxy was hardly asked")
	}
}

// A proxy that is reached through an interface is not reached in any other way.
func TestProxyByTunnel(t *testing.T) {
	if !alone(t) {
		return
	}
	far := twoWays(t)
	far.serve(t)
	p := proxytest.SOCKS5(t, far.host(), proxytest.Options{Addr: farAddr + ":0"})
	out := watch(t, plain)
	if from, err := read(t, openRoute(t, "socks5://"+p.Addr()), "tcp", farAddr+":7000"); err != nil || from != farAddr {
		t.Fatalf("the system's choice: seen as %q, %v", from, err)
	}
	if packets, _ := out.left(); len(packets) == 0 {
		t.Fatal("the system did not choose the plain interface, so that nothing below would prove anything")
	}
	n := openRoute(t, "socks5://"+p.Addr()+"?via="+tunnel)
	for _, network := range []string{"tcp", "udp"} {
		if from, err := read(t, n, network, farAddr+":7000"); err != nil || from != farAddr {
			t.Errorf("%s: seen as %q, %v", network, from, err)
		}
	}
	ip(t, "link set "+tunnel+" down")
	for _, c := range proxyCalls {
		if err := c.call(t.Context(), n); !errors.Is(err, netx.ErrRouteDown) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if packets, answers := out.left(); len(packets) > 0 || answers > 0 {
		t.Errorf("packets have left by the plain interface: %d answers, and %q", answers, packets)
	}
}

// proxyCalls are the ways of using a network that have no other end than far's. The last three send packets.
var proxyCalls = []struct {
	name string
	call func(context.Context, netx.Network) error
}{
	{"dial an address", func(ctx context.Context, n netx.Network) error { return dialAndClose(ctx, n, "tcp", farAddr+":7000") }},
	{"dial a name", func(ctx context.Context, n netx.Network) error {
		return dialAndClose(ctx, n, "tcp", "peer.example:7000")
	}},
	{"dial packets to an address", func(ctx context.Context, n netx.Network) error { return dialAndClose(ctx, n, "udp", farAddr+":7000") }},
	{"dial packets to a name", func(ctx context.Context, n netx.Network) error {
		return dialAndClose(ctx, n, "udp", "peer.example:7000")
	}},
	{"packets", func(ctx context.Context, n netx.Network) error {
		c, err := n.ListenPacket(ctx, "udp", ":0")
		if err == nil {
			c.WriteTo([]byte("x"), &net.UDPAddr{IP: net.ParseIP(farAddr), Port: 7000})
			c.Close()
		}
		return err
	}},
}

func dialAndClose(ctx context.Context, n netx.Network, network, addr string) error {
	c, err := n.Dial(ctx, network, addr)
	if err == nil {
		io.WriteString(c, "x")
		c.Close()
	}
	return err
}
