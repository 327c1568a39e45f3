package library

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"shoal/internal/database"
)

// Totals returns the node as a whole.
func (l *Library) Totals() Totals {
	s := l.cfg.Session
	l.mu.Lock()
	t := Totals{
		Downloaded: l.lost.Down, Uploaded: l.lost.Up, SessionDown: l.session.Down, SessionUp: l.session.Up, Torrents: len(l.entries),
		Reachable: l.reached, Uptime: int64(time.Since(l.begun).Seconds()), Disks: slices.Clone(l.disks),
	}
	for _, e := range l.entries {
		t.Downloaded += e.rec.Downloaded
		t.Uploaded += e.rec.Uploaded
		if e.t == nil {
			continue
		}
		st := e.t.Look()
		t.SessionDown += st.Swarm.DownTotal
		t.SessionUp += st.Swarm.UpTotal
		t.DownRate += int64(st.Down)
		t.UpRate += int64(st.Up)
		t.Peers += st.Swarm.Peers
		if e.row.is(isActive) {
			t.Active++
		}
	}
	l.mu.Unlock()
	if t.Disks == nil {
		t.Disks = []Disk{}
	}
	t.Notices = append([]string{}, s.Notices()...)
	t.Port = int(s.Port())
	t.Memory, _, _ = s.Memory()
	if node := s.DHT(); node != nil {
		t.DHTNodes = node.Status().Nodes
	}
	return t
}

// span is a length of history: so many samples, step seconds apart.
type span struct {
	name  string
	step  int64
	limit int
}

var spans = []span{{"hour", 10, 360}, {"day", 300, 288}, {"month", 7200, 372}}

// sample is the node at a time, or in the mean since the sample before.
type sample struct {
	Time     int64 `json:"-"`
	DownRate int64 `json:"d"`
	UpRate   int64 `json:"u"`
	Peers    int64 `json:"p"`
	DHTNodes int64 `json:"n"`
}

// history is what charts show.
type history struct {
	mu      sync.Mutex
	samples [3][]sample // as spans
	sums    [3]sample   // of those that will be one
	counts  [3]int64
	fresh   [3][]sample // not saved yet
}

// record takes a sample.
func (l *Library) record(now time.Time) {
	t := l.Totals()
	l.history.add(sample{now.Unix(), t.DownRate, t.UpRate, int64(t.Peers), int64(t.DHTNodes)})
}

func (h *history) add(s sample) {
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
		mean := sample{s.Time, sum.DownRate / n, sum.UpRate / n, sum.Peers / n, sum.DHTNodes / n}
		h.sums[i], h.counts[i] = sample{}, 0
		h.samples[i] = append(h.samples[i], mean)
		h.samples[i] = h.samples[i][max(0, len(h.samples[i])-sp.limit):]
		if i > 0 { // the hour is not worth a write
			h.fresh[i] = append(h.fresh[i], mean)
		}
	}
}

func (h *history) load(db *database.DB) error {
	rows, err := db.Read.Query("select span, time, value from history order by time")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var s sample
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

// save writes what is new, and deletes what is too old.
func (h *history) save(db *database.DB) error {
	h.mu.Lock()
	fresh := h.fresh
	h.fresh = [3][]sample{}
	h.mu.Unlock()
	var errs []error
	for i, list := range fresh {
		if len(list) == 0 {
			continue
		}
		oldest := list[len(list)-1].Time - spans[i].step*int64(spans[i].limit)
		errs = append(errs, db.Update(context.Background(), func(tx *sql.Tx) error {
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

// History returns what was, over "hour", "day" or "month".
func (l *Library) History(name string) (History, error) {
	at := slices.IndexFunc(spans, func(s span) bool { return s.name == name })
	if at < 0 {
		return History{}, bad("there is no span %q: it is hour, day or month", short(name))
	}
	l.history.mu.Lock()
	defer l.history.mu.Unlock()
	out := History{Step: spans[at].step, Times: []int64{}, DownRate: []int64{}, UpRate: []int64{}, Peers: []int64{}, DHTNodes: []int64{}}
	for _, s := range l.history.samples[at] {
		out.Times = append(out.Times, s.Time)
		out.DownRate = append(out.DownRate, s.DownRate)
		out.UpRate = append(out.UpRate, s.UpRate)
		out.Peers = append(out.Peers, s.Peers)
		out.DHTNodes = append(out.DHTNodes, s.DHTNodes)
	}
	return out, nil
}
