package tracker

import (
	"context"
	"net"
	"net/netip"

	"shoal/internal/netx"
)

// Some routes do not tell the addresses of names: a proxy looks them up when it connects. A UDP tracker that is named is reached there over
// a connected socket of its own.

// named is a network whose one packet socket leads to one host.
type named struct {
	netx.Network
	host string // HOST:PORT
}

// there stands for the address of the host, which we do not know.
var there = netip.AddrPortFrom(netip.IPv4Unspecified(), 1)

// ListenPacket implements netx.Network.
func (n named) ListenPacket(ctx context.Context, _, _ string) (net.PacketConn, error) {
	c, err := n.Dial(ctx, "udp", n.host)
	if err != nil {
		return nil, err
	}
	return connected{c}, nil
}

// connected makes a packet socket of a connected one.
type connected struct{ net.Conn }

// ReadFrom implements net.PacketConn.
func (c connected) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := c.Read(b)
	return n, net.UDPAddrFromAddrPort(there), err
}

// WriteTo implements net.PacketConn.
func (c connected) WriteTo(b []byte, _ net.Addr) (int, error) { return c.Write(b) }
