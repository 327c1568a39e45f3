// Package mailbox is the one way into a loop that owns its state: many senders, one receiver, whole batches.
package mailbox

import "sync"

// Box queues values for one receiver. Senders append to a slice under a mutex and the receiver swaps the slice
// whole, so that a batch costs one lock on each side. The zero value is not usable; use New.
type Box[T any] struct {
	mu     sync.Mutex
	wake   chan struct{} // one slot: set while queue may hold something; nil until the receiver asks for it
	room   sync.Cond     // the queue of a full box was taken, or the box closed
	queue  []T
	spare  []T
	limit  int
	rest   func() // set while the receiver rests: starts it again
	closed bool
}

// New returns a box in which Put waits while limit or more values are queued.
func New[T any](limit int) *Box[T] {
	b := &Box[T]{limit: limit}
	b.room.L = &b.mu
	return b
}

// Put appends values in order. While the box is full it waits: flow control for senders that read a socket. It
// reports false, and keeps nothing, once the box is closed. Values of one call stay together, so the queue may
// exceed the limit by one batch.
func (b *Box[T]) Put(v ...T) bool {
	b.mu.Lock()
	for len(b.queue) >= b.limit && !b.closed {
		b.room.Wait()
	}
	return b.append(v)
}

// Post appends values in order and never waits: for results whose number the receiver itself bounded, and for
// timers. It reports false once the box is closed.
func (b *Box[T]) Post(v ...T) bool {
	b.mu.Lock()
	return b.append(v)
}

// append is called with mu held and gives it up.
func (b *Box[T]) append(v []T) bool {
	if b.closed {
		b.mu.Unlock()
		return false
	}
	first := len(b.queue) == 0
	b.queue = append(b.queue, v...)
	if len(b.queue) < b.limit {
		b.room.Signal() // another sender may wait too
	}
	rest := b.rest
	b.rest = nil
	if first {
		b.signal()
	}
	b.mu.Unlock()
	if rest != nil {
		rest()
	}
	return true
}

// Wake returns the channel that has a value when something may be queued. Only the receiver reads it; it is another after a rest.
func (b *Box[T]) Wake() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.wake == nil {
		b.wake = make(chan struct{}, 1)
		if len(b.queue) > 0 {
			b.signal()
		}
	}
	return b.wake
}

// Take returns everything queued, oldest first, or nil. The slice is the receiver's until its next Take.
func (b *Box[T]) Take() []T {
	b.mu.Lock()
	q := b.queue
	clear(b.spare)
	b.queue, b.spare = b.spare[:0], q
	b.mu.Unlock()
	if len(q) > 0 {
		b.room.Signal()
	}
	return q
}

// Rest lets the receiver end until there is something to take: the next Put or Post then calls wake, once, in its own goroutine
// and with no lock held. It reports false, and nothing changes, if something is queued already. After true the receiver must
// not touch what it owns: whoever wake starts does. A box at rest keeps no memory for values.
func (b *Box[T]) Rest(wake func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) > 0 {
		return false
	}
	b.queue, b.spare, b.wake, b.rest = nil, nil, nil, wake
	return true
}

// Close makes every waiting and later Put and Post report false. What is queued can still be taken.
func (b *Box[T]) Close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.room.Broadcast()
}

// signal is called with mu held.
func (b *Box[T]) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}
