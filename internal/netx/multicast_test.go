package netx

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"
)

// TestMulticast: several sockets of one machine join the same group and port, and each hears what any of them sends.
func TestMulticast(t *testing.T) {
	for _, where := range []struct{ group, own string }{
		{"239.192.152.143:36771", "127.0.0.1"},
		{"[ff15::efc0:988f]:36771", "::1"},
	} {
		group := netip.MustParseAddrPort(where.group)
		h := NewHost(Options{Bind: netip.MustParseAddr(where.own)}) // so that nothing leaves this machine
		var conns []net.PacketConn
		for range 2 {
			c, err := ListenMulticast(t.Context(), h, group)
			if err != nil && group.Addr().Is6() {
				t.Logf("a machine without IPv6: %v", err)
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			conns = append(conns, c)
		}
		for i, from := range conns {
			sent := "hello from " + string(rune('a'+i))
			if _, err := from.WriteTo([]byte(sent), net.UDPAddrFromAddrPort(group)); err != nil && group.Addr().Is6() {
				break // Linux has no route for IPv6 multicast on its loopback interface
			} else if err != nil {
				t.Fatal(err)
			}
			for _, to := range conns {
				b := make([]byte, 100)
				to.SetReadDeadline(time.Now().Add(5 * time.Second))
				for {
					n, _, err := to.ReadFrom(b)
					if err != nil {
						t.Fatalf("%v: %v", group, err)
					}
					if string(b[:n]) == sent {
						break
					}
				}
			}
		}
	}
}

func TestMulticastRefused(t *testing.T) {
	if _, err := NewHost(Options{}).ListenMulticast(t.Context(), netip.MustParseAddrPort("127.0.0.1:1")); err == nil {
		t.Error("a group that is none")
	}
	elsewhere := NewHost(Options{Bind: netip.MustParseAddr("203.0.113.9")})
	if _, err := elsewhere.ListenMulticast(t.Context(), netip.MustParseAddrPort("239.192.152.143:36771")); err == nil {
		t.Error("no interface has the bound address")
	}
	if _, err := ListenMulticast(t.Context(), struct{ Network }{}, netip.MustParseAddrPort("239.192.152.143:36771")); !errors.Is(err, ErrNoMulticast) {
		t.Error(err)
	}
}
