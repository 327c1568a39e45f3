package session

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// lasting is a packet socket that is opened anew when its route has lost it, as a proxy that restarts loses its associations. Until it is
// there again, what is written is lost, as datagrams may be.
type lasting struct {
	open func(context.Context) (net.PacketConn, error)
	ctx  context.Context
	end  context.CancelFunc

	mu   sync.Mutex
	conn net.PacketConn
}

// Pauses between tries to open the socket anew.
const (
	firstReopen = time.Second
	lastReopen  = 30 * time.Second
)

// newLasting opens a socket.
func newLasting(ctx context.Context, open func(context.Context) (net.PacketConn, error)) (*lasting, error) {
	conn, err := open(ctx)
	if err != nil {
		return nil, err
	}
	l := &lasting{open: open, conn: conn}
	l.ctx, l.end = context.WithCancel(context.Background())
	return l, nil
}

func (l *lasting) current() net.PacketConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conn
}

// ReadFrom implements net.PacketConn. One goroutine at a time may call it.
func (l *lasting) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := l.current().ReadFrom(b)
		if !errors.Is(err, net.ErrClosed) || l.ctx.Err() != nil || !l.reopen() {
			return n, from, err
		}
	}
}

// reopen opens the socket anew, and reports false if it was closed meanwhile.
func (l *lasting) reopen() bool {
	for pause := firstReopen; ; pause = min(2*pause, lastReopen) {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-l.ctx.Done():
			timer.Stop()
			return false
		}
		conn, err := l.open(l.ctx)
		if err != nil {
			continue
		}
		l.mu.Lock()
		l.conn = conn
		gone := l.ctx.Err() != nil
		l.mu.Unlock()
		if gone {
			conn.Close()
			return false
		}
		return true
	}
}

// WriteTo implements net.PacketConn.
func (l *lasting) WriteTo(b []byte, to net.Addr) (int, error) { return l.current().WriteTo(b, to) }

// Close implements net.PacketConn.
func (l *lasting) Close() error {
	l.end()
	return l.current().Close()
}

// LocalAddr implements net.PacketConn.
func (l *lasting) LocalAddr() net.Addr { return l.current().LocalAddr() }

// SetDeadline implements net.PacketConn. It counts until the socket is opened anew.
func (l *lasting) SetDeadline(t time.Time) error { return l.current().SetDeadline(t) }

// SetReadDeadline implements net.PacketConn likewise.
func (l *lasting) SetReadDeadline(t time.Time) error { return l.current().SetReadDeadline(t) }

// SetWriteDeadline implements net.PacketConn likewise.
func (l *lasting) SetWriteDeadline(t time.Time) error { return l.current().SetWriteDeadline(t) }
