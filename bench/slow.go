//go:build linux

package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"shoal/internal/block"
	"shoal/internal/bt/wire"
)

// The leechers of row 15.
const (
	slowRate  = 1e6                    // bytes/s that each takes
	slowQueue = 32                     // blocks that each has asked for
	slowSlack = 500 * time.Millisecond // by which it may catch up after it was served late
)

// slowLeecher takes pieces at slowRate and forgets them. It follows the rules: it asks only for what it was shown, in an order of its own,
// and says what it has.
type slowLeecher struct {
	*stranger
	k       content
	rng     *rand.Rand
	choked  bool
	waiting []int32          // pieces shown and not asked for yet
	asked   map[request]bool // and not answered
	left    map[int32]int    // blocks to come of each piece that was begun
	next    request          // of the piece at hand
	active  bool             // whether there is a piece at hand
	again   []request        // rejected when we were choked
	out     []byte

	served *atomic.Int64 // how many leechers were ever unchoked
	got    atomic.Int64  // payload bytes
}

type request struct{ piece, begin, length uint32 }

func (l *slowLeecher) run() {
	l.choked, l.asked, l.left = true, map[request]bool{}, map[int32]int{}
	var m wire.Message
	first, due := true, time.Now()
	for l.dec.Next(&m) == nil {
		switch m.ID {
		case wire.Choke:
			l.choked = true
		case wire.Unchoke:
			if first {
				l.served.Add(1)
				first, due = false, time.Now()
			}
			l.choked = false
		case wire.HaveAll:
			for i := range l.k.pieces {
				l.waiting = append(l.waiting, int32(i))
			}
			l.rng.Shuffle(len(l.waiting), func(i, j int) { l.waiting[i], l.waiting[j] = l.waiting[j], l.waiting[i] })
		case wire.Have:
			l.waiting = append(l.waiting, int32(m.Piece))
		case wire.Reject:
			r := request{m.Piece, m.Begin, m.Length}
			delete(l.asked, r)
			l.again = append(l.again, r)
		case wire.Piece:
			due = l.take(&m, due)
		}
		if l.ask() != nil {
			return
		}
	}
}

// take counts a block and waits until its time has come, so that no more is read than the rate allows. It returns when the next is due.
func (l *slowLeecher) take(m *wire.Message, due time.Time) time.Time {
	m.Block.Release()
	m.Block = nil
	l.got.Add(int64(m.Length))
	delete(l.asked, request{m.Piece, m.Begin, m.Length})
	if n, ok := l.left[int32(m.Piece)]; ok && n == 1 {
		delete(l.left, int32(m.Piece))
		l.out = wire.AppendHave(l.out, m.Piece)
	} else if ok {
		l.left[int32(m.Piece)] = n - 1
	}
	time.Sleep(time.Until(due))
	if late := time.Now().Add(-slowSlack); due.Before(late) {
		due = late
	}
	return due.Add(time.Duration(float64(m.Length) / slowRate * 1e9))
}

// ask keeps slowQueue blocks asked for.
func (l *slowLeecher) ask() error {
	for !l.choked && len(l.asked) < slowQueue {
		r, ok := l.pick()
		if !ok {
			break
		}
		l.out = wire.AppendRequest(l.out, r.piece, r.begin, r.length)
		l.asked[r] = true
	}
	if len(l.out) == 0 {
		return nil
	}
	_, err := l.Write(l.out)
	l.out = l.out[:0]
	return err
}

// pick returns the next block to ask for, if there is one.
func (l *slowLeecher) pick() (request, bool) {
	if n := len(l.again); n > 0 {
		r := l.again[n-1]
		l.again = l.again[:n-1]
		return r, true
	}
	if !l.active {
		if len(l.waiting) == 0 {
			return request{}, false
		}
		piece := l.waiting[len(l.waiting)-1]
		l.waiting = l.waiting[:len(l.waiting)-1]
		l.next, l.active = request{piece: uint32(piece)}, true
		l.left[piece] = int((l.length(piece) + block.Size - 1) / block.Size)
	}
	r := l.next
	size := l.length(int32(r.piece))
	r.length = uint32(min(block.Size, size-int64(r.begin)))
	l.next.begin += r.length
	l.active = int64(l.next.begin) < size
	return r, true
}

// length is the number of bytes of a piece.
func (l *slowLeecher) length(piece int32) int64 {
	return min(l.k.piece, l.k.size-int64(piece)*l.k.piece)
}

// slow has many slow leechers on one seed, and measures how well each is served once all are.
func (b *bench) slow() error {
	c, _ := b.client("shoal")
	k := b.big
	seed, err := b.seeder(c, k, "--max-peers", strconv.Itoa(b.Slow+100))
	if err != nil {
		return err
	}
	defer seed.stop()
	ctx, cancel := context.WithCancel(context.Background())
	var w crowd
	defer w.wg.Wait()
	defer cancel()
	var served atomic.Int64
	all := make([]*slowLeecher, b.Slow)
	for i := range all {
		all[i] = &slowLeecher{k: k, rng: rand.New(rand.NewPCG(uint64(i), 1)), served: &served}
	}
	do := func(i int, s *stranger) {
		all[i].stranger = s
		all[i].run()
	}
	// The first comes alone, so that the seed sees that nobody shares, and shows everybody everything.
	if err := w.gather(ctx, 0, 1, seedAddr, k.swarm, do); err != nil {
		return err
	}
	time.Sleep(4 * time.Second)
	began := time.Now()
	if err := w.gather(ctx, 1, b.Slow-1, seedAddr, k.swarm, do); err != nil {
		return err
	}
	for end := time.Now().Add(2 * time.Minute); int(served.Load()) < b.Slow; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("only %d of %d leechers were served at all", served.Load(), b.Slow)
		}
	}
	ramp := time.Since(began).Seconds()
	time.Sleep(b.settle() / 2)
	v := watch(all, seed.measured(), b.window())
	v["ramp_s"] = ramp
	if n := int(w.here.Load()); n < b.Slow {
		return fmt.Errorf("only %d of %d leechers are still connected", n, b.Slow)
	}
	b.keep("slow", c.name, 0, v)
	return nil
}

// watch returns the shares of their rate that leechers get over a time.
func watch(all []*slowLeecher, seed *process, d time.Duration) values {
	before := make([]int64, len(all))
	for i, l := range all {
		before[i] = l.got.Load()
	}
	began := time.Now()
	busy := seed.busy(d)
	took := time.Since(began).Seconds()
	least, sum := math.Inf(1), 0.0
	for i, l := range all {
		share := float64(l.got.Load()-before[i]) / took / slowRate
		least, sum = min(least, share), sum+share
	}
	return values{"least_share": least, "mean_share": sum / float64(len(all)), "seed_cpu_share": busy}
}
