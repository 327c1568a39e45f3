package simnet

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"syscall"
)

// ListenMulticast implements netx.Multicaster. The hosts behind one NAT or firewall are a local network and hear one another; a host that is
// behind none hears itself alone. What is sent to a group takes the time of the sender's uplink once for each host that has joined.
func (h *Host) ListenMulticast(ctx context.Context, group netip.AddrPort) (net.PacketConn, error) {
	err := ctx.Err()
	if !group.Addr().IsMulticast() || group.Port() == 0 || group.Addr().Is4() != h.addr.Is4() {
		err = syscall.EADDRNOTAVAIL
	}
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: "udp", Addr: net.UDPAddrFromAddrPort(group), Err: err}
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	p := h.newPacketConn(netip.AddrPortFrom(h.addr, group.Port()), netip.AddrPort{})
	p.group = group
	h.groups[group] = append(h.groups[group], p)
	return p, nil
}

// leaveGroup forgets a socket that has joined a group.
func (p *packetConn) leaveGroup() {
	rest := slices.DeleteFunc(p.host.groups[p.group], func(q *packetConn) bool { return q == p })
	if p.host.groups[p.group] = rest; len(rest) == 0 {
		delete(p.host.groups, p.group)
	}
}

// members returns the hosts that hear what h sends to a group, h among them, in the order of their addresses.
func (h *Host) members(group netip.AddrPort) (hosts []*Host) {
	if h.nat == nil {
		return []*Host{h}
	}
	for _, o := range h.nat.hosts {
		if len(o.groups[group]) > 0 {
			hosts = append(hosts, o)
		}
	}
	slices.SortFunc(hosts, func(a, b *Host) int { return a.addr.Compare(b.addr) })
	return hosts
}

// sendGroup sends a datagram to all who have joined a group.
func (p *packetConn) sendGroup(b []byte, group netip.AddrPort) {
	size := len(b) + udpHeader
	for _, other := range p.host.members(group) {
		p.out += size
		p.host.net.send(&packet{
			size: size, from: p.host, to: other, out: &p.flow, in: &flow{}, rand: p.rand, drop: true,
			left: func() {
				p.out -= size
				p.cond.Broadcast()
			},
			arrive: func(bool) {
				for _, q := range other.groups[group] {
					q.receive(datagram{p.addr, b})
				}
			},
		})
	}
}
