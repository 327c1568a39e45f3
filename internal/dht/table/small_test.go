//go:build !race

// The race detector keeps memory of its own.

package table

import (
	"runtime"
	"testing"
	"time"
)

// Both tables of a node that idles, and all else that it has, take little memory.
func TestIdleNodeIsSmall(t *testing.T) {
	const n = 50
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	var all []*askedNode
	for range n {
		four, six := newAsked(t, Config{}), newAsked(t, Config{IPv6: true})
		Pair(four.Core, six.Core)
		four.populate(0)
		for range 600 {
			four.now += time.Second
			four.Tick(four.now, &four.out)
			four.out.Reset()
		}
		all = append(all, four, six)
	}
	size := (heap() - before) / n
	t.Logf("%d bytes with %d nodes in a table", size, all[0].table.Len())
	if size > 200<<10 {
		t.Errorf("%d bytes", size)
	}
	runtime.KeepAlive(all)
}
