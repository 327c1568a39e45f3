package torrent

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestGateAdmitsInOrder(t *testing.T) {
	g := NewGate(2, nil)
	var in []int
	enter := func(i int, stays bool) {
		g.Enter(func() bool { in = append(in, i); return stays })
	}
	enter(0, true)
	enter(1, false) // makes room at once
	enter(2, true)
	enter(3, false)
	enter(4, false)
	enter(5, true)
	enter(6, true)
	if !slices.Equal(in, []int{0, 1, 2}) {
		t.Fatalf("admitted %v", in)
	}
	g.Leave()
	if !slices.Equal(in, []int{0, 1, 2, 3, 4, 5}) {
		t.Fatalf("then admitted %v", in)
	}
	for range 3 {
		g.Leave()
	}
	enter(7, true)
	if in[6] != 6 || in[7] != 7 || g.free != 1 {
		t.Fatalf("in the end %v, %d free", in, g.free)
	}
}

func TestGateWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(1, nil)
		if !g.Wait(t.Context()) {
			t.Fatal("not admitted")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if g.Wait(ctx) {
			t.Fatal("two admitted")
		}
		g.Leave() // passes over the one that gave up
		var inside, most atomic.Int32
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				g.Wait(t.Context())
				most.Store(max(most.Load(), inside.Add(1)))
				time.Sleep(time.Second)
				inside.Add(-1)
				g.Leave()
			})
		}
		wg.Wait()
		if most.Load() != 1 || g.free != 1 {
			t.Fatalf("%d at once, %d free at the end", most.Load(), g.free)
		}
	})
}

func TestGateTellsWhenACrowdIsThrough(t *testing.T) {
	told := 0
	g := NewGate(1, func() { told++ })
	through := func(n int) {
		for range n {
			g.Enter(func() bool { return true })
		}
		for range n {
			g.Leave()
		}
	}
	through(crowd)
	if told != 0 {
		t.Error("too few are a crowd")
	}
	through(crowd + 1)
	through(2)
	if told != 1 {
		t.Errorf("told %d times", told)
	}
}

func TestLatch(t *testing.T) {
	var l latch
	early := l.done()
	if l.isSet() {
		t.Fatal("set from the start")
	}
	l.set()
	l.set()
	<-early
	<-l.done()
	if !l.isSet() || l.c != nil {
		t.Fatal("not set, or keeps a channel")
	}
}
