package netx

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"shoal/internal/socks"
)

// said is a connection on which everything has been said beforehand.
type said struct {
	net.Conn
	in   *bytes.Reader
	sent int
}

func (s *said) Read(b []byte) (int, error)  { return s.in.Read(b) }
func (s *said) Write(b []byte) (int, error) { s.sent += len(b); return len(b), nil }

// Whatever a proxy says, a handshake ends with a connection or an error, takes no byte of what follows, and holds no more than its
// bounds.
func FuzzProxyHandshake(f *testing.F) {
	for _, s := range []string{
		"\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50rest", "\x05\x02\x01\x00\x05\x00\x00\x03\x04name\x00\x50rest",
		"\x05\x02\x01\x00\x05\x00\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x50rest", "\x05\x00\x05\x05", "\x05\xff", "\x05\x02\x01\x01",
		"HTTP/1.1 200 OK\r\n\r\nrest", "HTTP/1.0 407 x\nA: b\n\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: -1\r\n\r\n0\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		to := socks.Addr{Name: "name.example", Port: 80}
		for _, s := range []*socks5{{}, {user: "u", password: "p"}, newTor(nil, "")} {
			c := &said{in: bytes.NewReader(b)}
			bound, err := s.ask(c, cmdConnect, to)
			took := len(b) - c.in.Len()
			if err == nil && took != len(b) {
				again := bound.Append(nil)
				if !bytes.HasSuffix(b[:took], again) && !bound.IP.Is4() { // an IPv4 address mapped into IPv6 is told as IPv4
					t.Errorf("%q: took %d bytes, of which the address is %v", b, took, bound)
				}
			}
			if took > 2+2+3+1+256+2 {
				t.Errorf("took %d bytes", took)
			}
		}
		c := &said{in: bytes.NewReader(b)}
		err := (&connect{}).ask(c, to)
		took := len(b) - c.in.Len()
		if err == nil && !bytes.HasSuffix(b[:took], []byte("\n\r\n")) && !bytes.HasSuffix(b[:took], []byte("\n\n")) {
			t.Errorf("%q: took %q", b, b[:took])
		}
		if took > maxConnectHeader+1 {
			t.Errorf("took %d bytes", took)
		}
	})
}

// A route that can be read can be read again as it is shown.
func FuzzParseRoute(f *testing.F) {
	for _, s := range []string{"", "direct", "192.0.2.1", "if:tun0?dns=10.0.0.1", "socks5://us%40:x@h:1", "socks5h://[::1]:1080", "tor", "tor://h:1", "http://u:p@h:1", "us:p@h:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRoute(s)
		if err != nil {
			return
		}
		r.password = ""
		if again, err := ParseRoute(r.String()); err != nil || again != r {
			t.Fatalf("%q is shown as %q, which is read as %v, %v", s, r, again, err)
		}
		if n, err := r.Open(Options{}); n == nil || err != nil {
			t.Fatal(err)
		}
	})
}

// Neither a route nor the error about one shows a password, whatever is around it.
func FuzzRouteHidesPassword(f *testing.F) {
	for _, s := range [][2]string{{"socks5://", "h:1"}, {"socks5://", "h"}, {"", "h:1"}, {"", "socks5://h:1"}, {"http:/", "h:1"}, {"tor://", ""}, {"https://", "h:1"}, {"socks5://a", "@h:1"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		kind, _, _ := strings.Cut(strings.TrimSpace(before), ":")
		_, noAddr := netip.ParseAddr(strings.TrimSpace(before + "u:SECRET@" + after))
		if strings.Contains(before+after, "SECRET") || kind == "if" || kind == "interface" || noAddr == nil {
			return // it is a part of an interface's name, or of the zone of an address
		}
		r, err := ParseRoute(before + "u:SECRET@" + after)
		if err != nil && strings.Contains(err.Error(), "SECRET") || strings.Contains(fmt.Sprintf("%v %+v %#v", r, r, r), "SECRET") {
			t.Fatalf("%q, %q: %v, %v", before, after, r, err)
		}
	})
}

func FuzzIsPublic(f *testing.F) {
	f.Add([]byte{127, 0, 0, 1})
	f.Add([]byte("\x20\x02\x7f\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := netip.AddrFromSlice(b)
		if !ok || !IsPublic(a) {
			return
		}
		if a = a.Unmap(); a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() {
			t.Fatal(a)
		}
	})
}
