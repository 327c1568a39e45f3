package node

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

// flaky accepts what it is given.
type flaky struct {
	net.Listener
	next   chan error // nil: a connection
	closed chan struct{}
}

func (f *flaky) Accept() (net.Conn, error) {
	select {
	case err := <-f.next:
		if err != nil {
			return nil, err
		}
		c, _ := net.Pipe()
		return c, nil
	case <-f.closed:
		return nil, net.ErrClosed
	}
}

func (f *flaky) Close() error { close(f.closed); return nil }

// TestFront goes on after an error that passes, waits between two who serve, and ends with nobody waiting.
func TestFront(t *testing.T) {
	l := &flaky{next: make(chan error, 4), closed: make(chan struct{})}
	f := newFront(l)
	first := f.serving()
	l.next <- &net.OpError{Op: "accept", Err: syscall.EMFILE}
	l.next <- nil
	if _, err := first.Accept(); err != nil {
		t.Fatal(err)
	}
	first.Close()
	if _, err := first.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
	l.next <- nil // while nobody serves
	second := f.serving()
	if _, err := second.Accept(); err != nil {
		t.Fatal(err)
	}
	l.next <- nil // nobody will take it
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
}
