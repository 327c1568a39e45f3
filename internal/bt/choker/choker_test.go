package choker

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"shoal/internal/ident"
)

func choose(t *testing.T, views []View, slots int, seeding bool, now time.Duration) ([]ident.Peer, ident.Peer) {
	t.Helper()
	got, opt := Choose(views, slots, seeding, now, rand.New(rand.NewPCG(1, 2)))
	if len(got) > slots {
		t.Fatalf("%d unchoked, %d slots", len(got), slots)
	}
	seen := map[ident.Peer]bool{}
	for _, p := range got {
		if seen[p] {
			t.Fatalf("peer %d twice in %v", p, got)
		}
		seen[p] = true
	}
	return got, opt
}

func TestGiversFirst(t *testing.T) {
	var views []View
	for i := range 20 {
		views = append(views, View{Peer: ident.Peer(i + 1), Down: float64(i)})
	}
	views[19].Snubbed = true
	got, opt := choose(t, views, 5, false, time.Hour)
	for _, want := range []ident.Peer{19, 18, 17, 16} {
		if !slices.Contains(got, want) {
			t.Errorf("%v lacks %d", got, want)
		}
	}
	if opt == 0 || !slices.Contains(got, opt) || slices.Contains([]ident.Peer{19, 18, 17, 16}, opt) {
		t.Errorf("optimistic slot went to %d", opt)
	}
}

func TestOptimisticSlotStaysThenMoves(t *testing.T) {
	views := []View{{Peer: 1, Down: 9}, {Peer: 2, Unchoked: true, Optimistic: true, Since: time.Hour}, {Peer: 3}, {Peer: 4}}
	if _, opt := choose(t, views, 2, false, time.Hour+29*time.Second); opt != 2 {
		t.Errorf("moved early to %d", opt)
	}
	if _, opt := choose(t, views, 2, false, time.Hour+30*time.Second); opt == 2 {
		t.Error("did not move")
	}
}

func TestSeedingTakesTurns(t *testing.T) {
	now := 10 * time.Minute
	views := []View{
		{Peer: 1, Unchoked: true, Since: now - turnTime, Up: 100 << 10},  // had its turn
		{Peer: 2, Unchoked: true, Since: now - 50*time.Second, Up: 1000}, // has it
		{Peer: 3, Since: time.Minute},                                    // waits longest
		{Peer: 4, Since: 2 * time.Minute},
		{Peer: 5, Since: 3 * time.Minute},
	}
	got, _ := choose(t, views, 3, true, now)
	if !slices.Contains(got, 2) || !slices.Contains(got, 3) {
		t.Error(got)
	}
	if got, opt := choose(t, views, 8, true, now); len(got) != 5 || opt != 0 {
		t.Error("with room for all, all are unchoked", got)
	}
}
