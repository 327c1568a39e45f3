package server

import (
	"net"
	"net/netip"
	"sync"
)

// gate is a listener that bounds how many of its connections are open: in all, for which Accept waits, and of one host, whose further ones
// it closes.
type gate struct {
	net.Listener
	room   chan struct{} // as many values as connections are open
	closed <-chan struct{}

	mu    sync.Mutex
	hosts map[netip.Addr]int
}

// Accept waits for a connection and for room.
func (g *gate) Accept() (net.Conn, error) {
	for {
		select {
		case g.room <- struct{}{}:
		case <-g.closed:
			return nil, net.ErrClosed
		}
		c, err := g.Listener.Accept()
		if err != nil {
			<-g.room
			return nil, err
		}
		host := hostOf(c.RemoteAddr())
		if g.enter(host) {
			return &visitor{Conn: c, gate: g, host: host}, nil
		}
		c.Close()
		<-g.room
	}
}

// hostOf returns what the connections of one host have in common.
func hostOf(a net.Addr) netip.Addr {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return siteOf(ap.Addr().Unmap())
}

func (g *gate) enter(host netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hosts[host] >= maxConnsOne {
		return false
	}
	g.hosts[host]++
	return true
}

func (g *gate) leave(host netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hosts[host]--; g.hosts[host] == 0 {
		delete(g.hosts, host)
	}
}

// visitor is an open connection.
type visitor struct {
	net.Conn
	gate *gate
	host netip.Addr
	once sync.Once
}

// Close makes room for another.
func (v *visitor) Close() error {
	v.once.Do(func() {
		v.gate.leave(v.host)
		<-v.gate.room
	})
	return v.Conn.Close()
}
