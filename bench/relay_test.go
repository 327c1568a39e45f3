//go:build linux

package main

import (
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestLineDelaysAndLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate, delay, size = 1 << 20, 50 * time.Millisecond, 3 << 20
		near, src := net.Pipe()
		dst, far := net.Pipe()
		var passed atomic.Int64
		go func() {
			(&line{rate: rate, delay: delay}).carry(dst, src, &passed)
			dst.Close()
		}()
		began := time.Now()
		go func() {
			_, _ = near.Write(make([]byte, size))
			near.Close()
		}()
		first := make([]byte, 1)
		if _, err := io.ReadFull(far, first); err != nil {
			t.Fatal(err)
		}
		if got, want := time.Since(began), delay+time.Second*chunk/rate; got != want {
			t.Errorf("the first chunk took %v, want %v", got, want)
		}
		n, err := io.Copy(io.Discard, far)
		if err != nil || n != size-1 || passed.Load() != size {
			t.Errorf("%d bytes came, %d were counted: %v", n+1, passed.Load(), err)
		}
		if got, want := time.Since(began), delay+size*time.Second/rate; got != want {
			t.Errorf("all took %v, want %v", got, want)
		}
	})
}

// What is ready goes onto the line as long as its queue has room, in whatever pieces it comes, and no longer.
func TestLineHoldsBack(t *testing.T) {
	const rate, delay = 1 << 20, 50 * time.Millisecond
	for name, c := range map[string]struct {
		part int
		read bool // at the far end
		most int64
	}{
		"all is read":      {chunk, true, rate/10 + rate/1000},
		"in little pieces": {1000, true, rate/10 + rate/1000},
		"nothing is read":  {chunk, false, 1024*chunk + chunk},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, src := net.Pipe()
				dst, far := net.Pipe()
				var passed, sent atomic.Int64
				go (&line{rate: rate, delay: delay}).carry(dst, src, &passed)
				go func() {
					for {
						n, err := near.Write(make([]byte, c.part))
						sent.Add(int64(n))
						if err != nil {
							return
						}
					}
				}()
				if c.read {
					go func() { _, _ = io.Copy(io.Discard, far) }()
				}
				time.Sleep(time.Minute)
				under := sent.Load() - passed.Load()
				if least := c.most - 3*chunk; under > c.most+2*chunk || under < least {
					t.Errorf("%d bytes are on the line, want %d to %d", under, least, c.most+2*chunk)
				}
				if want := int64(rate*(time.Minute-delay)/time.Second) - 2*chunk; c.read && passed.Load() < want {
					t.Errorf("%d bytes came out, want %d", passed.Load(), want)
				}
				near.Close()
				src.Close()
				far.Close()
				time.Sleep(time.Second) // for what sleeps to notice
			})
		})
	}
}

func TestLineIdlesWithoutCredit(t *testing.T) {
	l := &line{rate: 1000, delay: time.Second}
	at := time.Unix(0, 0)
	for _, x := range []struct {
		at   time.Duration
		n    int
		want time.Duration
	}{
		{0, 500, 1500 * time.Millisecond},
		{0, 500, 2 * time.Second},
		{10 * time.Second, 100, 11100 * time.Millisecond}, // what it could have sent meanwhile is lost
	} {
		if got := l.send(at.Add(x.at), x.n).Sub(at); got != x.want {
			t.Errorf("sent at %v: out at %v, want %v", x.at, got, x.want)
		}
	}
}
