package library

import (
	"slices"
	"time"
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
		for _, f := range node.Status().Families {
			t.DHTNodes += f.Nodes
		}
	}
	return t
}

// Wasted returns the payload bytes of this run that came twice or unasked, and those of pieces that failed their hash.
func (l *Library) Wasted() (wasted, failed int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	wasted, failed = l.wasted, l.failed
	for _, e := range l.entries {
		if e.t != nil {
			st := e.t.Look()
			wasted += st.Swarm.Wasted
			failed += st.Swarm.FailedBytes
		}
	}
	return wasted, failed
}
