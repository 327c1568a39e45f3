package simnet

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"shoal/internal/netx"
)

var _ netx.Multicaster = (*Host)(nil)

func join(t *testing.T, h *Host, group netip.AddrPort) *packetConn {
	t.Helper()
	p, err := netx.ListenMulticast(t.Context(), h, group)
	if err != nil {
		t.Fatal(err)
	}
	return p.(*packetConn)
}

func TestMulticast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		group := netip.MustParseAddrPort("239.192.152.143:6771")
		n := New(1)
		a, b := n.NAT(public, Link{}, FullCone), n.NAT(public.Next(), Link{}, FullCone)
		x, y := a.Host(private, Link{Latency: time.Millisecond}), a.Host(private.Next(), Link{})
		inX, alsoX, inY := join(t, x, group), join(t, x, group), join(t, y, group)
		elsewhere, core := join(t, b.Host(private, Link{}), group), join(t, n.Host(addr(1), Link{}), group)
		other := join(t, y, netip.AddrPortFrom(group.Addr(), 1))
		plain := socket(t, x, ":6771") // shares the port, not the group

		for _, from := range []*packetConn{inX, plain, socket(t, x, ":0")} {
			from.WriteToUDPAddrPort([]byte("hello"), group)
			for _, to := range []*packetConn{inX, alsoX, inY} {
				if s, sender := to.hears(); s != "hello" || sender != from.addr {
					t.Errorf("%q from %v", s, sender)
				}
			}
			for _, to := range []*packetConn{elsewhere, core, other, plain} {
				if s, sender := to.hears(); s != "" {
					t.Errorf("%v hears %q from %v", to.addr, s, sender)
				}
			}
		}
		core.WriteToUDPAddrPort([]byte("self"), group)
		if s, _ := core.hears(); s != "self" {
			t.Error("a host does not hear itself")
		}
		inY.Close()
		x.Kill()
		if len(y.groups) != 1 || len(x.groups) != 0 {
			t.Error("groups are not left:", x.groups, y.groups)
		}
		if _, err := x.ListenMulticast(t.Context(), netip.MustParseAddrPort("[ff15::efc0:988f]:6771")); err == nil {
			t.Error("IPv6 on a host without")
		}
		if _, err := x.ListenMulticast(t.Context(), netip.MustParseAddrPort("10.0.0.1:6771")); err == nil {
			t.Error("a group that is none")
		}
	})
}
