package utp

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// Conn is a connection. It is a net.Conn, safe for concurrent use.
type Conn struct {
	socket   *Socket
	remote   netip.AddrPort
	accepted bool // guarded by the socket's lock
	timer    int  // its place among the socket's timers, guarded by their lock

	mu      sync.Mutex
	cond    sync.Cond // whatever a Read, a Write or a Dial may wait for
	m       *machine
	touched bool          // by the current call of Receive
	pushing bool          // somebody is sending what there is to send
	waiting bool          // for room to write
	held    int           // of the bytes that the socket counts
	wakes   time.Duration // when the socket's timers have it at the latest
	reads   time.Duration // deadlines, 0: there is none
	writes  time.Duration
	closed  bool
}

// push sends whatever the machine wants to. It is called with the lock held and gives it up. Only one goroutine sends at a time, so
// that packets leave in order; it sends for all.
func (c *Conn) push() {
	if c.pushing {
		c.mu.Unlock()
		return
	}
	c.pushing = true
	for {
		o := newOutput(c.remote)
		c.m.send(c.socket.now(), o)
		if len(o.packets) == 0 {
			o.free()
			break
		}
		c.mu.Unlock()
		c.socket.write(o)
		c.mu.Lock()
	}
	c.pushing = false
	if c.waiting && c.m.writable() >= c.m.roomy() {
		c.waiting = false
		c.cond.Broadcast()
	}
	c.count()
	at, gone := c.alarm(), c.m.status == dead
	c.mu.Unlock()
	if at > 0 {
		c.socket.timers.add(at, c)
	}
	if gone {
		c.socket.remove(c)
	}
}

// count tells the socket how much is held.
func (c *Conn) count() {
	if n := c.m.held(); n != c.held {
		c.socket.held.Add(int64(n - c.held))
		c.held = n
	}
}

// alarm returns the time for which a new timer is needed, 0 for none.
func (c *Conn) alarm() time.Duration {
	at := c.m.deadline()
	for _, d := range []time.Duration{c.reads, c.writes} {
		if d > 0 {
			at = min(at, d)
		}
	}
	if at >= c.wakes {
		return 0
	}
	c.wakes = at
	return at
}

// expire is called by the socket's timers at a time that alarm returned.
func (c *Conn) expire(at time.Duration) {
	c.mu.Lock()
	if c.wakes != at { // a later timer was replaced by an earlier one
		c.mu.Unlock()
		return
	}
	c.wakes = never
	now := c.socket.now()
	if c.m.deadline() <= now {
		if c.m.expire(now); c.m.status == dead {
			c.cond.Broadcast()
		}
	}
	for _, d := range []*time.Duration{&c.reads, &c.writes} {
		if passed(*d, now) {
			*d = past
			c.cond.Broadcast()
		}
	}
	c.push()
}

// past is a deadline that has passed.
const past = -1

func passed(deadline, now time.Duration) bool {
	return deadline == past || deadline > 0 && deadline <= now
}

// connected waits until the connection is made or has failed.
func (c *Conn) connected() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.m.status == connecting && !c.closed {
		c.cond.Wait()
	}
	switch {
	case c.closed:
		return net.ErrClosed
	case c.m.status == dead:
		return c.m.err
	}
	return nil
}

func (c *Conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "utp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// fault returns why an operation with a deadline cannot go on, or nil.
func (c *Conn) fault(deadline time.Duration) error {
	switch {
	case c.closed:
		return net.ErrClosed
	case deadline != 0 && passed(deadline, c.socket.now()):
		return os.ErrDeadlineExceeded
	}
	return nil
}

// readable returns nil if there is something to read, io.EOF at the end, and why it failed; wait is whether none of them is so.
func (c *Conn) readable() (wait bool, err error) {
	if err := c.fault(c.reads); err != nil {
		return false, c.opError("read", err)
	}
	switch {
	case c.m.in.len > 0:
		return false, nil
	case c.m.eof:
		return false, io.EOF
	case c.m.status == dead:
		return false, c.opError("read", c.ended())
	}
	return true, nil
}

// ended is the error of a connection that is dead.
func (c *Conn) ended() error {
	if c.m.err == nil {
		return net.ErrClosed
	}
	return c.m.err
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	for {
		wait, err := c.readable()
		if err != nil || len(p) == 0 {
			c.mu.Unlock()
			return 0, err
		}
		if !wait {
			break
		}
		c.cond.Wait()
	}
	n := c.m.read(c.socket.now(), p)
	c.tell()
	return n, nil
}

// tell sends what the other end has to know of a read. It is called with the lock held and gives it up.
func (c *Conn) tell() {
	if c.m.ackDue {
		c.push()
		return
	}
	c.count()
	c.mu.Unlock()
}

// ReadVector fills buffers in order with what has arrived. It returns how many bytes that was: 0 without an error if nothing has,
// for it does not wait.
func (c *Conn) ReadVector(bufs [][]byte) (n int, err error) {
	c.mu.Lock()
	wait, err := c.readable()
	if wait || err != nil {
		c.mu.Unlock()
		return 0, err
	}
	now := c.socket.now()
	for _, b := range bufs {
		n += c.m.read(now, b)
	}
	c.tell()
	return n, nil
}

// Wait returns when something can be read, or the connection has failed or is closed.
func (c *Conn) Wait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if wait, _ := c.readable(); !wait {
			return
		}
		c.cond.Wait()
	}
}

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.WriteVector([][]byte{p})
	return int(n), err
}

// WriteVector writes buffers one after the other. It changes neither them nor their contents, and keeps nothing of them.
func (c *Conn) WriteVector(bufs [][]byte) (int64, error) {
	var n int64
	c.mu.Lock()
	for _, b := range bufs {
		for len(b) > 0 {
			if err := c.writeFault(); err != nil {
				c.mu.Unlock()
				return n, c.opError("write", err)
			}
			k := min(c.m.writable(), len(b))
			if k <= 0 {
				if !c.pushing {
					c.push()
					c.mu.Lock()
				}
				if c.m.writable() <= 0 && c.writeFault() == nil {
					c.waiting = true
					c.cond.Wait()
				}
				continue
			}
			c.m.write(b[:k])
			n += int64(k)
			b = b[k:]
		}
	}
	err := c.writeFault()
	c.push()
	if err != nil && n == 0 {
		return 0, c.opError("write", err)
	}
	return n, nil
}

// writeFault returns why nothing can be written, or nil.
func (c *Conn) writeFault() error {
	if err := c.fault(c.writes); err != nil {
		return err
	}
	switch {
	case c.m.status == dead:
		return c.ended()
	case c.m.fin:
		return os.NewSyscallError("write", syscall.EPIPE)
	}
	return nil
}

// CloseWrite ends our direction once all that was written is sent: the other end reads io.EOF.
func (c *Conn) CloseWrite() error {
	c.mu.Lock()
	if err := c.fault(0); err != nil {
		c.mu.Unlock()
		return c.opError("close", err)
	}
	c.m.endWrite()
	c.cond.Broadcast()
	c.push()
	return nil
}

// Close implements net.Conn. It does not wait: what was written is still sent, for half a minute at most.
func (c *Conn) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return c.opError("close", net.ErrClosed)
	}
	c.closed = true
	c.m.close(c.socket.now())
	c.cond.Broadcast()
	c.push()
	return nil
}

// abort ends the connection with a reset. One that was closed goes on unless it has to end now.
func (c *Conn) abort(now bool) {
	c.mu.Lock()
	if c.closed && !now || c.m.status == dead {
		c.mu.Unlock()
		return
	}
	was := c.m.status
	c.m.fail(net.ErrClosed)
	c.cond.Broadcast()
	c.m.in.release()
	c.count()
	reset := packet{header: header{kind: kindReset, id: c.m.sendID, time: max(1, micros(c.socket.now())), seq: c.m.nextSeq(), ack: c.m.got}}
	c.mu.Unlock()
	if was == open {
		c.socket.reply(c.remote, &reset)
	}
	c.socket.remove(c)
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return c.socket.cfg.Local }

// RemoteAddr implements net.Conn: a *net.UDPAddr.
func (c *Conn) RemoteAddr() net.Addr { return net.UDPAddrFromAddrPort(c.remote) }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadlines(t, &c.reads, &c.writes) }

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, &c.reads) }

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, &c.writes) }

func (c *Conn) setDeadlines(t time.Time, deadlines ...*time.Duration) error {
	var at time.Duration
	if !t.IsZero() {
		if at = t.Sub(c.socket.epoch); at <= c.socket.now() {
			at = past
		}
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return c.opError("set", net.ErrClosed)
	}
	for _, d := range deadlines {
		*d = at
	}
	c.cond.Broadcast()
	alarm := c.alarm()
	c.mu.Unlock()
	if alarm > 0 {
		c.socket.timers.add(alarm, c)
	}
	return nil
}
