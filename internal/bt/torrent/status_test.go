package torrent

import (
	"errors"
	"testing"
	"time"

	"shoal/internal/bt/swarm"
	"shoal/internal/discovery"
)

func TestReason(t *testing.T) {
	working := []discovery.Status{{URL: "http://t/announce", Working: true}}
	failing := []discovery.Status{{URL: "http://t/announce", Message: "tracker says: unregistered"}}
	for _, c := range []struct {
		name     string
		st       Status
		trackers []discovery.Status
		want     string
	}{
		{"fast", Status{Phase: Downloading, Down: 1e6, Swarm: swarm.Stats{Peers: 3, Interesting: 3}}, working, ""},
		{"seeding", Status{Phase: Seeding, Swarm: swarm.Stats{Peers: 1}}, working, ""},
		{"nobody", Status{Phase: Downloading}, nil, "no peers known, and no tracker to ask: name one with --peer or --tracker"},
		{"tracker", Status{Phase: Downloading}, failing, "no peers: http://t/announce: tracker says: unregistered"},
		{"looking", Status{Phase: Metadata}, working, "looking for peers"},
		{"metadata", Status{Phase: Metadata, Swarm: swarm.Stats{Peers: 2}}, working, "asking 2 peers what the content is"},
		{"unconnected", Status{Phase: Downloading, Swarm: swarm.Stats{Known: 4}}, working, "no connection yet to any of 4 peers"},
		{"rest", Status{Phase: Downloading, Swarm: swarm.Stats{Peers: 2}}, working, "none of 2 peers has the rest"},
		{"unavailable", Status{Phase: Downloading, Swarm: swarm.Stats{Peers: 2, Interesting: 1, Unavailable: 3, Missing: 9}}, working,
			"no peer has 3 of the 9 missing pieces"},
		{"choked", Status{Phase: Downloading, Swarm: swarm.Stats{Peers: 2, Seeds: 2, Interesting: 2, Choking: 2}}, working, "waiting for a slot at 2 peers"},
		{"silent", Status{Phase: Downloading, Idle: time.Minute, Swarm: swarm.Stats{Peers: 2, Seeds: 2, Interesting: 2, Choking: 1}}, working, "nothing comes from 1 peer"},
		{"disk", Status{Phase: Downloading, Problem: errors.New("no space left on /data"), DiskFull: true}, working,
			"no space left on /data; it goes on when there is room"},
		{"unreached seed", Status{Phase: Seeding, Port: 6881, Age: unreached}, working, "no peer has reached port 6881 yet: is it open?"},
		{"unreached", Status{Phase: Metadata, Port: 6881, Age: unreached}, working, "looking for peers; no peer has reached port 6881 yet: is it open?"},
		{"reached", Status{Phase: Metadata, Port: 6881, Age: unreached, Swarm: swarm.Stats{Incoming: 1}}, working, "looking for peers"},
		{"unannounced", Status{Phase: Seeding, Port: 6881, Age: unreached}, failing, ""},
	} {
		if got := c.st.Reason(c.trackers); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
