// Package history remembers how a node fared: rates, peers and DHT nodes over the last hour, day and month.
package history

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"sync"

	"shoal/internal/database"
	"shoal/internal/library"
)

var migrations = []string{"create table history (span text not null, time integer not null, value text not null, primary key (span, time)) without rowid"}

// span is a length of history: so many Samples, step seconds apart.
type span struct {
	name  string
	step  int64
	limit int
}

var spans = []span{{"hour", 10, 360}, {"day", 300, 288}, {"month", 7200, 372}}

// Sample is the node at a time, or in the mean since the Sample before.
type Sample struct {
	Time     int64 `json:"-"` // Unix
	DownRate int64 `json:"d"`
	UpRate   int64 `json:"u"`
	Peers    int64 `json:"p"`
	DHTNodes int64 `json:"n"`
}

// History is what was, over some spans. Its methods are safe for concurrent use.
type History struct {
	db      *database.DB
	mu      sync.Mutex
	samples [3][]Sample // as spans
	sums    [3]Sample   // of those that will be one
	counts  [3]int64
	fresh   [3][]Sample // not saved yet
}

// Add takes a sample in. Between two that are kept of a span, the mean is.
func (h *History) Add(s Sample) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, sp := range spans {
		sum := &h.sums[i]
		sum.DownRate += s.DownRate
		sum.UpRate += s.UpRate
		sum.Peers += s.Peers
		sum.DHTNodes += s.DHTNodes
		h.counts[i]++
		if n := len(h.samples[i]); n > 0 && s.Time/sp.step == h.samples[i][n-1].Time/sp.step {
			continue
		}
		n := h.counts[i]
		mean := Sample{s.Time, sum.DownRate / n, sum.UpRate / n, sum.Peers / n, sum.DHTNodes / n}
		h.sums[i], h.counts[i] = Sample{}, 0
		h.samples[i] = append(h.samples[i], mean)
		h.samples[i] = h.samples[i][max(0, len(h.samples[i])-sp.limit):]
		if i > 0 { // the hour is not worth a write
			h.fresh[i] = append(h.fresh[i], mean)
		}
	}
}

// Open reads what was saved.
func Open(db *database.DB) (*History, error) {
	h := &History{db: db}
	if err := db.Migrate("history", migrations); err != nil {
		return nil, err
	}
	return h, h.load()
}

func (h *History) load() error {
	rows, err := h.db.Read.Query("select span, time, value from history order by time")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var s Sample
		var value []byte
		if err := rows.Scan(&name, &s.Time, &value); err != nil {
			return err
		}
		at := slices.IndexFunc(spans, func(s span) bool { return s.name == name })
		if at >= 0 && json.Unmarshal(value, &s) == nil {
			h.samples[at] = append(h.samples[at], s)
		}
	}
	return rows.Err()
}

// Save writes what is new, and deletes what is too old.
func (h *History) Save() error {
	h.mu.Lock()
	fresh := h.fresh
	h.fresh = [3][]Sample{}
	h.mu.Unlock()
	var errs []error
	for i, list := range fresh {
		if len(list) == 0 {
			continue
		}
		oldest := list[len(list)-1].Time - spans[i].step*int64(spans[i].limit)
		errs = append(errs, h.db.Update(context.Background(), func(tx *sql.Tx) error {
			for _, s := range list {
				value, err := json.Marshal(s)
				if err != nil {
					return err
				}
				if _, err := tx.Exec("insert or replace into history values (?, ?, ?)", spans[i].name, s.Time, string(value)); err != nil {
					return err
				}
			}
			_, err := tx.Exec("delete from history where span = ? and time < ?", spans[i].name, oldest)
			return err
		}))
	}
	return errors.Join(errs...)
}

// Of returns what was, over "hour", "day" or "month". The error wraps library.ErrBad.
func (h *History) Of(name string) (library.History, error) {
	at := slices.IndexFunc(spans, func(s span) bool { return s.name == name })
	if at < 0 {
		return library.History{}, library.Bad("there is no span %.20q: it is hour, day or month", name)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	out := library.History{Step: spans[at].step, Times: []int64{}, DownRate: []int64{}, UpRate: []int64{}, Peers: []int64{}, DHTNodes: []int64{}}
	for _, s := range h.samples[at] {
		out.Times = append(out.Times, s.Time)
		out.DownRate = append(out.DownRate, s.DownRate)
		out.UpRate = append(out.UpRate, s.UpRate)
		out.Peers = append(out.Peers, s.Peers)
		out.DHTNodes = append(out.DHTNodes, s.DHTNodes)
	}
	return out, nil
}
