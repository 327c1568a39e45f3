package server

import (
	"math"
	"reflect"
	"slices"

	"shoal/internal/api"
	"shoal/internal/library"
)

// rounded returns a row with its fractions to four digits, and no number that JSON cannot say.
func rounded(t library.Torrent) library.Torrent {
	for _, f := range []*float64{&t.Progress, &t.Ratio, &t.Availability} {
		*f = round(*f)
	}
	if t.Tags == nil {
		t.Tags = []string{}
	}
	return t
}

func round(f float64) float64 {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return -1
	}
	return math.Round(f*10000) / 10000
}

// window is what a stream has told of the list.
type window struct {
	revision uint64
	total    int
	order    []string
	rows     map[string]library.Torrent
	counts   library.Counts
}

func newWindow(p library.Page) window {
	w := window{revision: p.Revision, total: p.Total, rows: make(map[string]library.Torrent, len(p.Torrents)), counts: p.Counts}
	for _, t := range p.Torrents {
		w.order = append(w.order, t.ID)
		w.rows[t.ID] = t
	}
	return w
}

// delta returns what is different in next; false if nothing is.
func (w *window) delta(p library.Page, next window) (api.Delta, bool) {
	d := api.Delta{Revision: p.Revision, Total: p.Total, Changed: []api.Fields{}}
	for i := range p.Torrents {
		t := &p.Torrents[i]
		if was, ok := w.rows[t.ID]; !ok {
			d.Changed = append(d.Changed, api.Whole(t))
		} else if c := api.Changes(&was, t, "id"); c != nil {
			d.Changed = append(d.Changed, c)
		}
	}
	if !slices.Equal(w.order, next.order) {
		d.Order = notNil(next.order)
	}
	if !reflect.DeepEqual(w.counts, next.counts) {
		d.Counts = &next.counts
	}
	return d, len(d.Changed) > 0 || d.Order != nil || d.Counts != nil || w.total != next.total
}
