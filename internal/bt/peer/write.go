package peer

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"shoal/internal/block"
	"shoal/internal/bt/wire"
	"shoal/internal/storage"
)

var errLoopGone = errors.New("the torrent was stopped")

// maxSpan is the most that is read from storage and sent at a time.
const maxSpan = 256 << 10

// maxIdleQueue is how many requests an empty queue may keep memory for.
const maxIdleQueue = 64

// Buffers of writers: a slow connection holds little.
var (
	spans  = sync.Pool{New: func() any { return new([maxSpan]byte) }}
	blocks = sync.Pool{New: func() any { return new([block.Size]byte) }}
	small  = sync.Pool{New: func() any { return new([1 << 10]byte) }}
)

// writer is the state of a writing goroutine. Like its buffers it is used again, so that no write allocates.
type writer struct {
	*Conn
	run     func() // write
	serving []upload
	heads   []byte      // of the piece messages that are being sent
	vec     [][]byte    // what is being sent
	left    net.Buffers // the rest of vec
}

var writers = sync.Pool{New: func() any { return new(writer) }}

// startWriter starts a writer; writing was set for it.
func (c *Conn) startWriter() {
	w := writers.Get().(*writer)
	w.Conn = c
	if w.run == nil {
		w.run = w.write
	}
	go w.run()
}

// getBuffer returns an empty buffer for encoded messages.
func getBuffer() []byte { return small.Get().(*[1 << 10]byte)[:0] }

// putBuffer takes one back, unless it had to grow.
func putBuffer(b []byte) {
	if cap(b) == 1<<10 {
		small.Put((*[1 << 10]byte)(b[:1<<10]))
	}
}

// write sends what is queued, messages before payload, and ends when there is nothing more that may be sent now.
func (w *writer) write() {
	if err := w.loop(); err != nil {
		w.Close(fmt.Errorf("sending: %w", err))
		w.mu.Lock()
		w.writing, w.uploads, w.out = false, nil, nil
		w.mu.Unlock()
	}
	w.Conn = nil
	writers.Put(w)
}

func (w *writer) loop() error {
	for {
		w.mu.Lock()
		out := w.out
		w.out = nil
		w.serving = w.takeUploads(w.serving[:0])
		if len(out) == 0 && len(w.serving) == 0 {
			w.writing = false
			w.mu.Unlock()
			return nil
		}
		w.mu.Unlock()
		var err error
		if len(w.serving) == 0 {
			_, err = w.cfg.Conn.Write(out)
		} else {
			err = w.serve(out)
		}
		putBuffer(out)
		if err != nil {
			return err
		}
		w.spoke.Store(time.Now().UnixNano())
	}
}

// allowance returns how many bytes of payload may be sent now. Under an upload limit it is what was waited for: the writer
// itself never waits for that, so that messages are not held up, and what waits can still be cancelled or choked. It is called
// with mu held.
func (c *Conn) allowance() int {
	switch {
	case c.cfg.Up.Unlimited():
		return c.span
	case c.paid <= 0 && len(c.uploads) > 0 && !c.pacing:
		c.pacing = true
		go c.pace(int(c.uploads[0].length))
	}
	return c.paid
}

// pace waits until the upload limit lets n bytes pass.
func (c *Conn) pace(n int) {
	passed := c.cfg.Up.Wait(c.done, n)
	c.mu.Lock()
	c.pacing = false
	if passed {
		c.paid += n
	} else {
		c.uploads = nil
	}
	c.mu.Unlock()
	c.Flush()
}

// takeUploads moves the oldest requests that follow each other within a piece, at most span bytes, to serve. It is called with
// mu held.
func (c *Conn) takeUploads(serve []upload) []upload {
	limit := c.allowance()
	if limit <= 0 {
		return serve
	}
	n := 0
	for i, u := range c.uploads {
		if i > 0 {
			last := c.uploads[i-1]
			if n+int(u.length) > min(limit, c.span) || u.piece != last.piece || u.begin != last.begin+last.length {
				break
			}
		}
		serve = append(serve, u)
		n += int(u.length)
	}
	if !c.cfg.Up.Unlimited() {
		c.paid -= n
	}
	k := copy(c.uploads, c.uploads[len(serve):])
	c.uploads = c.uploads[:k]
	if k == 0 && cap(c.uploads) > maxIdleQueue {
		c.uploads = nil
	}
	if c.room != nil { // it is we who do not listen; that it takes what it asked for tells that it is alive
		c.heard.Store(time.Now().UnixNano())
	}
	c.makeRoom()
	return serve
}

// makeRoom lets a reader go on that waits for fewer requests to be queued. It is called with mu held.
func (c *Conn) makeRoom() {
	if c.room != nil && len(c.uploads) <= MaxRequests/2 {
		close(c.room)
		c.room = nil
	}
}

// serve sends messages and then the payload of requests that follow each other: one read, one write.
func (w *writer) serve(out []byte) error {
	first, last := w.serving[0], w.serving[len(w.serving)-1]
	n := int(last.begin + last.length - first.begin)
	if n <= block.Size {
		b := blocks.Get().(*[block.Size]byte)
		defer blocks.Put(b)
		return w.send(out, b[:n])
	}
	b := spans.Get().(*[maxSpan]byte)
	defer spans.Put(b)
	return w.send(out, b[:n])
}

// send is serve with a buffer for the payload.
func (w *writer) send(out, payload []byte) error {
	first := w.serving[0]
	content := w.content.Load()
	off := content.Layout.PieceOffset(int(first.piece)) + int64(first.begin)
	there := min(max(content.Layout.Size-off, 0), int64(len(payload)))
	clear(payload[there:])
	if err := content.ReadAt(payload[:there], min(off, content.Layout.Size)); errors.Is(err, storage.ErrEvicted) {
		return w.refuse(out)
	} else if err != nil {
		return fmt.Errorf("reading piece %d: %w", first.piece, err)
	}
	w.vec = w.vec[:0]
	if len(out) > 0 {
		w.vec = append(w.vec, out)
	}
	w.heads = slices.Grow(w.heads[:0], wire.PieceHeaderLen*len(w.serving))
	for _, u := range w.serving {
		at := len(w.heads)
		w.heads = wire.AppendPieceHeader(w.heads, u.piece, u.begin, int(u.length))
		w.vec = append(w.vec, w.heads[at:], payload[u.begin-first.begin:][:u.length])
	}
	began := time.Now()
	w.left = w.vec
	err := w.flushVector()
	clear(w.vec)
	w.up.Add(int64(len(payload)))
	w.adapt(time.Since(began))
	return err
}

// refuse sends messages and rejects the requests whose turn it is (BEP 6), for the piece was there when they came and is not any more. Without
// BEP 6 the peer has been told by BEP 54, or asks another in time.
func (w *writer) refuse(out []byte) error {
	if w.cfg.Fast {
		for _, u := range w.serving {
			out = wire.AppendReject(out, u.piece, u.begin, u.length)
		}
	}
	_, err := w.cfg.Conn.Write(out)
	return err
}

// vectorWriter is a connection other than TCP that sends several buffers at once. It may overwrite them.
type vectorWriter interface {
	WriteVector(bufs [][]byte) (int64, error)
}

// flushVector sends what is in left with one call.
func (w *writer) flushVector() error {
	if v, ok := w.cfg.Conn.(vectorWriter); ok {
		_, err := v.WriteVector(w.left)
		return err
	}
	_, err := w.left.WriteTo(w.cfg.Conn)
	return err
}

// adapt makes the span longer while writing is quick and shorter when it is slow, so that a slow peer holds little memory and a
// choke or a message takes effect soon.
func (c *Conn) adapt(took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case took < 5*time.Millisecond:
		c.span = min(c.span*2, maxSpan)
	case took > 50*time.Millisecond:
		c.span = max(c.span/2, block.Size)
	}
}
