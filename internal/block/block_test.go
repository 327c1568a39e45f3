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

func TestSpareBlocks(t *testing.T) {
	p := NewPool(70 * Size)
	var some [40]*Block
	if n := p.Spare(some[:]); n != 17 || some[16] == nil || some[17] != nil {
		t.Fatalf("%d of 70 blocks are spare, want 17", n)
	}
	if n := p.Spare(some[17:]); n != 0 {
		t.Fatalf("%d more are spare", n)
	}
	KeepAll(some[:10])
	if n := p.Spare(some[17:]); n != 10 {
		t.Fatalf("10 were kept and %d more are spare", n)
	}
	some[10].Release()
	ReleaseAll(some[11:27])
	if now, _, _ := p.Lent(); now != 10 || p.spare != 0 {
		t.Fatalf("%d are lent and %d of them spare, want 10 and 0", now, p.spare)
	}
	for range 57 {
		p.TryGet()
	}
	if n := p.Spare(some[10:]); n != 3 {
		t.Fatalf("%d of the last 3 blocks are spare", n)
	}
	if p.TryGet() != nil {
		t.Fatal("more are lent than the limit")
	}
	KeepAll(nil)
	ReleaseAll(nil)
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
				n := p.Spare(held[:])
				KeepAll(held[:n/2])
				ReleaseAll(held[:n])
			}
		})
	}
	wg.Wait()
	if now, peak, limit := p.Lent(); now != 0 || peak > limit || p.spare != 0 {
		t.Fatal(now, peak, limit, p.spare)
	}
}

func BenchmarkGetRelease(b *testing.B) {
	p := NewPool(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		p.Get(nil).Release()
	}
}
