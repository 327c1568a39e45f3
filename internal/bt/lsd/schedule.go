package lsd

import (
	"slices"
	"time"

	"shoal/internal/ident"
)

const (
	interval = 5 * time.Minute        // between the announces of a torrent (BEP 14)
	shortest = time.Minute            // between two of them, when there is need; and of all announces in the long run (BEP 14)
	burst    = 5                      // announces that may follow one another, for torrents that start
	gather   = 200 * time.Millisecond // that an announce waits for the names of other torrents
	scatter  = 2 * time.Second        // over which answers to an announce are spread, that a network of many does not answer at once
)

// schedule says when which names are announced. It is told the time.
type schedule struct {
	waiting map[ident.V1]bool
	order   []ident.V1 // in which their turn comes; those that were taken back are not in waiting, or twice in here if they came again
	next    time.Time  // not before, for those that gather
	credit  int        // announces that may be sent now
	earned  time.Time  // when the last credit came
}

// add has a name announced from a time on, or sooner with others.
func (s *schedule) add(name ident.V1, from time.Time) {
	if len(s.waiting) == 0 {
		s.waiting, s.order, s.next = map[ident.V1]bool{}, nil, from
	}
	if from.Before(s.next) {
		s.next = from
	}
	if s.waiting[name] {
		return
	}
	if s.waiting[name] = true; len(s.order) > 2*len(s.waiting)+maxNames { // many were taken back
		s.order = slices.DeleteFunc(s.order, func(name ident.V1) bool { return !s.waiting[name] })
	}
	s.order = append(s.order, name)
}

// remove takes a name back.
func (s *schedule) remove(name ident.V1) { delete(s.waiting, name) }

// at returns when the next announce is to be sent, if there is one.
func (s *schedule) at(now time.Time) (time.Time, bool) {
	if len(s.waiting) == 0 {
		return time.Time{}, false
	}
	s.earn(now)
	if again := s.earned.Add(shortest); s.credit == 0 && again.After(s.next) {
		return again, true
	}
	return s.next, true
}

// earn adds the credit of the time that has passed.
func (s *schedule) earn(now time.Time) {
	if s.earned.IsZero() {
		s.credit, s.earned = burst, now
	}
	n := int(now.Sub(s.earned) / shortest)
	s.credit = min(s.credit+n, burst)
	s.earned = s.earned.Add(time.Duration(n) * shortest)
}

// due returns up to n names for the announce that is to be sent now.
func (s *schedule) due(now time.Time, n int) (names []ident.V1) {
	if at, ok := s.at(now); !ok || at.After(now) {
		return nil
	}
	for _, name := range s.order {
		if len(names) == n {
			break
		}
		if s.waiting[name] && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// sent notes that names were announced, the first that were due.
func (s *schedule) sent(now time.Time, names []ident.V1) {
	if s.credit == burst {
		s.earned = now
	}
	s.credit--
	for _, name := range names {
		delete(s.waiting, name)
	}
	for len(s.order) > 0 && !s.waiting[s.order[0]] {
		s.order = s.order[1:]
	}
	s.next = now
}
