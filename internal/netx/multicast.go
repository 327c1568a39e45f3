package netx

import (
	"context"
	"errors"
	"net"
	"net/netip"

	"shoal/internal/netx/multicast"
)

// ErrNoMulticast is returned by ListenMulticast for networks that lead to no local network, as proxies and tunnels.
var ErrNoMulticast = errors.New("this route has no local network for multicast")

// Multicaster is a Network that is able to hear, and to reach, all machines of the local network at once.
type Multicaster interface {
	// ListenMulticast joins a group and returns a socket that hears what is sent to it, and perhaps what is sent to the group's port alone.
	// Written to the group, by WriteTo, a datagram reaches the local network and this machine, the socket itself among others, and goes no
	// further. Several programs may hear the same group and port.
	ListenMulticast(ctx context.Context, group netip.AddrPort) (net.PacketConn, error)
}

// ListenMulticast joins a group on a network, or fails with ErrNoMulticast.
func ListenMulticast(ctx context.Context, n Network, group netip.AddrPort) (net.PacketConn, error) {
	m, ok := n.(Multicaster)
	if !ok || !TraitsOf(n).Local {
		return nil, ErrNoMulticast
	}
	return m.ListenMulticast(ctx, group)
}

// ListenMulticast implements Multicaster on every interface, or on the one that has the bound address. Interfaces that come later are
// joined as something is sent.
func (h *Host) ListenMulticast(ctx context.Context, group netip.AddrPort) (net.PacketConn, error) {
	return multicast.Listen(ctx, h.listen, group, func(i *net.Interface) bool { return !h.bind.IsValid() || hasAddr(i, h.bind) })
}

// ListenMulticast implements Multicaster on the interface alone.
func (d *Device) ListenMulticast(ctx context.Context, group netip.AddrPort) (net.PacketConn, error) {
	return multicast.Listen(ctx, d.listen, group, func(i *net.Interface) bool { return i.Name == d.name })
}

func hasAddr(i *net.Interface, a netip.Addr) bool {
	all, _ := i.Addrs()
	for _, x := range all {
		if n, ok := x.(*net.IPNet); ok && n.IP.Equal(a.AsSlice()) {
			return true
		}
	}
	return false
}
