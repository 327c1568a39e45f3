// Package mailbox is the one way into a loop that owns its state: many senders, one receiver, whole batches.
package mailbox

import "sync"

// Box queues values for one receiver. Senders append to a slice under a mutex and the receiver swaps the slice
// whole, so that a batch costs one lock on each side. The zero value is not usable; use New.
type Box[T any] struct {
	wake chan struct{} // one slot: set while queue may hold something
	room chan struct{} // one slot: set when the receiver emptied a full queue
	done chan struct{}
	once sync.Once

	mu    sync.Mutex
	queue []T
	spare []T
	limit int
}

// New returns a box in which Put waits while limit or more values are queued.
func New[T any](limit int) *Box[T] {
	return &Box[T]{wake: make(chan struct{}, 1), room: make(chan struct{}, 1), done: make(chan struct{}), limit: limit}
}

// Put appends values in order. While the box is full it waits: flow control for senders that read a socket. It
// reports false, and keeps nothing, once the box is closed. Values of one call stay together, so the queue may
// exceed the limit by one batch.
func (b *Box[T]) Put(v ...T) bool {
	for {
		b.mu.Lock()
		if len(b.queue) < b.limit {
			return b.append(v)
		}
		b.mu.Unlock()
		select {
		case <-b.room:
		case <-b.done:
			return false
		}
	}
}

// Post appends values in order and never waits: for results whose number the receiver itself bounded, and for
// timers. It reports false once the box is closed.
func (b *Box[T]) Post(v ...T) bool {
	b.mu.Lock()
	return b.append(v)
}

// append is called with mu held and gives it up.
func (b *Box[T]) append(v []T) bool {
	select {
	case <-b.done:
		b.mu.Unlock()
		return false
	default:
	}
	first := len(b.queue) == 0
	b.queue = append(b.queue, v...)
	more := len(b.queue) < b.limit
	b.mu.Unlock()
	if more {
		signal(b.room) // another sender may wait too
	}
	if first {
		signal(b.wake)
	}
	return true
}

// Wake returns the channel that has a value when something may be queued. Only the receiver reads it.
func (b *Box[T]) Wake() <-chan struct{} { return b.wake }

// Take returns everything queued, oldest first, or nil. The slice is the receiver's until its next Take.
func (b *Box[T]) Take() []T {
	b.mu.Lock()
	q := b.queue
	clear(b.spare)
	b.queue, b.spare = b.spare[:0], q
	b.mu.Unlock()
	if len(q) > 0 {
		signal(b.room)
	}
	return q
}

// Close makes every waiting and later Put and Post report false. What is queued can still be taken.
func (b *Box[T]) Close() { b.once.Do(func() { close(b.done) }) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
