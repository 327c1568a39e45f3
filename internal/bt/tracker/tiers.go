package tracker

import (
	"math/rand/v2"
	"slices"
	"time"
)

// maxPlaces bounds the trackers of one torrent.
const maxPlaces = 100

// tiers are a torrent's trackers in the order in which to ask them (BEP 12).
type tiers struct {
	lists       [][]*place
	allTrackers bool // announce to every tracker of a tier, not only to the first that works
	allTiers    bool // announce to every tier, not only to the first that works
}

// newTiers shuffles each tier, as BEP 12 wants, and leaves out trackers that came before.
func newTiers(urls [][]string, o Options) *tiers {
	t := &tiers{allTrackers: o.AllTrackers, allTiers: o.AllTiers}
	seen := make(map[string]bool)
	for _, list := range urls {
		var tier []*place
		for _, raw := range list {
			if !seen[raw] && len(seen) < maxPlaces {
				seen[raw] = true
				tier = append(tier, newPlace(raw, len(t.lists)))
			}
		}
		if len(tier) > 0 {
			rand.Shuffle(len(tier), func(i, j int) { tier[i], tier[j] = tier[j], tier[i] })
			t.lists = append(t.lists, tier)
		}
	}
	return t
}

// maxExchanged bounds the trackers that peers named.
const maxExchanged = 10

// add appends trackers that peers named as the last tier.
func (t *tiers) add(urls []string) {
	seen := map[string]bool{}
	named := 0
	t.each(func(p *place) {
		seen[p.status.URL] = true
		if p.hearsay {
			named++
		}
	})
	var tier []*place
	for _, raw := range urls {
		if !seen[raw] && len(seen) < maxPlaces && named < maxExchanged {
			seen[raw] = true
			named++
			p := newPlace(raw, len(t.lists))
			p.hearsay = true
			tier = append(tier, p)
		}
	}
	if len(tier) > 0 {
		t.lists = append(t.lists, tier)
	}
}

// insert appends trackers, each a tier of its own.
func (t *tiers) insert(urls []string) {
	seen := map[string]bool{}
	t.each(func(p *place) { seen[p.status.URL] = true })
	for _, raw := range urls {
		if !seen[raw] && len(seen) < maxPlaces {
			seen[raw] = true
			t.lists = append(t.lists, []*place{newPlace(raw, len(t.lists))})
		}
	}
}

// remove takes a tracker out and reports whether it was there.
func (t *tiers) remove(url string) bool {
	for i, list := range t.lists {
		at := slices.IndexFunc(list, func(p *place) bool { return p.status.URL == url })
		if at < 0 {
			continue
		}
		if t.lists[i] = slices.Delete(list, at, at+1); len(t.lists[i]) == 0 {
			t.lists = slices.Delete(t.lists, i, i+1)
		}
		return true
	}
	return false
}

// each calls visit for every tracker, in order.
func (t *tiers) each(visit func(*place)) {
	for _, tier := range t.lists {
		for _, p := range tier {
			visit(p)
		}
	}
}

// promote moves a tracker that works to the front of its tier (BEP 12).
func (t *tiers) promote(p *place) {
	tier := t.lists[p.tier]
	for i, other := range tier {
		if other == p {
			copy(tier[1:i+1], tier[:i])
			tier[0] = p
			return
		}
	}
}

// due returns the trackers to ask at now, and when to look again if nothing happens before (zero: never).
//
// BEP 12 lets the next tracker have its turn when the one before has failed. One that is silent for longer than
// patience counts as passed over, though its answer still is welcome.
func (t *tiers) due(now time.Time) (ask []*place, again time.Time) {
	sooner := func(at time.Time) {
		if again.IsZero() || at.Before(again) {
			again = at
		}
	}
	for _, tier := range t.lists {
		satisfied := false // by a tracker that works, or that may yet
		for _, p := range tier {
			if p.dead || satisfied && !t.allTrackers {
				continue
			}
			switch {
			case p.busy():
				if late := p.asked.Add(patience); !p.status.Working && !late.After(now) {
					continue
				} else if !p.status.Working {
					sooner(late)
				}
				satisfied = true
			case !p.next.After(now):
				ask = append(ask, p)
				sooner(now.Add(patience))
				satisfied = true
			default:
				sooner(p.next)
				satisfied = satisfied || p.status.Working
			}
		}
		if satisfied && !t.allTiers {
			break
		}
	}
	return ask, again
}
