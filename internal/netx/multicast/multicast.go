// Package multicast is the part of netx that joins multicast groups on the machine's interfaces (RFC 1112, RFC 4291 §2.7).
package multicast

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Listen opens a socket that has joined a group on the interfaces that use allows. Written to the group, a datagram leaves by each of them,
// those that came later included, and is heard on this machine too, but not beyond the local network.
func Listen(ctx context.Context, l net.ListenConfig, group netip.AddrPort, use func(*net.Interface) bool) (net.PacketConn, error) {
	group = netip.AddrPortFrom(group.Addr().Unmap(), group.Port())
	if !group.Addr().IsMulticast() || group.Port() == 0 {
		return nil, fmt.Errorf("%v is no multicast group", group)
	}
	network := "udp6"
	if group.Addr().Is4() {
		network = "udp4"
	}
	c, err := l.ListenPacket(ctx, network, group.String()) // which shares the port, as the address is a group's
	if err != nil {
		return nil, err
	}
	m := &conn{PacketConn: c, group: net.UDPAddrFromAddrPort(group), options: newGroupOptions(c, group.Addr().Is4()), use: use, joined: map[int]bool{}}
	if err = m.options.setScope(); err == nil {
		m.mu.Lock()
		_, err = m.join()
		m.mu.Unlock()
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("join %v: %w", group, err)
	}
	return m, nil
}

// groupOptions are what ipv4.PacketConn and ipv6.PacketConn have in common.
type groupOptions interface {
	JoinGroup(*net.Interface, net.Addr) error
	SetMulticastInterface(*net.Interface) error
	setScope() error
}

type options4 struct{ *ipv4.PacketConn }

func (o options4) setScope() error {
	return errors.Join(o.SetMulticastTTL(1), o.SetMulticastLoopback(true))
}

type options6 struct{ *ipv6.PacketConn }

func (o options6) setScope() error {
	return errors.Join(o.SetMulticastHopLimit(1), o.SetMulticastLoopback(true))
}

func newGroupOptions(c net.PacketConn, four bool) groupOptions {
	if four {
		return options4{ipv4.NewPacketConn(c)}
	}
	return options6{ipv6.NewPacketConn(c)}
}

// conn sends what is for its group on every interface.
type conn struct {
	net.PacketConn
	group *net.UDPAddr
	use   func(*net.Interface) bool

	mu      sync.Mutex // held while the interface to send by is chosen, and by it
	options groupOptions
	joined  map[int]bool // the indexes of interfaces
}

// join joins the group on interfaces that are new, and returns those on which it is joined. Loopback serves where there is no other. It fails
// if there is none at all.
func (m *conn) join() ([]*net.Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var on, loopback []*net.Interface
	for i := range all {
		switch i := &all[i]; {
		case i.Flags&net.FlagUp == 0 || !m.use(i):
		case i.Flags&net.FlagLoopback != 0:
			loopback = append(loopback, i)
		case i.Flags&net.FlagMulticast != 0 && i.Flags&net.FlagPointToPoint == 0:
			on = append(on, i)
		}
	}
	err = errors.New("no interface for it")
	for _, list := range [][]*net.Interface{on, loopback} {
		var joined []*net.Interface
		for _, i := range list {
			if !m.joined[i.Index] {
				if e := m.options.JoinGroup(i, m.group); e != nil {
					err = fmt.Errorf("interface %s: %w", i.Name, e)
					continue
				}
				m.joined[i.Index] = true
			}
			joined = append(joined, i)
		}
		if len(joined) > 0 {
			return joined, nil
		}
	}
	return nil, err
}

// WriteTo implements net.PacketConn. It fails if the datagram left by no interface.
func (m *conn) WriteTo(b []byte, to net.Addr) (int, error) {
	if a, ok := to.(*net.UDPAddr); !ok || !a.IP.Equal(m.group.IP) {
		return m.PacketConn.WriteTo(b, to)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	on, err := m.join()
	sent := false
	for _, i := range on {
		e := m.options.SetMulticastInterface(i)
		if e == nil {
			_, e = m.PacketConn.WriteTo(b, to)
		}
		if e != nil {
			err = e
			continue
		}
		sent = true
	}
	if !sent {
		return 0, err
	}
	return len(b), nil
}
