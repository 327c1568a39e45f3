package peer

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"shoal/internal/block"
	"shoal/internal/bt/wire"
)

var errLoopGone = errors.New("the torrent was stopped")

// maxSpan is the most that is read from storage and sent at a time.
const maxSpan = 256 << 10

// spans are the buffers of writers, of maxSpan and of one block: a slow connection holds little.
var (
	spans  = sync.Pool{New: func() any { return new([maxSpan]byte) }}
	blocks = sync.Pool{New: func() any { return new([block.Size]byte) }}
	small  = sync.Pool{New: func() any { return new([1 << 10]byte) }}
)

// getBuffer returns an empty buffer for encoded messages.
func getBuffer() []byte { return small.Get().(*[1 << 10]byte)[:0] }

// putBuffer takes one back, unless it had to grow.
func putBuffer(b []byte) {
	if cap(b) == 1<<10 {
		small.Put((*[1 << 10]byte)(b[:1<<10]))
	}
}

// write sends what is queued, messages before payload, and ends when there is nothing more that may be sent now.
func (c *Conn) write() {
	var serve []upload
	var vec net.Buffers
	for {
		c.mu.Lock()
		out := c.out
		c.out = nil
		serve = c.takeUploads(serve[:0])
		if len(out) == 0 && len(serve) == 0 {
			c.writing = false
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		var err error
		if len(serve) == 0 {
			_, err = c.cfg.Conn.Write(out)
		} else {
			err = c.serve(out, serve, &vec)
		}
		putBuffer(out)
		if err != nil {
			c.Close(fmt.Errorf("sending: %w", err))
			c.mu.Lock()
			c.writing, c.uploads, c.out = false, nil, nil
			c.mu.Unlock()
			return
		}
		c.spoke.Store(time.Now().UnixNano())
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
	if k == 0 && cap(c.uploads) > 256 {
		c.uploads = nil
	}
	return serve
}

// serve sends messages and then the payload of some requests that follow each other: one read, one write.
func (c *Conn) serve(out []byte, us []upload, vec *net.Buffers) error {
	first, last := us[0], us[len(us)-1]
	n := int(last.begin + last.length - first.begin)
	content := c.content.Load()
	buf, put := spanBuffer(n)
	defer put()
	off := content.Layout.PieceOffset(int(first.piece)) + int64(first.begin)
	there := min(max(content.Layout.Size-off, 0), int64(n))
	clear(buf[there:])
	if err := content.ReadAt(buf[:there], min(off, content.Layout.Size)); err != nil {
		return fmt.Errorf("reading piece %d: %w", first.piece, err)
	}
	*vec = (*vec)[:0]
	if len(out) > 0 {
		*vec = append(*vec, out)
	}
	heads := make([]byte, 0, 13*len(us))
	for _, u := range us {
		at := len(heads)
		heads = wire.AppendPieceHeader(heads, u.piece, u.begin, int(u.length))
		*vec = append(*vec, heads[at:], buf[u.begin-first.begin:][:u.length])
	}
	began := time.Now()
	whole := *vec // WriteTo eats the slice that it is called on
	_, err := vec.WriteTo(c.cfg.Conn)
	*vec = whole
	c.up.Add(int64(n))
	c.adapt(time.Since(began))
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

// spanBuffer lends a buffer of n bytes.
func spanBuffer(n int) (buf []byte, put func()) {
	if n <= block.Size {
		b := blocks.Get().(*[block.Size]byte)
		return b[:n], func() { blocks.Put(b) }
	}
	b := spans.Get().(*[maxSpan]byte)
	return b[:n], func() { spans.Put(b) }
}
