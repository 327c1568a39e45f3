package rate

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// flow lets n goroutines pass bytes of the given size through l until done is closed, and counts them per goroutine.
func flow(wg *sync.WaitGroup, l *Limiter, done <-chan struct{}, n, size int) []atomic.Int64 {
	passed := make([]atomic.Int64, n)
	for i := range n {
		wg.Go(func() {
			for l.Wait(done, size) {
				passed[i].Add(int64(size))
			}
		})
	}
	return passed
}

func sum(counts []atomic.Int64) (total int64) {
	for i := range counts {
		total += counts[i].Load()
	}
	return total
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance*want {
		t.Errorf("%s: got %.0f, want %.0f ± %.0f %%", what, got, want, 100*tolerance)
	}
}

// during runs f in a bubble and closes done after d.
func during(t *testing.T, d time.Duration, f func(wg *sync.WaitGroup, done <-chan struct{})) {
	synctest.Test(t, func(t *testing.T) {
		var wg sync.WaitGroup
		done := make(chan struct{})
		f(&wg, done)
		time.Sleep(d)
		close(done)
		wg.Wait()
	})
}

func TestAccuracy(t *testing.T) {
	for _, c := range []struct {
		waiters, size int
		rate          int64
	}{
		{1, 16 << 10, 1 << 20}, {2, 16 << 10, 1 << 20}, {500, 16 << 10, 100 << 20},
		{1, 1500, 50_000}, {2, 17, 10_000}, {500, 100, 1 << 20}, {1, 1 << 20, 8 << 20}, {3, 40_000, 4 << 20},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			var passed []atomic.Int64
			during(t, 5*time.Second, func(wg *sync.WaitGroup, done <-chan struct{}) {
				passed = flow(wg, New(c.rate, nil), done, c.waiters, c.size)
			})
			near(t, "bytes in 5 s", float64(sum(passed)), float64(5*c.rate), 0.05)
		})
	}
}

func TestIdleTimeIsNotSavedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(1<<20, nil)
		time.Sleep(time.Hour)
		if got, most := l.Take(math.MaxInt32), 1<<20/4; got > most || got < quantum {
			t.Errorf("after an hour %d bytes pass at once, want %d … %d", got, quantum, most)
		}
		if got := l.Take(1 << 20); got != 0 {
			t.Errorf("then %d more", got)
		}
	})
}

func TestWaitersShareAlike(t *testing.T) {
	var small, large []atomic.Int64
	during(t, 10*time.Second, func(wg *sync.WaitGroup, done <-chan struct{}) {
		l := New(10<<20, nil)
		small = flow(wg, l, done, 10, quantum)
		large = flow(wg, l, done, 1, 32*quantum)
	})
	for i := range small {
		near(t, "waiter of one block", float64(small[i].Load()), 100<<20/11, 0.05)
	}
	near(t, "waiter of 32 blocks", float64(large[0].Load()), 100<<20/11, 0.10)
}

func TestChildrenShareTheParent(t *testing.T) {
	const second = 5
	for _, c := range []struct {
		name            string
		parent, a, b    int64
		waitersA, wantA float64
		waitersB, wantB float64
	}{
		{"alike", 1 << 20, 0, 0, 4, 1 << 19, 4, 1 << 19},
		{"one is limited", 1 << 20, 1 << 17, 0, 2, 1 << 17, 2, 1<<20 - 1<<17},
		{"the parent is wide", 100 << 20, 1 << 18, 1 << 20, 1, 1 << 18, 3, 1 << 20},
		{"the parent has no limit", 0, 1 << 18, 1 << 19, 2, 1 << 18, 2, 1 << 19},
	} {
		t.Run(c.name, func(t *testing.T) {
			var a, b []atomic.Int64
			during(t, second*time.Second, func(wg *sync.WaitGroup, done <-chan struct{}) {
				parent := New(c.parent, nil)
				a = flow(wg, New(c.a, parent), done, int(c.waitersA), 4<<10)
				b = flow(wg, New(c.b, parent), done, int(c.waitersB), 4<<10)
			})
			near(t, "a", float64(sum(a)), second*c.wantA, 0.05)
			near(t, "b", float64(sum(b)), second*c.wantB, 0.05)
		})
	}
}

func TestSetRateReachesThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(1, nil) // a block would take hours
		var wg sync.WaitGroup
		begin := time.Now()
		for range 10 {
			wg.Go(func() {
				if !l.Wait(nil, quantum) {
					t.Error("Wait was false")
				}
			})
		}
		time.Sleep(time.Second)
		l.SetRate(10 * quantum)
		time.Sleep(500 * time.Millisecond)
		l.SetRate(0)
		wg.Wait()
		if d := time.Since(begin); d != 1500*time.Millisecond {
			t.Errorf("the last waiter passed after %v", d)
		}
		if !l.Unlimited() || l.Take(1<<30) != 1<<30 {
			t.Error("a limiter without a limit holds back")
		}
	})
}

func TestDoneEndsWaitAndGivesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent := New(1, nil)
		child := New(1<<20, parent)
		done := make(chan struct{})
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if child.Wait(done, quantum) {
					t.Error("Wait was true")
				}
			})
		}
		time.Sleep(time.Second)
		close(done)
		wg.Wait()
		parent.SetRate(0)
		if got := child.Take(3 * quantum); got != 3*quantum {
			t.Errorf("%d bytes of the child are left, want %d", got, 3*quantum)
		}
		if len(parent.queue)+len(child.queue) != 0 {
			t.Error("a waiter is still queued")
		}
	})
}

func TestTheNextWaiterMovesUpWhenTheFirstLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(quantum, nil)
		leave := make(chan struct{})
		go l.Wait(leave, quantum)
		synctest.Wait()
		begin := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() { l.Wait(nil, quantum/2) })
		synctest.Wait()
		close(leave)
		wg.Wait()
		if d := time.Since(begin); d != 500*time.Millisecond {
			t.Errorf("the second waiter passed after %v, want 500ms", d)
		}
	})
}

func TestTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent := New(10_000, nil)
		child := New(1<<20, parent)
		time.Sleep(100 * time.Millisecond)
		if got := child.Take(1 << 20); got != 1000 {
			t.Errorf("Take gave %d, want the parent's 1000", got)
		}
		if got, want := child.Take(0)+child.Take(5), 0; got != want {
			t.Errorf("an empty parent gave %d", got)
		}
		parent.SetRate(0)
		if got := child.Take(1 << 20); got != 1<<20/10-1000 {
			t.Errorf("the child has %d left, want %d", got, 1<<20/10-1000)
		}
		go child.Wait(nil, 10)
		synctest.Wait()
		time.Sleep(time.Microsecond)
		if got := child.Take(1); got != 0 {
			t.Errorf("Take overtook a waiter: %d", got)
		}
		time.Sleep(time.Second)
	})
}

func TestUnlimited(t *testing.T) {
	parent := New(0, nil)
	child := New(-5, parent)
	if !child.Unlimited() || !child.Wait(nil, 1<<40) || child.Rate() != 0 {
		t.Error("no limit holds back")
	}
	parent.SetRate(1)
	if child.Unlimited() {
		t.Error("the parent's limit does not count")
	}
	closed := make(chan struct{})
	close(closed)
	if child.Wait(closed, 1) {
		t.Error("Wait was true though done is closed")
	}
}

func BenchmarkUnlimited(b *testing.B) {
	l := New(0, New(0, nil))
	for b.Loop() {
		l.Wait(nil, quantum)
	}
}

func BenchmarkLimited(b *testing.B) {
	l := New(1<<50, New(1<<50, nil))
	for b.Loop() {
		l.Wait(nil, quantum)
	}
}
