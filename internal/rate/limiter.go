// Package rate bounds bandwidth with nested token buckets.
package rate

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// quantum is the most bytes that a waiter takes before it queues again behind the others: one block (BEP 3).
	quantum = 16 << 10
	// burst is how much of its rate a limiter that nobody uses saves up. It covers late timers and keeps the flow smooth.
	burst = 150 * time.Millisecond
)

// Limiter is a token bucket, and perhaps part of a tree of them: a byte passes once the limiter and all its ancestors
// let it. Those who wait are served first come first served, 16 KiB at a time, so that each of them gets the same
// share however much it asks for. It is safe for concurrent use and has no goroutine.
type Limiter struct {
	parent *Limiter
	rate   atomic.Int64 // bytes per second, 0 for no limit

	mu     sync.Mutex
	tokens float64         // bytes that may pass now
	filled time.Time       // when tokens was right
	queue  []chan struct{} // those who wait; the first one watches the clock and is woken when something changes
}

// New returns a limiter of so many bytes per second below parent, which may be nil. A rate of 0 or less is no limit.
// A limiter begins empty: the first second lets no more pass than any other.
func New(bytesPerSecond int64, parent *Limiter) *Limiter {
	l := &Limiter{parent: parent, filled: time.Now()}
	l.rate.Store(max(0, bytesPerSecond))
	return l
}

// Rate returns the limit in bytes per second, 0 if there is none.
func (l *Limiter) Rate() int64 { return l.rate.Load() }

// SetRate changes the limit, also for those who wait already. A rate of 0 or less is no limit.
func (l *Limiter) SetRate(bytesPerSecond int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fill()
	l.rate.Store(max(0, bytesPerSecond))
	l.wakeFirst()
}

// Unlimited reports whether neither the limiter nor an ancestor has a limit. It takes no lock.
func (l *Limiter) Unlimited() bool {
	for ; l != nil; l = l.parent {
		if l.rate.Load() != 0 {
			return false
		}
	}
	return true
}

// Wait returns true once n bytes may pass, or false as soon as done is closed. Of the bytes of a Wait that ends early,
// those granted so far are spent.
func (l *Limiter) Wait(done <-chan struct{}, n int) bool {
	for n > 0 && !l.Unlimited() {
		part := min(n, quantum)
		for at := l; at != nil; at = at.parent {
			if !at.wait(done, part) {
				l.refund(at, part)
				return false
			}
		}
		n -= part
	}
	return true
}

// Take returns how many bytes, at most n, may pass at once, and counts them as passed. It gives none while others wait.
func (l *Limiter) Take(n int) int {
	for at := l; at != nil && n > 0; at = at.parent {
		got := at.take(n)
		if got < n {
			l.refund(at, n-got)
			n = got
		}
	}
	return n
}

// refund gives n bytes back to l and its ancestors below end.
func (l *Limiter) refund(end *Limiter, n int) {
	for at := l; at != end; at = at.parent {
		at.mu.Lock()
		at.tokens += float64(n)
		at.fill()
		at.wakeFirst()
		at.mu.Unlock()
	}
}

func (l *Limiter) take(n int) int {
	if l.rate.Load() == 0 {
		return n
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fill()
	if len(l.queue) > 0 {
		return 0
	}
	n = min(n, int(l.tokens))
	l.tokens -= float64(n)
	return n
}

// wait takes n bytes, at most a quantum, from this limiter alone.
func (l *Limiter) wait(done <-chan struct{}, n int) bool {
	if l.rate.Load() == 0 {
		return true
	}
	l.mu.Lock()
	l.fill()
	if len(l.queue) == 0 && l.tokens >= float64(n) {
		l.tokens -= float64(n)
		l.mu.Unlock()
		return true
	}
	turn := make(chan struct{}, 1)
	l.queue = append(l.queue, turn)
	first := len(l.queue) == 1
	l.mu.Unlock()
	if !first {
		select {
		case <-turn:
		case <-done:
			l.leave(turn)
			return false
		}
	}
	return l.waitFirst(done, turn, n)
}

// waitFirst is the rest of wait for the first of the queue.
func (l *Limiter) waitFirst(done <-chan struct{}, turn chan struct{}, n int) bool {
	for {
		l.mu.Lock()
		l.fill()
		rate, missing := l.rate.Load(), float64(n)-l.tokens
		if rate == 0 || missing <= 0 {
			if rate != 0 {
				l.tokens -= float64(n)
			}
			l.queue = l.queue[1:]
			l.wakeFirst()
			l.mu.Unlock()
			return true
		}
		l.mu.Unlock()
		timer := time.NewTimer(time.Duration(math.Ceil(missing / float64(rate) * 1e9)))
		select {
		case <-timer.C:
		case <-turn:
			timer.Stop()
		case <-done:
			timer.Stop()
			l.leave(turn)
			return false
		}
	}
}

// leave takes a waiter out of the queue.
func (l *Limiter) leave(turn chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, c := range l.queue {
		if c == turn {
			l.queue = append(l.queue[:i], l.queue[i+1:]...)
			break
		}
	}
	l.wakeFirst()
}

// wakeFirst makes the first of the queue look again. It is called with mu held.
func (l *Limiter) wakeFirst() {
	if len(l.queue) > 0 {
		select {
		case l.queue[0] <- struct{}{}:
		default:
		}
	}
}

// fill adds what the time since the last call lets pass. It is called with mu held.
func (l *Limiter) fill() {
	now, rate := time.Now(), float64(l.rate.Load())
	l.tokens += rate * now.Sub(l.filled).Seconds()
	l.tokens = min(l.tokens, max(quantum, rate*burst.Seconds()))
	l.filled = now
}
