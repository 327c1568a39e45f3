package mailbox

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func TestOrderAndNothingLost(t *testing.T) {
	const senders, each = 8, 5000
	b := New[[2]int](64)
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				b.Put([2]int{s, i})
			}
		})
	}
	var next [senders]int
	for n := 0; n < senders*each; {
		<-b.Wake()
		for _, v := range b.Take() {
			if v[1] != next[v[0]] {
				t.Fatalf("sender %d: got %d, want %d", v[0], v[1], next[v[0]])
			}
			next[v[0]]++
			n++
		}
	}
	wg.Wait()
}

func TestFullBoxHoldsPutNotPost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New[int](2)
		b.Put(1, 2, 3)
		b.Post(4)
		results := make(chan bool, 2)
		go func() { results <- b.Put(5) }()
		synctest.Wait()
		if len(results) != 0 {
			t.Fatal("Put did not wait")
		}
		if got := b.Take(); len(got) != 4 {
			t.Fatal(got)
		}
		if !<-results {
			t.Fatal("Put failed")
		}
		if got := b.Take(); len(got) != 1 || got[0] != 5 {
			t.Fatal(got)
		}
		b.Post(1, 2)
		go func() { results <- b.Put(6) }()
		synctest.Wait()
		b.Close()
		if <-results || b.Post(7) || len(b.Take()) != 2 {
			t.Fatal("a closed box takes nothing more and gives what it holds")
		}
	})
}

func BenchmarkPutTake(b *testing.B) {
	box := New[[8]uint64](1024)
	b.ReportAllocs()
	for b.Loop() {
		box.Put([8]uint64{})
		box.Take()
	}
}

// TestRestLosesNothing has senders race with a receiver that rests whenever it finds nothing.
func TestRestLosesNothing(t *testing.T) {
	const senders, each = 8, 2000
	b := New[int](16)
	var running atomic.Int32
	var rests int // of the receiver, as is got
	got, all := 0, make(chan struct{})
	var receive func()
	receive = func() {
		go func() {
			if running.Add(1) != 1 {
				t.Error("two receivers at once")
			}
			for got < senders*each {
				q := b.Take()
				got += len(q)
				if len(q) > 0 {
					continue
				}
				rests++
				running.Add(-1)
				if b.Rest(receive) {
					return
				}
				running.Add(1)
			}
			close(all)
		}()
	}
	if !b.Rest(receive) {
		t.Fatal("an empty box does not let its receiver rest")
	}
	for s := range senders {
		go func() {
			for i := range each {
				if s%2 == 0 {
					b.Put(i)
				} else {
					b.Post(i)
				}
			}
		}()
	}
	<-all
	if got != senders*each || rests == 0 {
		t.Fatalf("%d of %d values, %d rests", got, senders*each, rests)
	}
}

func TestRest(t *testing.T) {
	b := New[int](4)
	woken := 0
	wake := func() { woken++ }
	b.Post(1)
	if b.Rest(wake) {
		t.Fatal("rests with a value queued")
	}
	b.Take()
	if !b.Rest(wake) || woken != 0 {
		t.Fatal("does not rest, or wakes at once")
	}
	b.Post(2)
	b.Post(3)
	if woken != 1 || len(b.Take()) != 2 {
		t.Fatalf("woken %d times", woken)
	}
	if !b.Rest(wake) {
		t.Fatal("does not rest again")
	}
	b.Close()
	if b.Post(4) || woken != 1 {
		t.Fatal("a closed box wakes somebody")
	}
}
