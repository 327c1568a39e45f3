package utp

import (
	"container/heap"
	"sync"
	"time"
)

// timers wakes connections at their times, with one timer for all.
type timers struct {
	mu    sync.Mutex
	queue timerQueue
	wake  chan struct{} // has room for one: the queue has a new first element
}

// timer is a connection's entry, of which it has one at most.
type timer struct {
	at   time.Duration
	conn *Conn
}

// timerQueue is a heap. Each connection knows its place in it, counted from 1.
type timerQueue []timer

func (q timerQueue) Len() int           { return len(q) }
func (q timerQueue) Less(i, j int) bool { return q[i].at < q[j].at }
func (q timerQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].conn.timer, q[j].conn.timer = i+1, j+1
}
func (q *timerQueue) Push(x any) {
	*q = append(*q, x.(timer))
	x.(timer).conn.timer = len(*q)
}
func (q *timerQueue) Pop() any {
	last := len(*q) - 1
	x := (*q)[last]
	x.conn.timer = 0
	(*q)[last] = timer{}
	*q = (*q)[:last]
	return x
}

// add wakes a connection at a time, or before if that was asked for already.
func (t *timers) add(at time.Duration, c *Conn) {
	t.mu.Lock()
	if i := c.timer - 1; i < 0 {
		heap.Push(&t.queue, timer{at, c})
	} else if at < t.queue[i].at {
		t.queue[i].at = at
		heap.Fix(&t.queue, i)
	}
	first := t.queue[0].at == at
	t.mu.Unlock()
	if first {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

// due removes and returns the first entry if its time has come, or else returns its time.
func (t *timers) due(now time.Duration) (timer, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case len(t.queue) == 0:
		return timer{at: never}, false
	case t.queue[0].at > now:
		return timer{at: t.queue[0].at}, false
	}
	return heap.Pop(&t.queue).(timer), true
}

// run wakes connections until the socket is closed.
func (s *Socket) run() {
	clock := time.NewTimer(time.Hour)
	defer clock.Stop()
	for {
		t, ok := s.timers.due(s.now())
		if ok {
			t.conn.expire(t.at)
			continue
		}
		wait := time.Hour
		if t.at != never {
			wait = t.at - s.now()
		}
		clock.Reset(wait)
		select {
		case <-clock.C:
		case <-s.timers.wake:
		case <-s.stop:
			return
		}
	}
}
