package node

import (
	"errors"
	"net"
	"sync"
	"time"
)

// front is a listener that outlives those who serve it, as the node starts anew inside: it hands connections to whoever serves now, and lets them
// wait in between. It has a goroutine, which Close ends.
type front struct {
	net.Listener
	conns chan net.Conn
	end   chan struct{} // closed by Close
	done  chan struct{} // closed when nothing is accepted any more
}

// acceptPause is how long nothing is accepted after an error that passes, such as too many open files.
const acceptPause = 100 * time.Millisecond

func newFront(l net.Listener) *front {
	f := &front{Listener: l, conns: make(chan net.Conn), end: make(chan struct{}), done: make(chan struct{})}
	go f.accept()
	return f
}

func (f *front) accept() {
	defer close(f.done)
	for {
		c, err := f.Listener.Accept()
		switch {
		case err == nil:
			select {
			case f.conns <- c:
			case <-f.end:
				c.Close()
				return
			}
		case errors.Is(err, net.ErrClosed):
			return
		default:
			select {
			case <-time.After(acceptPause):
			case <-f.end:
				return
			}
		}
	}
}

// Close ends the front, and with it every listener of serving. It is called once.
func (f *front) Close() error {
	close(f.end)
	err := f.Listener.Close()
	<-f.done
	return err
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
	case <-s.done:
	}
	return nil, net.ErrClosed
}

func (s *serving) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}
