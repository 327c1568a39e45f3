package node

import (
	"errors"
	"net"
	"sync"
)

// front is a listener that outlives those who serve it, as the node starts anew inside: it hands connections to whoever serves now, and lets them
// wait in between.
type front struct {
	net.Listener
	conns chan net.Conn
	done  chan struct{}
	err   error
}

func newFront(l net.Listener) *front {
	f := &front{Listener: l, conns: make(chan net.Conn), done: make(chan struct{})}
	go f.accept()
	return f
}

func (f *front) accept() {
	for {
		c, err := f.Listener.Accept()
		if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
			continue
		}
		if err != nil {
			f.err = err
			close(f.done)
			return
		}
		select {
		case f.conns <- c:
		case <-f.done:
			c.Close()
			return
		}
	}
}

// serving returns a listener for who serves now. Its Close leaves the front open.
func (f *front) serving() net.Listener { return &serving{front: f, closed: make(chan struct{})} }

type serving struct {
	*front
	once   sync.Once
	closed chan struct{}
}

func (s *serving) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.closed:
		return nil, net.ErrClosed
	case <-s.done:
		return nil, s.err
	}
}

func (s *serving) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}
