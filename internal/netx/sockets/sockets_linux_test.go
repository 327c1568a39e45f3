package sockets

import (
	"context"
	"net/netip"
	"slices"
	"testing"

	"shoal/internal/netx"
)

// What the process has open is found, with what it is bound and connected to.
func TestList(t *testing.T) {
	h := netx.NewHost(netx.Options{})
	l, err := h.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := h.Dial(context.Background(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p, err := netx.NewDevice("lo", netip.AddrPort{}, netx.Options{}).ListenPacket(context.Background(), "udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	all, err := List()
	if err != nil {
		t.Fatal(err)
	}
	at := func(text string) netip.AddrPort { return netip.MustParseAddrPort(text) }
	for _, want := range []Socket{
		{Network: "tcp", Local: at(l.Addr().String()), Listening: true},
		{Network: "tcp", Local: at(c.LocalAddr().String()), Remote: at(l.Addr().String())},
		{Network: "udp", Local: at(p.LocalAddr().String()), Device: "lo"},
	} {
		if !slices.ContainsFunc(all, func(s Socket) bool {
			buffers := s.ReadBuffer > 0 && s.WriteBuffer > 0
			s.ReadBuffer, s.WriteBuffer = 0, 0
			return s == want && buffers
		}) {
			t.Errorf("%+v is not among %+v", want, all)
		}
	}
}
