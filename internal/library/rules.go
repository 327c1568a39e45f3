package library

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"shoal/internal/bt/torrent"
)

const maxRules = 1000

// SeedRules returns the rules by which seeding ends.
func (l *Library) SeedRules() []SeedRule {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]SeedRule{}, l.rules...)
}

// SetSeedRules replaces them.
func (l *Library) SetSeedRules(rules []SeedRule) error {
	if len(rules) > maxRules {
		return Bad("%d rules are more than %d", len(rules), maxRules)
	}
	for i, r := range rules {
		switch {
		case r.Ratio < 0 || r.Time < 0 || r.MinSeeds < 0:
			return Bad("rule %d: ratio, time and seeds cannot be negative", i+1)
		case !slices.Contains(ends, Action(r.Then)):
			return Bad("rule %d: then is %q, not pause, remove or remove_data", i+1, r.Then)
		}
	}
	l.mu.Lock()
	l.rules = slices.Clone(rules)
	l.mu.Unlock()
	return l.saveValue("seed_rules", rules)
}

// ends are what may follow when a goal is reached.
var ends = []Action{Pause, Remove, RemoveData}

// Bad makes an error of what makes no sense.
func Bad(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrBad, fmt.Sprintf(format, args...))
}

// goal is when a torrent has been seeded enough.
type goal struct {
	ratio    float64 // 0: none
	time     int64   // seconds; 0: none
	minSeeds int
	then     Action
}

// goal returns a torrent's: its own, its category's, that of the first rule which matches, or that of the settings. It is called with mu held.
func (l *Library) goal(e *entry) goal {
	g := goal{ratio: l.set.SeedRatio, time: int64(l.set.SeedTime.Seconds()), then: l.set.SeedThen}
	if g.then == "" {
		g.then = Pause
	}
	for _, r := range l.rules {
		if r.matches(e) {
			g = goal{r.Ratio, r.Time, r.MinSeeds, Action(r.Then)}
			break
		}
	}
	c := l.categories[e.rec.Category]
	g.ratio = first(e.rec.SeedRatio, c.SeedRatio, g.ratio)
	g.time = first(e.rec.SeedTime, c.SeedTime, g.time)
	return g
}

// first returns the first goal that is not 0; one below 0 is none.
func first[T int64 | float64](goals ...T) T {
	for _, g := range goals {
		if g != 0 {
			return max(g, 0)
		}
	}
	return 0
}

func (r *SeedRule) matches(e *entry) bool {
	if r.Category != nil && *r.Category != e.rec.Category || r.Tag != nil && !slices.Contains(e.rec.Tags, *r.Tag) && (*r.Tag != "" || len(e.rec.Tags) > 0) {
		return false
	}
	if r.Tracker == "" {
		return true
	}
	for _, host := range hosts(e.rec.Trackers) {
		if host == lower(r.Tracker) || strings.HasSuffix(host, "."+lower(r.Tracker)) {
			return true
		}
	}
	return false
}

// applyRules ends the seeding of who has reached the goal.
func (l *Library) applyRules() {
	due := map[Action][]string{}
	for _, r := range l.reachedGoals() {
		if r.seeds < r.goal.minSeeds && seedsOf(r.t) < r.goal.minSeeds {
			continue
		}
		due[r.goal.then] = append(due[r.goal.then], r.id)
		l.log.Info("seeded enough", "torrent", r.name, "uploaded", r.uploaded, "size", r.size, "then", r.goal.then)
	}
	for then, ids := range due {
		ctx, cancel := context.WithTimeout(l.ctx, time.Minute)
		if err := l.Do(ctx, then, ids); err != nil && !errors.Is(err, ErrNotFound) {
			l.log.Warn("what follows seeding could not be done", "then", then, "error", err)
		}
		cancel()
	}
}

// seeded is a torrent that has reached its goal.
type seeded struct {
	id, name       string
	t              *torrent.Torrent
	goal           goal
	seeds          int // connected
	uploaded, size int64
}

// reachedGoals returns who has reached its ratio or time.
func (l *Library) reachedGoals() (list []seeded) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		if e.t == nil || e.busy != "" || e.gone || !e.rec.Complete || e.rec.Forced || e.rec.Paused || e.row.State != Seeding {
			continue
		}
		g := l.goal(e)
		if g.ratio > 0 && float64(e.rec.Uploaded) >= g.ratio*float64(max(e.rec.Size, 1)) || g.time > 0 && e.seedingTime() >= g.time {
			list = append(list, seeded{e.rec.ID, e.rec.name(), e.t, g, e.row.Seeds, e.rec.Uploaded, e.rec.Size})
		}
	}
	return list
}

// seedsOf returns how many seeds beside us the trackers count. It is called without mu.
func seedsOf(t *torrent.Torrent) int {
	n := 0
	for _, s := range t.Trackers() {
		n = max(n, s.Seeds-1)
	}
	return n
}
