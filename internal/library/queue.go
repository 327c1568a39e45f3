package library

import (
	"cmp"
	"slices"
	"time"
)

// chosen returns who should be at work, by entry: whoever is not paused and has a place. It is called with mu held.
func (l *Library) chosen(now time.Time) []bool {
	work := make([]bool, len(l.entries))
	downs, seeds := 0, 0
	for i, e := range l.entries {
		switch {
		case e.gone || l.closed:
		case e.inUse(now):
			work[i] = true
		case e.rec.Paused:
		case e.rec.Forced:
			work[i] = true
		case l.set.Suspended:
		case e.stalled(now):
			work[i] = true
		case e.rec.Complete:
			if work[i] = under(seeds, l.set.ActiveSeeds) && under(downs+seeds, l.set.Active); work[i] {
				seeds++
			}
		default:
			if work[i] = under(downs, l.set.ActiveDownloads) && under(downs+seeds, l.set.Active); work[i] {
				downs++
			}
		}
	}
	return work
}

func under(n, limit int) bool { return limit == 0 || n < limit }

// stalled reports whether a torrent at work moves hardly anything, and so takes no place from others.
func (e *entry) stalled(now time.Time) bool {
	return e.t != nil && !e.slowAt.IsZero() && now.Sub(e.slowAt) > slowAfter
}

// move gives torrents another place in the queue: Top, Up, Down or Bottom. It is called with mu held, and returns what is to be saved.
func (l *Library) move(chosen []*entry, where Action) []saved {
	if len(chosen) == 0 {
		return nil
	}
	is := map[*entry]bool{}
	for _, e := range chosen {
		is[e] = true
	}
	group := slices.Clone(chosen)
	slices.SortFunc(group, byPlace)
	changed := group
	switch n := int64(len(group)); where {
	case Top:
		first := l.entries[0].place
		for i, e := range group {
			e.place = first - n + int64(i)
		}
	case Bottom:
		last := l.entries[len(l.entries)-1].place
		for i, e := range group {
			e.place = last + 1 + int64(i)
		}
	case Up:
		changed = l.step(is)
	case Down:
		slices.Reverse(l.entries)
		changed = l.step(is)
	}
	slices.SortFunc(l.entries, byPlace)
	l.revision++
	for i, e := range l.entries {
		if e.row.Queue != i+1 {
			e.row.Queue, e.revision = i+1, l.revision
		}
	}
	return encode(changed...)
}

func byPlace(a, b *entry) int { return cmp.Compare(a.place, b.place) }

// step swaps each of a group with its neighbour before it, unless that is of the group, and returns all whose place changed.
func (l *Library) step(is map[*entry]bool) (changed []*entry) {
	for i := 1; i < len(l.entries); i++ {
		a, b := l.entries[i-1], l.entries[i]
		if is[b] && !is[a] {
			a.place, b.place = b.place, a.place
			l.entries[i-1], l.entries[i] = b, a
			changed = append(changed, a, b)
		}
	}
	return changed
}
