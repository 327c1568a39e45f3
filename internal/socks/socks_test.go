package socks

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
)

func TestAddr(t *testing.T) {
	for text, c := range map[string]struct {
		addr Addr
		wire string
	}{
		"127.0.0.1:80":                  {Addr{IP: netip.MustParseAddr("127.0.0.1"), Port: 80}, "\x01\x7f\x00\x00\x01\x00\x50"},
		"[2001:db8::1]:6881":            {Addr{IP: netip.MustParseAddr("2001:db8::1"), Port: 6881}, "\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x1a\xe1"},
		"name.example:65535":            {Addr{Name: "name.example", Port: 65535}, "\x03\x0cname.example\xff\xff"},
		strings.Repeat("x", 255) + ":0": {Addr{Name: strings.Repeat("x", 255)}, "\x03\xff" + strings.Repeat("x", 255) + "\x00\x00"},
	} {
		if got := c.addr.String(); got != text {
			t.Errorf("%s is not %s", got, text)
		}
		if got := string(c.addr.Append([]byte("before"))); got != "before"+c.wire {
			t.Errorf("%s: %q", text, got)
		}
		r := strings.NewReader(c.wire + "rest")
		got, err := ReadAddr(r)
		if rest, _ := io.ReadAll(r); err != nil || got != c.addr || string(rest) != "rest" {
			t.Errorf("%s: %v, %v, and %q is left", text, got, err, rest)
		}
		for i := range c.wire {
			if got, err := ReadAddr(strings.NewReader(c.wire[:i])); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s: %d bytes of it: %v, %v", text, i, got, err)
			}
		}
	}
	for _, kind := range []string{"\x00", "\x02", "\x05", "\xff"} {
		if a, err := ReadAddr(strings.NewReader(kind + strings.Repeat("\x00", 300))); err == nil {
			t.Errorf("type %q: %v", kind, a)
		}
	}
	if a, err := ReadAddr(strings.NewReader("\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x7f\x00\x00\x01\x00\x50")); err != nil || a.IP.String() != "127.0.0.1" {
		t.Errorf("mapped: %v, %v", a, err)
	}
}

func TestPackets(t *testing.T) {
	for _, ip := range []string{"192.0.2.1", "2001:db8::1"} {
		a := Addr{IP: netip.MustParseAddr(ip), Port: 7}
		b := append(AppendHeader(nil, a), "payload"...)
		if len(b)-len("payload") > MaxHeader {
			t.Errorf("%s: a header of %d bytes", ip, len(b)-len("payload"))
		}
		from, payload, ok := SplitPacket(b)
		if !ok || from != netip.AddrPortFrom(a.IP, a.Port) || string(payload) != "payload" {
			t.Errorf("%v, %q, %v", from, payload, ok)
		}
		for i := range len(b) - len("payload") {
			if _, _, ok := SplitPacket(b[:i]); ok {
				t.Errorf("%s: %d bytes are a packet", ip, i)
			}
		}
		b[2] = 1
		if _, _, ok := SplitPacket(b); ok {
			t.Error("a fragment is a packet")
		}
	}
	if _, _, ok := SplitPacket(append(AppendHeader(nil, Addr{Name: "name", Port: 7}), "payload"...)); ok {
		t.Error("a packet has come from a name")
	}
}

// What was taken apart can be put together again.
func FuzzSOCKS(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x01\x7f\x00\x00\x01\x00\x50payload"))
	f.Add([]byte("\x00\x00\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x50payload"))
	f.Add([]byte("\x00\x00\x01\x01\x7f\x00\x00\x01\x00\x50fragment"))
	f.Add([]byte("\x03\x04name\x00\x50rest"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := ReadAddr(bytes.NewReader(b)); err == nil {
			again, err := ReadAddr(bytes.NewReader(a.Append(nil)))
			if err != nil || again != a {
				t.Fatalf("%q: %v, then %v, %v", b, a, again, err)
			}
		}
		from, payload, ok := SplitPacket(b)
		if !ok {
			return
		}
		if !from.IsValid() || !bytes.HasSuffix(b, payload) {
			t.Fatalf("%q: %v, %q", b, from, payload)
		}
		again := append(AppendHeader(nil, Addr{IP: from.Addr(), Port: from.Port()}), payload...)
		if from2, payload2, ok := SplitPacket(again); !ok || from2 != from || !bytes.Equal(payload, payload2) {
			t.Fatalf("%q: %v, %q; again %v, %q", b, from, payload, from2, payload2)
		}
	})
}
