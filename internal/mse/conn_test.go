package mse

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"shoal/internal/netx"
	"shoal/internal/simnet"
)

// idle is a connection that has Wait, and quick one that has ReadVector too. What is read of quick comes from a buffer.
type idle struct {
	net.Conn
	waited int
}

func (c *idle) Wait() { c.waited++ }

type quick struct {
	idle
	arrived []byte
	err     error
}

func (c *quick) ReadVector(bufs [][]byte) (n int, err error) {
	for _, b := range bufs {
		k := copy(b, c.arrived)
		c.arrived = c.arrived[k:]
		n += k
	}
	return n, c.err
}

// encrypted returns a connection over one, and a function that encrypts what it reads and decrypts what it writes.
func encrypted(c net.Conn) (conn net.Conn, in, out func([]byte) []byte) {
	return newConn(c, newRC4([]byte("in")), newRC4([]byte("out"))), refCipher([]byte("in"), 0), refCipher([]byte("out"), 0)
}

func TestMethodsOfTheUnderlyingConnection(t *testing.T) {
	type vectorWriter interface{ WriteVector([][]byte) (int64, error) }
	for _, c := range []struct {
		conn         net.Conn
		wait, vector bool
	}{{&trickle{}, false, false}, {&idle{}, true, false}, {&quick{}, true, true}} {
		conn, _, _ := encrypted(c.conn)
		w, wait := conn.(waiter)
		_, vector := conn.(vectorReader)
		if wait != c.wait || vector != c.vector {
			t.Errorf("over a %T Wait is there: %v, ReadVector: %v", c.conn, wait, vector)
		}
		if _, ok := conn.(vectorWriter); !ok {
			t.Errorf("over a %T WriteVector is not there", c.conn)
		}
		if Bare(conn) != conn {
			t.Error("an encrypted connection is bare")
		}
		if wait {
			w.Wait()
		}
	}
	q := &quick{}
	conn, _, _ := encrypted(q)
	if conn.(waiter).Wait(); q.waited != 1 {
		t.Error("Wait was not passed on")
	}
}

func TestReadVector(t *testing.T) {
	q := &quick{}
	conn, in, _ := encrypted(q)
	want := content(1000, 1)
	var got []byte
	for left := want; len(left) > 0; {
		n := min(len(left), 130)
		q.arrived = in(left[:n])
		left = left[n:]
		a, b := make([]byte, 17), make([]byte, 200)
		k, err := conn.(vectorReader).ReadVector([][]byte{a, nil, b})
		if k != n || err != nil {
			t.Fatal(k, err)
		}
		got = append(got, slices.Concat(a, b)[:k]...)
		if rest := slices.Concat(a, b)[k:]; !bytes.Equal(rest, make([]byte, len(rest))) {
			t.Error("more was written than was read")
		}
	}
	if !bytes.Equal(got, want) {
		t.Error("other bytes were read")
	}
	q.err = io.EOF
	if n, err := conn.(vectorReader).ReadVector([][]byte{make([]byte, 9)}); n != 0 || !errors.Is(err, io.EOF) {
		t.Error(n, err)
	}
}

func TestWriteVector(t *testing.T) {
	bubble(t, simnet.Link{}, func(t *testing.T, a, b net.Conn) {
		conn, _, out := encrypted(a)
		want := content(90_000, 1)
		var wg sync.WaitGroup
		wg.Go(func() {
			for left := want; len(left) > 0; {
				n := min(len(left), 40_000)
				bufs := [][]byte{bytes.Clone(left[:13]), {}, bytes.Clone(left[13 : n-1]), bytes.Clone(left[n-1 : n])}
				if k, err := conn.(interface{ WriteVector([][]byte) (int64, error) }).WriteVector(bufs); k != int64(n) || err != nil {
					t.Error(k, err)
				}
				left = left[n:]
			}
		})
		got := make([]byte, len(want))
		if _, err := io.ReadFull(b, got); err != nil || !bytes.Equal(out(got), want) {
			t.Errorf("other bytes came: %v", err)
		}
		wg.Wait()
	})
}

// TestNothingFollowsAFailedWrite: as the key stream has gone on, what followed could not be decrypted.
func TestNothingFollowsAFailedWrite(t *testing.T) {
	for _, vector := range []bool{false, true} {
		bubble(t, simnet.Link{Up: 1000, Down: 1000}, func(t *testing.T, a, b net.Conn) {
			conn, _, out := encrypted(a)
			write := func(p []byte) (int, error) {
				if !vector {
					return conn.Write(p)
				}
				n, err := conn.(interface{ WriteVector([][]byte) (int64, error) }).WriteVector([][]byte{p[:100], p[100:]})
				return int(n), err
			}
			want := content(1_000_000, 1)
			conn.SetWriteDeadline(time.Now().Add(time.Second))
			n, err := write(bytes.Clone(want))
			if n == 0 || n == len(want) || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(n, err)
			}
			conn.SetWriteDeadline(time.Time{})
			if k, err := write(make([]byte, 200)); k != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("then %d bytes were written: %v", k, err)
			}
			a.Close()
			got, err := io.ReadAll(b)
			if err != nil || len(got) != n || !bytes.Equal(out(got), want[:n]) {
				t.Errorf("%d bytes of %d came: %v", len(got), n, err)
			}
		})
	}
}

// sockets returns the two ends of a TCP connection.
func sockets(t testing.TB) (a, b net.Conn) {
	t.Helper()
	h := netx.NewHost(netx.Options{})
	l, err := h.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err = h.Dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// secured returns two ends of an encrypted TCP connection.
func secured(t testing.TB) (a, b net.Conn) {
	a, b = sockets(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		var err error
		if a, _, err = Initiate(a, swarm, RC4, nil); err != nil {
			t.Error(err)
		}
	})
	b, _, err := Accept(b, AcceptOptions{Keys: keys, Choose: choose(RC4)})
	if err != nil {
		t.Error(err)
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return a, b
}

func TestSockets(t *testing.T) {
	a, b := secured(t)
	send(t, a, b, content(1<<20, 1))
	send(t, b, a, content(1<<20, 2))
	if _, ok := a.(vectorReader); ok != (runtime.GOOS == "linux") {
		t.Errorf("ReadVector is there: %v", ok)
	}
}

func TestNoAllocations(t *testing.T) {
	a, b := secured(t)
	p, q := make([]byte, 16<<10), make([]byte, 16<<10)
	kept := [][]byte{p[:13], p[13:]}
	bufs, into := make([][]byte, 2), [][]byte{q[:13], q[13:]}
	calls := map[string]func() (int, error){
		"Write": func() (int, error) { return a.Write(p) },
		"WriteVector": func() (int, error) {
			copy(bufs, kept) // which WriteVector empties
			n, err := a.(interface{ WriteVector([][]byte) (int64, error) }).WriteVector(bufs)
			return int(n), err
		},
	}
	for name, write := range calls {
		if n := testing.AllocsPerRun(100, func() {
			if n, err := write(); n != len(p) || err != nil {
				t.Fatal(n, err)
			}
			for got := 0; got < len(p); {
				n, err := b.Read(q[:len(p)-got])
				if err != nil {
					t.Fatal(err)
				}
				got += n
			}
		}); n != 0 {
			t.Errorf("%v allocations by %s and Read", n, name)
		}
	}
	v, ok := b.(vectorReader)
	if !ok {
		return
	}
	if n := testing.AllocsPerRun(100, func() {
		if n, err := a.Write(p); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
		for got := 0; got < len(p); {
			b.(waiter).Wait()
			n, err := v.ReadVector(into)
			if err != nil {
				t.Fatal(err)
			}
			got += n
		}
	}); n != 0 {
		t.Errorf("%v allocations by Write and ReadVector", n)
	}
}
