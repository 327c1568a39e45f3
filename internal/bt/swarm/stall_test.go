package swarm

import (
	"net/netip"
	"testing"
	"time"

	"shoal/internal/bitfield"
	"shoal/internal/bt/choker"
	"shoal/internal/ident"
	"shoal/internal/layout"
	"shoal/internal/storage"
)

// A seed with a full queue rejects requests although it does not choke us (Transmission does). With nobody else to ask, the
// piece is asked of it again.
func TestRejectedWithoutChokeIsAskedAgain(t *testing.T) {
	lay := &layout.Layout{Files: []layout.File{{Path: "f", Length: blockSize}}, Size: blockSize, PieceLength: blockSize}
	s := New(Config{})
	s.Begin(0, lay, bitfield.New(1), bitfield.NewShared(1))
	s.Step(0, Event{Kind: Joined, Peer: 1, Arg: &PeerInfo{Addr: netip.MustParseAddrPort("10.0.0.1:1"), Fast: true}})
	s.Step(0, Event{Kind: HaveAll, Peer: 1})
	s.Step(0, Event{Kind: Unchoked, Peer: 1})
	requests := func(now time.Duration) (n int) {
		for _, e := range s.Drain(now) {
			if e.Kind == SendRequest {
				n++
			}
		}
		return n
	}
	if n := requests(0); n != 1 {
		t.Fatalf("%d requests at first, want 1", n)
	}
	s.Step(0, Event{Kind: Rejected, Peer: 1})
	if n := requests(0); n != 0 {
		t.Fatal("asked again at once")
	}
	s.Tick(refusal - 1)
	if n := requests(refusal - 1); n != 0 {
		t.Fatal("asked again too early")
	}
	s.Tick(refusal)
	if n := requests(refusal); n != 1 {
		t.Fatalf("%d requests after a while, want 1", n)
	}
}

// A leecher that has everything it was shown is no longer interested, and is choked for that. While the others hold the
// rest back it is shown more all the same.
func TestSuperSeedHelpsThoseWithoutInterest(t *testing.T) {
	x := play(t, Config{}, 4, 1, upTo(4)...)
	x.join(1)
	x.join(2)
	for range 3 {
		for _, e := range x.take(SendHave, 2) {
			x.step(Event{Kind: Have, Peer: 2, Piece: e.Piece})
		}
	}
	x.say(2, NotInterested)
	if n := len(x.take(SendHave, 2)); n != 0 {
		t.Fatalf("%d pieces that the other fetches were shown at once", n)
	}
	x.wait(choker.Interval + superPatience + time.Second)
	if len(x.take(SendHave, 2)) == 0 {
		t.Fatal("no help")
	}
}

// A seed hears what we have gained with the next ticks, a leecher at once.
func TestSeedsHearOfPiecesLater(t *testing.T) {
	const gained = maxNews + 8
	x := play(t, Config{}, 2*gained, 1)
	x.source(1)
	x.join(2)
	for i := range gained {
		x.step(Event{Kind: Stored, Arg: storage.Result{Piece: i, Recheck: true, Good: true}})
	}
	x.want(0, SendHave, 1)
	x.want(gained, SendHave, 2)
	x.wait(time.Second)
	x.want(maxNews, SendHave, 1)
	x.step(Event{Kind: Stored, Arg: storage.Result{Piece: gained - 1, Recheck: true}}) // lost again before it was told
	x.wait(time.Second)
	x.want(gained-maxNews-1, SendHave, 1)
}

// Pieces that only choked peers were shown go to those that are served, once nothing else is left.
func TestSuperSeedShowsPiecesOfTheChokedToOthers(t *testing.T) {
	x := play(t, Config{Slots: 1}, 4, 1, upTo(4)...)
	x.join(1)
	x.say(1, Interested)
	x.join(2)
	hostage := x.want(superChoked, SendHave, 2)[0].Piece
	x.say(2, Interested)
	x.want(0, SendUnchoke, 2)
	for range 3 {
		for _, e := range x.take(SendHave, 1) {
			x.step(Event{Kind: Have, Peer: 1, Piece: e.Piece})
		}
	}
	x.wait(time.Second)
	if e := x.want(1, SendHave, 1); e[0].Piece != hostage {
		t.Errorf("piece %d, not %d", e[0].Piece, hostage)
	}
}

func TestSuperSeedEndsWhenAllIsOut(t *testing.T) {
	x := play(t, Config{}, 2, 1, upTo(2)...)
	x.join(1)
	x.join(2)
	for id := ident.Peer(1); id <= 2; id++ {
		for _, e := range x.want(1, SendHave, id) {
			x.step(Event{Kind: Have, Peer: id, Piece: e.Piece})
		}
	}
	x.wait(superOut - time.Second)
	if !x.s.Hiding() {
		t.Error("ended early")
	}
	x.wait(2 * time.Second)
	if x.s.Hiding() {
		t.Error("did not end")
	}
}
