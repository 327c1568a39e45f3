package simnet

import (
	"container/heap"
	"time"
)

// schedule is what will happen, in order, guarded by the Net's lock.
type schedule struct {
	start  time.Time
	events events
	count  uint64
	timer  *time.Timer
	wake   time.Duration // when the timer fires, if it is set
	set    bool
}

type event struct {
	at    time.Duration // since start
	order uint64        // events of one instant happen in the order in which they were planned
	do    func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].order < e[j].order
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	(*e)[last] = event{}
	*e = (*e)[:last]
	return x
}

func (n *Net) now() time.Duration { return time.Since(n.queue.start) }

// after plans do. It is called, and do will be called, with the lock held.
func (n *Net) after(d time.Duration, do func()) {
	q := &n.queue
	q.count++
	heap.Push(&q.events, event{n.now() + max(d, 0), q.count, do})
}

// locker lets a sync.Cond wait for the Net's lock.
type locker struct{ *Net }

func (l locker) Lock()   { l.mu.Lock() }
func (l locker) Unlock() { l.unlock() }

// unlock does everything that is due, sets the timer for what is not, and gives up the lock. Whatever may have planned
// something ends with it.
func (n *Net) unlock() {
	q := &n.queue
	for len(q.events) > 0 && q.events[0].at <= n.now() {
		heap.Pop(&q.events).(event).do()
	}
	if len(q.events) > 0 && (!q.set || q.events[0].at < q.wake) {
		q.wake, q.set = q.events[0].at, true
		if q.timer == nil {
			q.timer = time.AfterFunc(q.wake-n.now(), n.tick)
		} else {
			q.timer.Reset(q.wake - n.now())
		}
	}
	n.mu.Unlock()
}

func (n *Net) tick() {
	n.mu.Lock()
	n.queue.set = false
	n.unlock()
}
