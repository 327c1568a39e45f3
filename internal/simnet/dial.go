package simnet

import (
	"context"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// Dial implements netx.Network. A port where nobody listens refuses after a round trip; a host that is not there, or
// cannot be reached, lets the dial wait until ctx ends or two minutes have passed.
func (h *Host) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: name(addr), Err: err}
	}
	switch network {
	case "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6":
	default:
		return fail(net.UnknownNetworkError(network))
	}
	to, err := h.target(ctx, network, addr)
	if err != nil {
		return fail(err)
	}
	if network[0] == 'u' {
		p, err := h.openPacket(0, to.Addr().IsLoopback(), to)
		if err != nil {
			return fail(err)
		}
		return p, nil
	}
	s, err := h.dialStream(ctx, to)
	if err != nil {
		return fail(err)
	}
	return s, nil
}

// name is an address as it was given.
type name string

// Network implements net.Addr.
func (name) Network() string { return "tcp" }

// String implements net.Addr.
func (n name) String() string { return string(n) }

func (h *Host) dialStream(ctx context.Context, to netip.AddrPort) (*stream, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h.net.mu.Lock()
	port, err := h.freePort(func(p uint16) bool { return h.listeners[p] != nil || h.streams[tuple{p, to}] != nil })
	if err != nil {
		h.net.mu.Unlock()
		return nil, err
	}
	local := netip.AddrPortFrom(h.addr, port)
	if to.Addr().IsLoopback() {
		local = netip.AddrPortFrom(to.Addr(), port)
	}
	s := newStream(h, local, to)
	s.dialing = true
	s.knock(0)
	h.net.unlock()
	select {
	case err := <-s.dialed:
		return s, err
	case <-ctx.Done():
	}
	h.net.mu.Lock()
	defer h.net.unlock()
	s.closed = true
	s.abort(net.ErrClosed, true)
	return nil, ctx.Err()
}

// knock sends the SYN of a new stream, and sends it again after a timeout if nothing comes back.
func (s *stream) knock(try int) {
	r, seen, reached := s.host.route(s.local, s.remote)
	s.route = r
	s.net.after(r.latency(s.rand), func() {
		if s.dialing && !s.answer(seen, reached) {
			s.net.after(time.Second<<try, func() {
				if !s.dialing {
					return
				}
				if try+1 == dialTries {
					s.abort(os.NewSyscallError("connect", syscall.ETIMEDOUT), false)
					return
				}
				s.knock(try + 1)
			})
		}
	})
}

// answer is what the other host does as the SYN arrives, from the address that it sees to its own. It reports false if it does nothing.
func (s *stream) answer(seen, reached netip.AddrPort) bool {
	if !s.route.reaches() || s.route.loses(header, s.rand) {
		return false
	}
	other := s.route.end()
	back := s.route.latency(s.rand)
	l := other.listeners[reached.Port()]
	if l == nil || l.addr.Addr().IsLoopback() && s.host != other {
		s.net.after(back, func() { s.abort(os.NewSyscallError("connect", syscall.ECONNREFUSED), false) })
		return true
	}
	if len(l.queue) >= backlog {
		return false
	}
	p := newStream(other, reached, seen)
	p.route = s.route.back()
	p.peer, s.peer = s, p
	s.net.after(back, func() {
		if s.err == nil {
			s.dialing = false
			s.dialed <- nil
			s.net.after(s.route.latency(nil), func() { l.offer(p) })
		}
	})
	return true
}
