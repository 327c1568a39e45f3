//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"shoal/internal/netx"
)

// line is one direction of a long line.
type line struct {
	rate  float64       // bytes/s
	delay time.Duration // from one end to the other

	free time.Time // when all that was sent has left the near end
}

// chunk is how much is put on a line at a time, in bytes.
const chunk = 16 << 10

// depth is how many chunks may be on their way when the far end takes none: several times what fills the line and its queue, as most are
// smaller than they could be.
func (l *line) depth() int { return max(8*int(2*l.rate*l.delay.Seconds())/chunk, 1024) }

// send returns when n bytes that are ready now come out at the far end.
func (l *line) send(now time.Time, n int) time.Time {
	if l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(float64(n) / l.rate * 1e9))
	return l.free.Add(l.delay)
}

// packet is what a line carries.
type packet struct {
	data *[chunk]byte
	n    int
	due  time.Time
}

var chunks = sync.Pool{New: func() any { return new([chunk]byte) }}

// carry moves bytes from src to dst at the line's rate and delay until either ends, and counts those that came out. The queue before
// the line holds as much as the line itself; when it is full nothing is read, which the sender notices.
func (l *line) carry(dst io.Writer, src io.Reader, passed *atomic.Int64) {
	queue := make(chan packet, l.depth())
	gone := make(chan struct{}) // dst takes no more
	go func() {
		defer close(queue)
		for {
			time.Sleep(time.Until(l.free.Add(-l.delay)))
			b := chunks.Get().(*[chunk]byte)
			n, err := src.Read(b[:])
			if n > 0 {
				select {
				case queue <- packet{b, n, l.send(time.Now(), n)}:
				case <-gone:
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	defer close(gone)
	for p := range queue {
		time.Sleep(time.Until(p.due))
		if _, err := dst.Write(p.data[:p.n]); err != nil {
			return
		}
		passed.Add(int64(p.n))
		chunks.Put(p.data)
	}
}

// proxy accepts connections and connects each to target; join has both, and returns when it is done with them.
type proxy struct {
	ln     net.Listener
	target string
	join   func(near, far net.Conn)
}

// proxyAt starts a proxy; it ends with close.
func proxyAt(addr, target string, join func(near, far net.Conn)) (*proxy, error) {
	host := netx.NewHost(netx.Options{})
	ln, err := host.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	p := &proxy{ln, target, join}
	go func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer near.Close()
				if far, err := host.Dial(context.Background(), "tcp", target); err == nil {
					defer far.Close()
					p.join(near, far)
				}
			}()
		}
	}()
	return p, nil
}

func (p *proxy) close() { p.ln.Close() }

// The line of row 10.
const (
	lineRate  = 125e6 // bytes/s: 1 Gbit/s
	lineDelay = 50 * time.Millisecond
)

// relay has a seed and a leecher at the ends of a long line, and measures which share of it they use once it should be full.
func (b *bench) relay() error {
	for n := range min(b.Runs, 3) {
		c, _ := b.client("shoal")
		v, err := b.overLine(c)
		if err != nil {
			return err
		}
		b.keep("relay", c.name, n, v)
	}
	return nil
}

func (b *bench) overLine(c client) (values, error) {
	seed, err := b.seeder(c, b.big)
	if err != nil {
		return nil, err
	}
	defer seed.stop()
	var down, up atomic.Int64
	addr := peerAddr(39) + ":20039"
	p, err := proxyAt(addr, seedAddr, func(near, far net.Conn) {
		for _, c := range []net.Conn{near, far} {
			if t, ok := c.(*net.TCPConn); ok {
				_ = t.SetReadBuffer(256 << 10) // the queue is the line's, not the system's
			}
		}
		var wg sync.WaitGroup
		for _, d := range []struct {
			dst, src net.Conn
			n        *atomic.Int64
		}{{near, far, &down}, {far, near, &up}} {
			wg.Go(func() {
				(&line{rate: lineRate, delay: lineDelay}).carry(d.dst, d.src, d.n)
				near.Close()
				far.Close()
			})
		}
		wg.Wait()
	})
	if err != nil {
		return nil, err
	}
	defer p.close()
	b.tracker.reset()
	b.tracker.add(addr)
	dir, err := b.fresh("leech-0")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	leech, err := c.start(leechAddr(0), dir)
	if err != nil {
		return nil, err
	}
	defer leech.stop()
	rate, err := b.quiet(b.big.size + 512<<20)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := leech.add(b.big.torrent, b.big.hash); err != nil {
		return nil, err
	}
	time.Sleep(time.Duration(b.Lead * float64(time.Second)))
	at, lead := time.Now(), down.Load()
	if err := leech.done(b.big.hash, 2*time.Minute); err != nil {
		return nil, err
	}
	if lead > b.big.size*9/10 {
		return nil, fmt.Errorf("%d of %d bytes came in the first %v s: too few are left to measure", lead, b.big.size, b.Lead)
	}
	v := values{
		probe: rate, "wall_s": time.Since(began).Seconds(), "lead_share": float64(lead) / at.Sub(began).Seconds() / lineRate,
		"share": float64(down.Load()-lead) / time.Since(at).Seconds() / lineRate,
	}
	return v, same(filepath.Join(b.seed, b.big.name), filepath.Join(dir, b.big.name))
}
