// Package choker decides which peers may fetch from us: while we download, those that give most (BEP 3; Cohen 2003,
// §2.4), while we seed, by turns, and always one by chance.
package choker

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"shoal/internal/ident"
)

// View is what the choker knows of one interested peer.
type View struct {
	Peer       ident.Peer
	Unchoked   bool
	Since      time.Duration // when it was last choked or unchoked, on the caller's clock
	Down, Up   float64       // bytes/s from it and to it, over the last seconds
	Snubbed    bool          // it owes us blocks and sends none
	Optimistic bool          // it holds the optimistic slot
	Joined     time.Duration // when it connected
}

// Timing of BEP 3: decisions every 10 s, the optimistic slot moves every third time.
const (
	Interval   = 10 * time.Second
	Optimistic = 30 * time.Second
)

// turnTime is for how long a peer has its slot while we seed and others wait. One that takes less than idleRate, in bytes/s, gives
// way at the next round.
const (
	turnTime = time.Minute
	idleRate = 256
)

// Choose returns the peers to leave or make unchoked: at most slots of them, of which one, when there are at least two
// slots, is held by chance by a peer that did not earn it. It is the last returned, and optimistic tells who it is (0: nobody).
func Choose(views []View, slots int, seeding bool, now time.Duration, rng *rand.Rand) (unchoked []ident.Peer, optimistic ident.Peer) {
	if len(views) <= slots {
		for i := range views {
			unchoked = append(unchoked, views[i].Peer)
		}
		return unchoked, 0
	}
	order := slices.Clone(views)
	rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	if seeding {
		slices.SortStableFunc(order, func(a, b View) int { return bySeeding(&a, &b, now) })
	} else {
		slices.SortStableFunc(order, byGiving)
	}
	earned := max(slots-1, 1)
	for i := range order[:earned] {
		unchoked = append(unchoked, order[i].Peer)
	}
	if slots < 2 {
		return unchoked, 0
	}
	optimistic = chance(order[earned:], now, rng)
	return append(unchoked, optimistic), optimistic
}

// byGiving puts those first that give us most.
func byGiving(a, b View) int {
	if a.Snubbed != b.Snubbed {
		if a.Snubbed {
			return 1
		}
		return -1
	}
	return cmp.Compare(b.Down, a.Down)
}

// bySeeding keeps a peer until it had its turn, then lets those go first that have waited longest.
func bySeeding(a, b *View, now time.Duration) int {
	class := func(v *View) int {
		switch {
		case !v.Unchoked:
			return 1
		case now-v.Since >= Interval && v.Up < idleRate:
			return 3
		case now-v.Since >= turnTime:
			return 2
		}
		return 0
	}
	if c := cmp.Compare(class(a), class(b)); c != 0 {
		return c
	}
	if !a.Unchoked {
		return cmp.Compare(a.Since, b.Since)
	}
	return cmp.Compare(b.Up, a.Up)
}

// chance keeps the holder of the optimistic slot for its time, then draws another. Peers that joined in the last minute
// are three times as likely (BEP 3).
func chance(rest []View, now time.Duration, rng *rand.Rand) ident.Peer {
	var lots []ident.Peer
	for i := range rest {
		v := &rest[i]
		if v.Optimistic && v.Unchoked && now-v.Since < Optimistic {
			return v.Peer
		}
		n := 1
		if now-v.Joined < time.Minute {
			n = 3
		}
		if v.Optimistic {
			n = 0 // it had its chance
		}
		for range n {
			lots = append(lots, v.Peer)
		}
	}
	if len(lots) == 0 {
		return rest[0].Peer
	}
	return lots[rng.IntN(len(lots))]
}
