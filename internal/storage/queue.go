package storage

import "sync"

const (
	batchPieces = 32      // most pieces that a worker takes at once
	batchBytes  = 1 << 20 // and most bytes, beyond the first two
	runBytes    = 4 << 20 // data in one run of a Recheck, beyond its first piece
)

// run is a part of a Recheck that one worker does: pieces that mostly follow one another.
type run struct {
	h      *handle
	pieces []int
}

// queue holds what workers are to do: first pieces to verify, whose blocks others wait for, then runs to recheck.
type queue struct {
	workers int

	mu      sync.Mutex
	more    sync.Cond
	verify  fifo[*piece]
	recheck fifo[run]
	closed  bool
}

func newQueue(workers int) *queue {
	q := &queue{workers: workers}
	q.more.L = &q.mu
	return q
}

func (q *queue) addPiece(p *piece) {
	q.mu.Lock()
	q.verify.push(p)
	q.mu.Unlock()
	q.more.Signal()
}

func (q *queue) addRuns(runs []run) {
	q.mu.Lock()
	for _, r := range runs {
		q.recheck.push(r)
	}
	q.mu.Unlock()
	q.more.Broadcast()
}

// dropRuns takes the runs of one content off the queue and returns how many they were.
func (q *queue) dropRuns(h *handle) (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for range q.recheck.len() {
		if r := q.recheck.pop(); r.h == h {
			n++
		} else {
			q.recheck.push(r)
		}
	}
	return n
}

// take waits for work: a batch of pieces of one content, appended to the given empty slice, or else a run. It reports
// false once the queue is closed.
func (q *queue) take(batch []*piece) ([]*piece, run, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.verify.len() == 0 && q.recheck.len() == 0 && !q.closed {
		q.more.Wait()
	}
	if q.closed {
		return nil, run{}, false
	}
	if q.verify.len() == 0 {
		return nil, q.recheck.pop(), true
	}
	share := min((q.verify.len()+q.workers-1)/q.workers, batchPieces)
	share = min((share+1)/2*2, q.verify.len()) // in twos: see Sum
	for bytes := 0; len(batch) < share; {
		p := q.verify.peek()
		bytes += p.length
		if len(batch) > 0 && p.h != batch[0].h || len(batch) > 1 && bytes > batchBytes {
			break
		}
		batch = append(batch, q.verify.pop())
	}
	return batch, run{}, true
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.more.Broadcast()
}

// fifo is a queue that reuses its memory.
type fifo[T any] struct {
	items []T
	head  int
}

func (f *fifo[T]) len() int { return len(f.items) - f.head }
func (f *fifo[T]) peek() T  { return f.items[f.head] }

func (f *fifo[T]) push(v T) {
	if f.head > len(f.items)/2 {
		n := copy(f.items, f.items[f.head:])
		clear(f.items[n:])
		f.items, f.head = f.items[:n], 0
	}
	f.items = append(f.items, v)
}

func (f *fifo[T]) pop() T {
	v := f.items[f.head]
	var zero T
	f.items[f.head] = zero
	f.head++
	return v
}
