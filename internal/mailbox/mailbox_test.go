package mailbox

import (
	"sync"
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
