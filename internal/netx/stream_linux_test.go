package netx

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// streams returns the two ends of a connection.
func streams(t *testing.T) (dialled, accepted *stream) {
	t.Helper()
	h := NewHost(Options{})
	l, err := h.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := h.Dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a.(*stream), b.(*stream)
}

// await calls ReadVector until something has come.
func (s *stream) await(t *testing.T, bufs [][]byte) (int, error) {
	t.Helper()
	for {
		if n, err := s.ReadVector(bufs); n != 0 || err != nil {
			return n, err
		}
		time.Sleep(time.Millisecond)
	}
}

func TestReadVector(t *testing.T) {
	a, b := streams(t)
	x, y := make([]byte, 3), make([]byte, 10)
	bufs := [][]byte{x, nil, y}
	if n, err := b.ReadVector(bufs); n != 0 || err != nil {
		t.Fatalf("before anything was sent: %d, %v", n, err)
	}
	if n, err := (&net.Buffers{[]byte("he"), []byte("llo")}).WriteTo(a); n != 5 || err != nil {
		t.Fatal(n, err)
	}
	for got := 0; got < 5; {
		n, err := b.await(t, [][]byte{x[min(got, 3):], y[max(got-3, 0):]})
		if err != nil {
			t.Fatal(err)
		}
		got += n
	}
	if string(x)+string(y[:2]) != "hello" {
		t.Errorf("read %q and %q", x, y)
	}
	a.Close()
	if n, err := b.await(t, bufs); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
	b.Close()
	if _, err := b.ReadVector(bufs); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

func TestReadVectorOfAReset(t *testing.T) {
	a, b := streams(t)
	a.SetLinger(0)
	a.Close()
	_, err := b.await(t, [][]byte{make([]byte, 1)})
	var op *net.OpError
	if !errors.Is(err, syscall.ECONNRESET) || !errors.As(err, &op) {
		t.Error(err)
	}
}

func TestWait(t *testing.T) {
	a, b := streams(t)
	woke := make(chan struct{})
	wait := func() {
		go func() {
			b.Wait()
			woke <- struct{}{}
		}()
	}
	wait()
	select {
	case <-woke:
		t.Fatal("it woke before anything came")
	case <-time.After(20 * time.Millisecond):
	}
	a.Write([]byte("x"))
	<-woke
	wait() // it is still there
	<-woke
	if n, err := b.Read(make([]byte, 10)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	wait()
	a.Close()
	<-woke
	wait() // after the end
	<-woke
	c, d := streams(t)
	go func() {
		d.Wait()
		woke <- struct{}{}
	}()
	d.Close()
	<-woke
	c.Close()
}

func TestReadVectorKeepsDeadlines(t *testing.T) {
	_, b := streams(t)
	b.SetReadDeadline(time.Now().Add(-time.Second))
	var timeout net.Error
	if _, err := b.ReadVector([][]byte{make([]byte, 1)}); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Error(err)
	}
}

func TestReadVectorNoAllocations(t *testing.T) {
	a, b := streams(t)
	data := make([]byte, 1000)
	got := make([]byte, len(data))
	bufs := [][]byte{got[:300], got[300:]}
	if n := testing.AllocsPerRun(100, func() {
		a.Write(data)
		for n := 0; n == 0; {
			n, _ = b.ReadVector(bufs)
		}
	}); n >= 1 {
		t.Errorf("%v allocations a call", n)
	}
	if !bytes.Equal(got, data) {
		t.Error("other bytes were read")
	}
}
