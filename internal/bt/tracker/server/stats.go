package server

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// counters are what the responder of a socket, or those of the HTTP server, have done. They are read by others.
type counters struct {
	connects, announces, scrapes, refused, limited, forged, broken atomic.Uint64
	_                                                              [64]byte // of another cache line than the next's
}

// Totals are counts since the start.
type Totals struct {
	Connects  uint64 `json:"connects"`
	Announces uint64 `json:"announces"`
	Scrapes   uint64 `json:"scrapes"`
	Refused   uint64 `json:"refused"` // announces of torrents that are not allowed or find no room
	Limited   uint64 `json:"limited"` // requests of hosts that asked too often
	Forged    uint64 `json:"forged"`  // requests with a wrong or old connection id
	Broken    uint64 `json:"broken"`  // requests that could not be read
}

// Stats are what a tracker tells of itself.
type Stats struct {
	Totals
	Torrents int     `json:"torrents"`
	Peers    int     `json:"peers"`
	Seeds    int     `json:"seeds"`    // of the peers
	Rate     float64 `json:"rate"`     // announces a second, over the last rateWindow seconds
	Uptime   float64 `json:"uptime"`   // seconds
	Interval float64 `json:"interval"` // seconds
	Allowed  int     `json:"allowed"`  // length of the allow list
	Open     bool    `json:"open"`     // there is none
}

func (s *Server) totals() (t Totals) {
	for _, c := range s.counted {
		t.Connects += c.connects.Load()
		t.Announces += c.announces.Load()
		t.Scrapes += c.scrapes.Load()
		t.Refused += c.refused.Load()
		t.Limited += c.limited.Load()
		t.Forged += c.forged.Load()
		t.Broken += c.broken.Load()
	}
	return t
}

// Stats returns what the tracker has done and what it knows.
func (s *Server) Stats() Stats {
	st := Stats{Totals: s.totals(), Rate: s.rate.load(), Uptime: time.Since(s.start).Seconds(), Interval: s.cfg.Interval.Seconds()}
	st.Torrents, st.Peers, st.Seeds = s.table.totals()
	allow := s.access.Load().Allow
	st.Allowed, st.Open = len(allow), allow == nil
	return st
}

// rateWindow is how many seconds a rate is of.
const rateWindow = 10

// rate is how many announces a second there were lately.
type rate struct {
	mu    sync.Mutex
	ring  [rateWindow]uint64 // totals of the last seconds
	notes int
	value float64
}

// note takes the total, once a second.
func (r *rate) note(total uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := &r.ring[r.notes%rateWindow]
	r.notes++
	r.value = float64(total-*at) / float64(min(r.notes, rateWindow))
	*at = total
}

func (r *rate) load() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.value
}

// writeMetrics writes the statistics in Prometheus' text format.
func writeMetrics(w io.Writer, s *Stats) {
	for _, m := range []struct {
		name, kind, help string
		value            float64
	}{
		{"torrents", "gauge", "Torrents known.", float64(s.Torrents)},
		{"peers", "gauge", "Peers known, seeds among them.", float64(s.Peers)},
		{"seeds", "gauge", "Peers that have everything.", float64(s.Seeds)},
		{"connects_total", "counter", "UDP connects answered.", float64(s.Connects)},
		{"announces_total", "counter", "Announces, over HTTP and UDP.", float64(s.Announces)},
		{"scrapes_total", "counter", "Scrapes, over HTTP and UDP.", float64(s.Scrapes)},
		{"refused_total", "counter", "Announces refused: not allowed, or no room.", float64(s.Refused)},
		{"limited_total", "counter", "Requests of hosts that asked too often.", float64(s.Limited)},
		{"forged_total", "counter", "UDP requests with a wrong or old connection id.", float64(s.Forged)},
		{"broken_total", "counter", "Requests that could not be read.", float64(s.Broken)},
		{"uptime_seconds", "gauge", "Time since the start.", s.Uptime},
	} {
		name := "shoal_tracker_" + m.name
		fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n%s %v\n", name, m.help, name, m.kind, name, m.value)
	}
}
