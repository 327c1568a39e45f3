package swarm

import (
	"testing"
	"time"

	"shoal/internal/block"
	"shoal/internal/bt/picker"
	"shoal/internal/ident"
)

// pace makes a peer one that is known to send so many blocks a second.
func (x *script) pace(id ident.Peer, blocks float64) {
	q := &x.s.peer(id).pipe
	q.rate, q.rtt, q.target, q.delivered = blocks*block.Size, 50*time.Millisecond, 8, proven
}

// demand has somebody read pieces, one a second from now.
func (x *script) demand(pieces ...int32) {
	var due []picker.Deadline
	for i, p := range pieces {
		due = append(due, picker.Deadline{Piece: p, At: int64(x.now + time.Duration(i)*time.Second)})
	}
	x.s.SetDemand(x.now, due, nil)
	x.drain()
}

// pieces returns how many blocks of each piece effects of a kind were about, since the last look.
func (x *script) pieces(kind EffectKind, id ident.Peer) map[int32]int {
	m := map[int32]int{}
	for _, e := range x.take(kind, id) {
		m[e.Piece]++
	}
	return m
}

func (x *script) pause(on bool) { x.step(Event{Kind: Pause, OK: on}) }

func TestASlowPeerLeavesDeadlinesToQuickOnes(t *testing.T) {
	x := play(t, Config{}, 16, 4)
	x.pause(true)
	x.source(1, 2)
	x.pace(1, 0.5)
	x.pace(2, 100)
	x.demand(5, 6)
	x.pause(false)
	slow, quick := x.pieces(SendRequest, 1), x.pieces(SendRequest, 2)
	if slow[5]+slow[6] != 0 || len(slow) == 0 {
		t.Errorf("the slow peer was asked for %v", slow)
	}
	if quick[5] != 4 || quick[6] != 4 {
		t.Errorf("the quick peer was asked for %v", quick)
	}
}

func TestASlowPeerAloneIsAskedForDeadlines(t *testing.T) {
	x := play(t, Config{}, 16, 4)
	x.pause(true)
	x.source(1)
	x.pace(1, 0.5)
	x.demand(5)
	x.pause(false)
	if got := x.pieces(SendRequest, 1); got[5] != 4 {
		t.Errorf("asked for %v", got)
	}
}

func TestABlockThatWillBeLateIsAskedOfASecond(t *testing.T) {
	x := play(t, Config{}, 16, 4)
	x.pause(true)
	x.source(1)
	x.pace(1, 1)
	x.demand(5)
	x.pause(false)
	x.want(8, SendRequest, 1)
	x.source(2)
	x.pace(2, 100)
	x.take(SendRequest, 2)
	x.demand(5)
	if got := x.pieces(SendRequest, 2); got[5] != 4 {
		t.Fatalf("the quick peer was asked for %v", got)
	}
	x.send(2, 5, 0)
	if got := x.want(1, SendCancel, 1); got[0].Piece != 5 || got[0].Begin != 0 {
		t.Errorf("%+v", got)
	}
}

// What a peer will bring in time is asked of nobody else.
func TestNothingIsAskedTwiceThatComesInTime(t *testing.T) {
	x := play(t, Config{}, 16, 4)
	x.pause(true)
	x.source(1, 2)
	x.pace(1, 20)
	x.pace(2, 100)
	x.s.SetDemand(x.now, []picker.Deadline{{Piece: 5, At: int64(2 * time.Second)}}, nil)
	x.pause(false)
	if a, b := x.pieces(SendRequest, 1)[5], x.pieces(SendRequest, 2)[5]; a+b != 4 {
		t.Errorf("%d and %d blocks of 4 were asked for", a, b)
	}
}

func TestASeekTakesRequestsBack(t *testing.T) {
	x := play(t, Config{}, 64, 4)
	x.pause(true)
	x.source(1)
	x.pace(1, 40) // of which two are on their way
	x.demand(5, 6)
	x.pause(false)
	x.want(8, SendRequest, 1)
	x.demand(50, 51)
	if got := x.pieces(SendCancel, 1); got[5] != 1 || got[6] != 4 {
		t.Errorf("taken back: %v", got)
	}
	if got := x.pieces(SendRequest, 1); got[50] != 4 || got[51] != 1 {
		t.Errorf("asked for %v", got)
	}
	x.demand(50, 51, 52) // nothing is to be taken back for what is on its way
	x.want(0, SendCancel, 1)
}

func TestInterestLastsWhileSomebodyReads(t *testing.T) {
	x := play(t, Config{Transient: true}, 2, 1)
	x.s.SetPriorities(0, make([]picker.Priority, 2)) // nothing is wanted
	x.drain()
	x.source(1)
	x.want(0, SendInterested, 1)
	x.demand(0)
	x.want(1, SendInterested, 1)
	x.serve(good, 1)
	x.want(0, SendNotInterested, 1)
	x.want(0, Completed, 0)
	x.demand()
	x.want(1, SendNotInterested, 1)
}

// What was begun for a reader that went elsewhere takes no room.
func TestStraysAreDiscarded(t *testing.T) {
	x := play(t, Config{Transient: true}, 8, 4)
	x.s.SetPriorities(0, make([]picker.Priority, 8))
	x.source(1)
	x.demand(1)
	x.want(2, SendRequest, 1)
	x.send(1, 1, 0)
	x.demand(7)
	if got := x.want(1, Discard, 0); got[0].Piece != 1 {
		t.Errorf("%+v", got)
	}
	if got := x.pieces(SendCancel, 1); got[1] == 0 {
		t.Errorf("taken back: %v", got)
	}
}
