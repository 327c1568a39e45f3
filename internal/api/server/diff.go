package server

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"sync"

	"shoal/internal/api"
	"shoal/internal/library"
)

// column is a field of a row: where it is and its name in JSON.
type column struct {
	index []int
	name  string
	empty bool // left out of a whole row when it is zero
}

var columnsOf sync.Map // reflect.Type: []column

// columns returns the fields of a struct as JSON has them: those of embedded ones are its own.
func columns(t reflect.Type) []column {
	if c, ok := columnsOf.Load(t); ok {
		return c.([]column)
	}
	var list []column
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || !f.IsExported() || name == "" || name == "-" {
			continue
		}
		list = append(list, column{f.Index, name, strings.Contains(options, "omitempty")})
	}
	columnsOf.Store(t, list)
	return list
}

// whole returns all fields of a row.
func whole[T any](row *T) api.Fields {
	v := reflect.ValueOf(row).Elem()
	fields := api.Fields{}
	for _, c := range columns(v.Type()) {
		if f := v.FieldByIndex(c.index); !c.empty || !f.IsZero() {
			fields[c.name] = encode(f)
		}
	}
	return fields
}

// changes returns the fields in which a row differs from what it was, with the one by which it is known. Without any it returns nil.
func changes[T any](was, is *T, key string) api.Fields {
	a, b := reflect.ValueOf(was).Elem(), reflect.ValueOf(is).Elem()
	var fields api.Fields
	for _, c := range columns(b.Type()) {
		x, y := a.FieldByIndex(c.index), b.FieldByIndex(c.index)
		if same(x, y) {
			continue
		}
		if fields == nil {
			fields = api.Fields{}
		}
		fields[c.name] = encode(y)
	}
	if fields == nil {
		return nil
	}
	for _, c := range columns(b.Type()) {
		if c.name == key {
			fields[key] = encode(b.FieldByIndex(c.index))
		}
	}
	return fields
}

func same(x, y reflect.Value) bool {
	switch x.Kind() {
	case reflect.Slice:
		if x.Len() != y.Len() {
			return false
		}
		for i := range x.Len() {
			if !same(x.Index(i), y.Index(i)) {
				return false
			}
		}
		return true
	case reflect.String:
		return x.String() == y.String()
	case reflect.Float64:
		return x.Float() == y.Float()
	case reflect.Bool:
		return x.Bool() == y.Bool()
	case reflect.Int, reflect.Int64:
		return x.Int() == y.Int()
	}
	return reflect.DeepEqual(x.Interface(), y.Interface())
}

func encode(v reflect.Value) json.RawMessage {
	b, err := json.Marshal(v.Interface())
	if err != nil {
		return json.RawMessage("null") // a number that is none: JSON has no word for it
	}
	return b
}

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
			d.Changed = append(d.Changed, whole(t))
		} else if c := changes(&was, t, "id"); c != nil {
			d.Changed = append(d.Changed, c)
		}
	}
	if !same(reflect.ValueOf(w.order), reflect.ValueOf(next.order)) {
		d.Order = notNil(next.order)
	}
	if !reflect.DeepEqual(w.counts, next.counts) {
		d.Counts = &next.counts
	}
	return d, len(d.Changed) > 0 || d.Order != nil || d.Counts != nil || w.total != next.total
}
