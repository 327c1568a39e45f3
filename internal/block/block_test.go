package block

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestPoolBoundsAndWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPool(1)
		var pressed atomic.Int32
		p.OnPressure(func() { pressed.Add(1) })
		var held []*Block
		for range 64 {
			held = append(held, p.Get(nil))
		}
		if p.TryGet() != nil {
			t.Fatal("lent more than the limit")
		}
		if n := pressed.Load(); n != 32 {
			t.Fatalf("pressure told %d times, want 32", n)
		}
		got := make(chan *Block)
		go func() { got <- p.Get(nil) }()
		done := make(chan struct{})
		gaveUp := make(chan *Block)
		go func() { gaveUp <- p.Get(done) }()
		synctest.Wait()
		close(done)
		if b := <-gaveUp; b != nil {
			t.Fatal("a closed done lends nothing")
		}
		held[0].SetLen(3)
		held[0].Release()
		if b := <-got; b.Len() != Size {
			t.Fatalf("reused block has length %d", b.Len())
		} else {
			b.Release()
		}
		for _, b := range held[1:] {
			b.Release()
		}
		if now, peak, limit := p.Lent(); now != 0 || peak != 64 || limit != 64 {
			t.Fatal(now, peak, limit)
		}
	})
}

func TestPoolConcurrently(t *testing.T) {
	p := NewPool(1 << 20)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 2000 {
				var held [12]*Block
				for i := range held {
					held[i] = p.TryGet()
				}
				for _, b := range held {
					b.Release()
				}
			}
		})
	}
	wg.Wait()
	if now, peak, limit := p.Lent(); now != 0 || peak > limit {
		t.Fatal(now, peak, limit)
	}
}

func BenchmarkGetRelease(b *testing.B) {
	p := NewPool(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		p.Get(nil).Release()
	}
}
