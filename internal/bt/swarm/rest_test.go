package swarm

import (
	"testing"

	"shoal/internal/bt/picker"
	"shoal/internal/storage"
)

// TestRest has a swarm rest between events: it must notice no difference.
func TestRest(t *testing.T) {
	x := play(t, Config{NoSuper: true}, 4, 2, upTo(3)...)
	x.s.Rest()
	if n, _ := x.s.Missing(); n != 1 || x.s.picker == nil {
		t.Fatal("what is missing was forgotten at rest")
	}
	x.step(Event{Kind: Stored, Arg: storage.Result{Piece: 3, Recheck: true, Good: true}})
	x.want(1, Completed, 0)
	x.s.Rest()
	if x.s.picker != nil || !x.s.Done() || !x.s.Complete() || x.s.Stats().Have != 4 {
		t.Fatalf("at rest: %+v", x.s.Stats())
	}
	if n, bytes := x.s.Missing(); n != 0 || bytes != 0 {
		t.Fatalf("at rest %d pieces are missing", n)
	}
	x.wait(3e9)
	x.s.Rest()
	x.step(Event{Kind: Joined, Peer: 1, Arg: &PeerInfo{Incoming: true, Fast: true}})
	x.want(1, SendHaveAll, 1)
	x.s.Rest() // not while there is somebody
	x.say(1, Interested)
	x.want(1, SendUnchoke, 1)
	x.step(Event{Kind: Left, Peer: 1})
	x.s.Rest()
	x.step(Event{Kind: Stored, Arg: storage.Result{Piece: 0, Recheck: true}})
	if n, _ := x.s.Missing(); n != 1 || x.s.Done() {
		t.Fatalf("a piece is gone, and %d are missing", n)
	}
	x.step(Event{Kind: Stored, Arg: storage.Result{Piece: 0, Recheck: true, Good: true}})
	x.s.Rest()
	x.s.SetDemand(x.now, []picker.Deadline{{Piece: 3, At: 5e9}}, nil)
	x.s.SetPriorities(0, []picker.Priority{picker.Skip, picker.Normal, picker.Low, picker.High})
	x.s.Rest()
	x.step(Event{Kind: Stored, Arg: storage.Result{Piece: 0, Recheck: true}})
	if n, _ := x.s.Missing(); n != 0 || !x.s.Done() {
		t.Fatalf("a piece that is not wanted is gone, and %d are missing", n)
	}
}
