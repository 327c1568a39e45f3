package torrent

import (
	"context"
	"sync"
	"sync/atomic"
)

// Gate admits so many at once and lets the others wait their turn, in the order they came, without a goroutine.
type Gate struct {
	over func() // called when a crowd has gone through

	mu      sync.Mutex
	size    int
	free    int
	waiting []func() bool
	most    int // that waited at once, since nobody was inside
}

// crowd is how many have to wait at once to be one.
const crowd = 100

// NewGate returns a gate that admits n at once. Whenever the last of a crowd has left, over is called.
func NewGate(n int, over func()) *Gate { return &Gate{over: over, size: n, free: n} }

// Enter calls admit when there is room: now, in this goroutine, or later in one that leaves. If admit returns true, Leave must
// follow in the end. admit must not wait, nor use the gate.
func (g *Gate) Enter(admit func() bool) {
	g.mu.Lock()
	if g.free == 0 {
		g.waiting = append(g.waiting, admit)
		g.most = max(g.most, len(g.waiting))
		g.mu.Unlock()
		return
	}
	g.free--
	g.mu.Unlock()
	if !admit() {
		g.Leave()
	}
}

// Leave makes room for the next.
func (g *Gate) Leave() {
	for {
		g.mu.Lock()
		if len(g.waiting) == 0 {
			g.free++
			g.waiting = nil
			over := g.free == g.size && g.most >= crowd
			if g.free == g.size {
				g.most = 0
			}
			g.mu.Unlock()
			if over {
				g.over()
			}
			return
		}
		next := g.waiting[0]
		g.waiting[0] = nil
		g.waiting = g.waiting[1:]
		g.mu.Unlock()
		if next() {
			return
		}
	}
}

// Wait enters, and reports false if ctx is done before that.
func (g *Gate) Wait(ctx context.Context) bool {
	var decided atomic.Bool
	admitted := make(chan struct{})
	g.Enter(func() bool {
		if !decided.CompareAndSwap(false, true) {
			return false
		}
		close(admitted)
		return true
	})
	select {
	case <-admitted:
		return true
	case <-ctx.Done():
		return !decided.CompareAndSwap(false, true)
	}
}
