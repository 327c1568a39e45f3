// Package netx is the only holder of sockets and of name resolution. Everything that talks is given a Network and has
// no other way out.
package netx

import (
	"context"
	"net"
	"net/netip"
)

// Network is one identity on one route: the host's own, one bound to an interface, a proxy, a simulation.
// A route that is down fails; it never falls back to another.
type Network interface {
	// Dial connects; network is "tcp", "tcp4" or "tcp6" (or "udp" for a connected packet socket), addr is host:port.
	// A host name is resolved by this Network's own Resolve.
	Dial(ctx context.Context, network, addr string) (net.Conn, error)
	// Listen listens for connections; network is "tcp", "tcp4" or "tcp6".
	Listen(ctx context.Context, network, addr string) (net.Listener, error)
	// ListenPacket opens a packet socket; network is "udp", "udp4" or "udp6".
	ListenPacket(ctx context.Context, network, addr string) (net.PacketConn, error)
	// Resolve returns the addresses of a host name, or the address itself if host is one.
	Resolve(ctx context.Context, host string) ([]netip.Addr, error)
}
