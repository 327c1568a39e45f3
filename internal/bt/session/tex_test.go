package session_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/session"
	"shoal/internal/bt/torrent"
	"shoal/internal/discovery"
)

// knows returns what a torrent has of a tracker.
func knows(tor *torrent.Torrent, url string) (discovery.Status, bool) {
	all := tor.Trackers()
	i := slices.IndexFunc(all, func(s discovery.Status) bool { return s.URL == url })
	if i < 0 {
		return discovery.Status{}, false
	}
	return all[i], true
}

// A peer that came by another way learns of a tracker that works from those who use it, and finds more peers there (BEP 28).
func TestTrackersFromPeers(t *testing.T) {
	for name, c := range map[string]struct {
		path    string
		private bool
		set     func(*session.Config)
		learns  bool
	}{
		"a tracker":                 {path: "/announce", learns: true},
		"one whose URL holds a key": {path: "/0123456789abcdef/announce"},
		"one of a private torrent":  {path: "/announce", private: true},
		"to one that is anonymous":  {path: "/announce", set: func(cfg *session.Config) { cfg.Anonymous = true }},
		"to one that is isolated":   {path: "/announce", set: func(cfg *session.Config) { cfg.Isolated = true }},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(w *world) {
				list := &announces{peers: map[netip.AddrPort]bool{}}
				base, stop := w.serve(list)
				defer stop()
				url := base + c.path
				data := makeContent(t, metainfo.CreateOptions{Private: c.private, Version: metainfo.V1}, 1<<20)
				seed := w.node(dsl)
				l := w.node(dsl, func(cfg *session.Config) {
					if c.set != nil {
						c.set(cfg)
					}
				})
				seed.seed(data, session.Spec{Trackers: [][]string{{url}}, Up: 1000})
				time.Sleep(10 * time.Second)
				tor := l.leech(data, seed)
				time.Sleep(5 * time.Minute)
				st, got := knows(tor, url)
				if got != c.learns {
					t.Errorf("it knows of %s: %v", url, got)
				}
				if c.learns && !st.Working {
					t.Errorf("the tracker was not asked: %+v", st)
				}
			})
		})
	}
}
