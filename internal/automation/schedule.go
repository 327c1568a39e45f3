package automation

import (
	"slices"
	"time"

	"shoal/internal/library"
)

// Schedule is hours of the week at which something else holds. Times are of the machine's time zone; one that ends before it begins goes on past
// midnight.
type Schedule struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Days     []int  `json:"days"` // on which it begins: 0 is Sunday; none: every day
	From     string `json:"from"` // HH:MM
	To       string `json:"to"`   // HH:MM
	What     string `json:"what"` // alternative: the alternative limits; pause: nothing but what is forced is at work
	Disabled bool   `json:"disabled"`
}

// What a schedule does.
const (
	Alternative = "alternative"
	Suspend     = "pause"
)

func (s *Schedule) check() error {
	if _, err := minutes(s.From); err != nil {
		return err
	}
	if _, err := minutes(s.To); err != nil {
		return err
	}
	if len(s.Days) > 7 || slices.ContainsFunc(s.Days, func(d int) bool { return d < 0 || d > 6 }) {
		return library.Bad("days are numbers from 0, Sunday, to 6")
	}
	if s.What != Alternative && s.What != Suspend {
		return library.Bad("what is %.40q: it is alternative or pause", s.What)
	}
	return nil
}

// minutes returns the minutes of a day until HH:MM.
func minutes(text string) (int, error) {
	t, err := time.Parse("15:04", text)
	if err != nil {
		return 0, library.Bad("the time %.20q is not HH:MM", text)
	}
	return t.Hour()*60 + t.Minute(), nil
}

// holds reports whether a time is within the hours.
func (s *Schedule) holds(now time.Time) bool {
	from, err1 := minutes(s.From)
	to, err2 := minutes(s.To)
	if err1 != nil || err2 != nil || s.Disabled {
		return false
	}
	at, day := now.Hour()*60+now.Minute(), int(now.Weekday())
	on := func(day int) bool { return len(s.Days) == 0 || slices.Contains(s.Days, (day+7)%7) }
	if from < to {
		return at >= from && at < to && on(day)
	}
	return at >= from && on(day) || at < to && on(day-1)
}

// hours is what holds now.
type hours struct{ alternative, suspended, known bool }

// keepHours tells when what holds has changed.
func (a *Automation) keepHours(now time.Time) {
	h := hours{known: true}
	a.mu.Lock()
	for _, s := range a.schedules {
		if s.holds(now) {
			h.alternative = h.alternative || s.What == Alternative
			h.suspended = h.suspended || s.What == Suspend
		}
	}
	changed := h != a.hours && (a.hours.known || h.alternative || h.suspended)
	a.hours = h
	a.mu.Unlock()
	if changed {
		a.cfg.Log.Info("the schedule has changed what holds", "alternative_limits", h.alternative, "paused", h.suspended)
		a.cfg.Hours(h.alternative, h.suspended)
	}
}
