package mse

import (
	"net"
	"sync"
)

// Conn is a connection that is encrypted with RC4. One goroutine at a time may read, and one write; each encrypts for itself. All else
// is the underlying connection's.
//
// What Initiate and Accept return has in addition the methods Wait and ReadVector of the underlying connection, if that has them,
// with the same contract. Neither allocates beyond what that does.
type Conn struct {
	net.Conn
	in, out *stream
	failed  error       // of a write: what was encrypted is lost, so nothing can follow it
	left    net.Buffers // of WriteVector
}

func (c *Conn) encrypted() {}

// Encrypted reports whether a connection is encrypted with RC4.
func Encrypted(c net.Conn) bool {
	_, ok := c.(interface{ encrypted() })
	return ok
}

// waiter is a connection on which a goroutine can wait with little stack.
type waiter interface{ Wait() }

// vectorReader is a connection that reads into several buffers with one system call.
type vectorReader interface {
	ReadVector(bufs [][]byte) (int, error)
}

// waitConn is a Conn over a connection that is a waiter. As nothing is read ahead, there is something to read when there is
// something there.
type waitConn struct {
	*Conn
	waiter
}

// vectorConn is a Conn over a connection that is a waiter and a vectorReader.
type vectorConn struct {
	waitConn
	vector vectorReader
}

// newConn encrypts a connection.
func newConn(conn net.Conn, in, out *stream) net.Conn {
	c := &Conn{Conn: conn, in: in, out: out}
	w, ok := conn.(waiter)
	if !ok {
		return c
	}
	v, ok := conn.(vectorReader)
	if !ok {
		return &waitConn{c, w}
	}
	return &vectorConn{waitConn{c, w}, v}
}

// Read implements net.Conn.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.in.XORKeyStream(b[:n], b[:n])
	return n, err
}

// ReadVector fills buffers in order with what has arrived, as the underlying connection does, and decrypts them in place.
func (c *vectorConn) ReadVector(bufs [][]byte) (int, error) {
	n, err := c.vector.ReadVector(bufs)
	left := n
	for _, b := range bufs {
		if left == 0 {
			break
		}
		b = b[:min(len(b), left)]
		c.in.XORKeyStream(b, b)
		left -= len(b)
	}
	return n, err
}

// sealed lends memory to encrypt what must not be changed.
var sealed = sync.Pool{New: func() any { return new([16 << 10]byte) }}

// Write implements net.Conn: b is not changed. After an error, which a deadline is too, every other Write returns it again.
func (c *Conn) Write(b []byte) (int, error) {
	buf := sealed.Get().(*[16 << 10]byte)
	defer sealed.Put(buf)
	sent := 0
	for c.failed == nil && sent < len(b) {
		k := min(len(b)-sent, len(buf))
		c.out.XORKeyStream(buf[:k], b[sent:sent+k])
		var n int
		n, c.failed = c.Conn.Write(buf[:k])
		sent += n
	}
	return sent, c.failed
}

// WriteVector sends buffers one after the other, with one writev where the underlying connection is a socket, and returns how many
// bytes were sent. It encrypts the buffers in place, so that what they held is gone, and overwrites bufs itself too. After an error it
// is as with Write.
func (c *Conn) WriteVector(bufs [][]byte) (int64, error) {
	if c.failed != nil {
		return 0, c.failed
	}
	for _, b := range bufs {
		c.out.XORKeyStream(b, b)
	}
	var n int64
	c.left = bufs
	n, c.failed = c.left.WriteTo(c.Conn)
	c.left = nil
	return n, c.failed
}

// opening is a connection that reads differently at first: some bytes were read already, or are encrypted while the others are not.
type opening struct {
	net.Conn
	read   []byte  // not handed out yet
	sealed int     // how many come encrypted then
	in     *stream // by what
}

// Read implements net.Conn. It does not read beyond what is different.
func (c *opening) Read(b []byte) (int, error) {
	switch {
	case len(c.read) > 0:
		n := copy(b, c.read)
		c.read = c.read[n:]
		return n, nil
	case c.sealed > 0:
		n, err := c.Conn.Read(b[:min(len(b), c.sealed)])
		c.in.XORKeyStream(b[:n], b[:n])
		c.sealed -= n
		return n, err
	}
	return c.Conn.Read(b)
}

// Bare returns the connection within one that Accept returned, as soon as it reads the same: for a stream that is plain, when the
// initial payload or the first 20 bytes were read from it. Until then, and for any other, it returns c itself. Whoever has read a
// BitTorrent handshake calls it to have back what a plain connection can do beyond net.Conn.
func Bare(c net.Conn) net.Conn {
	if o, ok := c.(*opening); ok && len(o.read) == 0 && o.sealed == 0 {
		return o.Conn
	}
	return c
}
