package library

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"shoal/internal/natural"
)

// maxViews bounds the orders of rows that are kept between lists.
const maxViews = 16

// view is the order in which a query has the rows. The next time it is put right from there, which is quick.
type view struct {
	key      string
	revision uint64
	rows     []*entry
}

// Query.State may also be one of these.
const (
	isActive     State = "active"
	isComplete   State = "complete"
	isIncomplete State = "incomplete"
)

// orders are how rows can be sorted: by the json names of Torrent's fields.
var orders = map[string]func(a, b *Torrent) int{
	"added":        by(func(t *Torrent) int64 { return t.Added }),
	"name":         func(a, b *Torrent) int { return natural.Compare(a.Name, b.Name) },
	"state":        by(func(t *Torrent) int { return slices.Index(States, t.State) }),
	"size":         by(func(t *Torrent) int64 { return t.Size }),
	"total_size":   by(func(t *Torrent) int64 { return t.TotalSize }),
	"done":         by(func(t *Torrent) int64 { return t.Done }),
	"progress":     by(func(t *Torrent) float64 { return t.Progress }),
	"down_rate":    by(func(t *Torrent) int64 { return t.DownRate }),
	"up_rate":      by(func(t *Torrent) int64 { return t.UpRate }),
	"downloaded":   by(func(t *Torrent) int64 { return t.Downloaded }),
	"uploaded":     by(func(t *Torrent) int64 { return t.Uploaded }),
	"ratio":        by(func(t *Torrent) float64 { return t.Ratio }),
	"eta":          by(func(t *Torrent) uint64 { return uint64(t.ETA) }), // unknown comes last
	"peers":        by(func(t *Torrent) int { return t.Peers }),
	"seeds":        by(func(t *Torrent) int { return t.Seeds }),
	"category":     by(func(t *Torrent) string { return t.Category }),
	"tracker":      by(func(t *Torrent) string { return t.Tracker }),
	"completed":    by(func(t *Torrent) int64 { return t.Completed }),
	"last_active":  by(func(t *Torrent) int64 { return t.LastActive }),
	"seeding_time": by(func(t *Torrent) int64 { return t.SeedingTime }),
	"active_time":  by(func(t *Torrent) int64 { return t.ActiveTime }),
	"queue":        by(func(t *Torrent) int { return t.Queue }),
	"availability": by(func(t *Torrent) float64 { return t.Availability }),
}

func by[T cmp.Ordered](of func(*Torrent) T) func(a, b *Torrent) int {
	return func(a, b *Torrent) int { return cmp.Compare(of(a), of(b)) }
}

// List returns the rows that a query chooses. The error wraps ErrBad.
func (l *Library) List(q Query) (Page, error) {
	if q.Sort == "" {
		q.Sort = "added"
	}
	order := orders[q.Sort]
	if order == nil {
		return Page{}, Bad("rows cannot be sorted by %q", q.Sort)
	}
	if q.Offset < 0 || q.Limit < 0 {
		return Page{}, Bad("offset and limit cannot be negative")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	rows := l.view(&q, order)
	page := Page{Revision: l.revision, Total: len(rows), Counts: l.count()}
	rows = rows[min(q.Offset, len(rows)):]
	if q.Limit > 0 {
		rows = rows[:min(q.Limit, len(rows))]
	}
	page.Torrents = make([]Torrent, len(rows))
	for i, e := range rows {
		page.Torrents[i] = e.row
	}
	return page, nil
}

// view returns the rows of a query in order. It is called with mu held.
func (l *Library) view(q *Query, order func(a, b *Torrent) int) []*entry {
	key := q.key()
	at := slices.IndexFunc(l.views, func(v *view) bool { return v.key == key })
	var v *view
	if at >= 0 {
		v = l.views[at]
		l.views = slices.Delete(l.views, at, at+1)
	} else {
		v = &view{key: key}
	}
	l.views = append(l.views, v)
	if len(l.views) > maxViews {
		l.views = slices.Delete(l.views, 0, 1)
	}
	if v.revision == l.revision && v.rows != nil {
		return v.rows
	}
	match := q.matcher()
	was := make(map[*entry]bool, len(v.rows))
	rows := v.rows[:0:0]
	for _, e := range v.rows {
		if !e.gone && match(e) {
			rows = append(rows, e)
			was[e] = true
		}
	}
	for _, e := range l.entries {
		if !was[e] && !e.gone && match(e) {
			rows = append(rows, e)
		}
	}
	compare := func(a, b *entry) int { return cmp.Or(order(&a.row, &b.row), cmp.Compare(a.rec.ID, b.rec.ID)) }
	if q.Desc {
		up := compare
		compare = func(a, b *entry) int { return up(b, a) }
	}
	slices.SortFunc(rows, compare)
	v.rows, v.revision = rows, l.revision
	return rows
}

// key tells queries apart that choose other rows or another order.
func (q *Query) key() string {
	text := func(s *string) string {
		if s == nil {
			return "*"
		}
		return "=" + *s
	}
	return fmt.Sprintf("%q %q %q %q %q %s %v", q.Text, q.State, text(q.Category), text(q.Tag), text(q.Tracker), q.Sort, q.Desc)
}

// matcher returns what decides whether a row is chosen.
func (q *Query) matcher() func(*entry) bool {
	words := strings.Fields(lower(q.Text))
	return func(e *entry) bool {
		t := &e.row
		if len(q.State) > 0 && !slices.ContainsFunc(q.State, t.is) || q.Category != nil && t.Category != *q.Category ||
			q.Tracker != nil && t.Tracker != *q.Tracker || q.Tag != nil && !t.tagged(*q.Tag) {
			return false
		}
		if len(words) == 0 {
			return true
		}
		name := lower(t.Name)
		for _, w := range words {
			if !strings.Contains(name, w) && w != t.HashV1 && w != t.HashV2 {
				return false
			}
		}
		return true
	}
}

func (t *Torrent) is(s State) bool {
	switch s {
	case isActive:
		return t.DownRate > 0 || t.UpRate > 0
	case isComplete:
		return t.Complete
	case isIncomplete:
		return !t.Complete
	}
	return t.State == s
}

// tagged reports whether a torrent has a tag; the empty one means none.
func (t *Torrent) tagged(tag string) bool {
	if tag == "" {
		return len(t.Tags) == 0
	}
	return slices.Contains(t.Tags, tag)
}

// count returns how many torrents there are of each kind. It is called with mu held.
func (l *Library) count() Counts {
	if l.countsAt == l.revision && l.counts.State != nil {
		return l.counts
	}
	c := Counts{State: map[State]int{}, Category: map[string]int{}, Tag: map[string]int{}, Tracker: map[string]int{}}
	for _, s := range States {
		c.State[s] = 0
	}
	for name := range l.categories {
		c.Category[name] = 0
	}
	for name := range l.tags {
		c.Tag[name] = 0
	}
	for _, e := range l.entries {
		t := &e.row
		c.All++
		c.State[t.State]++
		c.Category[t.Category]++
		c.Tracker[t.Tracker]++
		for _, tag := range t.Tags {
			c.Tag[tag]++
		}
		if len(t.Tags) == 0 {
			c.Tag[""]++
		}
		if t.is(isActive) {
			c.Active++
		}
		if t.Complete {
			c.Complete++
		}
	}
	l.counts, l.countsAt = c, l.revision // whoever gets it does not change it
	return c
}

// Revision returns the number of the list as it is now, which grows with each change. Who asks counts as watching for a while.
func (l *Library) Revision() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = time.Now()
	return l.revision
}
