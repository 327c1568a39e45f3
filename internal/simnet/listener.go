package simnet

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"syscall"
)

// backlog is how many streams wait for Accept before others have to try again.
const backlog = 1024

type listener struct {
	host   *Host
	addr   netip.AddrPort // if it is loopback, only the host itself may connect
	queue  []*stream
	closed bool
	cond   sync.Cond
}

// Listen implements netx.Network. addr names no address, the unspecified one, the host's own or loopback; port 0 is any.
func (h *Host) Listen(ctx context.Context, network, addr string) (net.Listener, error) {
	l, err := h.listen(ctx, network, addr)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Addr: name(addr), Err: err}
	}
	return l, nil
}

func (h *Host) listen(ctx context.Context, network, addr string) (*listener, error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return nil, net.UnknownNetworkError(network)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	port, loopback, err := h.local(network, addr)
	if err != nil {
		return nil, err
	}
	h.net.mu.Lock()
	defer h.net.unlock()
	used := func(p uint16) bool { return h.listeners[p] != nil }
	if port == 0 {
		if port, err = h.freePort(used); err != nil {
			return nil, err
		}
	} else if used(port) {
		return nil, syscall.EADDRINUSE
	}
	l := &listener{host: h, addr: netip.AddrPortFrom(h.addr, port)}
	if loopback {
		l.addr = netip.AddrPortFrom(h.loopback(), port)
	}
	l.cond.L = locker{h.net}
	h.listeners[port] = l
	return l, nil
}

// offer puts an established stream into the queue.
func (l *listener) offer(s *stream) {
	if l.closed {
		s.closed = true
		s.abort(net.ErrClosed, true)
		return
	}
	if s.err == nil {
		l.queue = append(l.queue, s)
		l.cond.Signal()
	}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	l.host.net.mu.Lock()
	defer l.host.net.unlock()
	for !l.closed && len(l.queue) == 0 {
		l.cond.Wait()
	}
	if l.closed {
		return nil, l.opError("accept")
	}
	s := l.queue[0]
	l.queue = l.queue[1:]
	return s, nil
}

// Close implements net.Listener. Streams that nobody has accepted are reset.
func (l *listener) Close() error {
	l.host.net.mu.Lock()
	defer l.host.net.unlock()
	if l.closed {
		return l.opError("close")
	}
	l.close()
	return nil
}

// close is called with the lock held.
func (l *listener) close() {
	l.closed = true
	delete(l.host.listeners, l.addr.Port())
	for _, s := range l.queue {
		s.closed = true
		s.abort(net.ErrClosed, true)
	}
	l.queue = nil
	l.cond.Broadcast()
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }

func (l *listener) opError(op string) error {
	return &net.OpError{Op: op, Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
}
