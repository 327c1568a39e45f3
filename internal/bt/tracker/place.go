package tracker

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"time"

	"shoal/internal/discovery"
)

const (
	defaultInterval = 30 * time.Minute // where a tracker names none
	defaultMin      = time.Minute      // between two announces, where a tracker names no minimum
	floor           = 5 * time.Second  // no tracker makes us announce more often
	ceiling         = 24 * time.Hour   // nor more seldom
	minBackoff      = 5 * time.Second
	maxBackoff      = 30 * time.Minute
	patience        = 5 * time.Second // after which a silent tracker holds up the next one no longer
)

// maxHearsay is how often in a row a tracker that a peer named may fail before it is given up, if it never answered (BEP 28).
const maxHearsay = 2

// earlyRetries are the pauses after the first answers when those had no peers: two peers that start together must find
// each other soon. They give way to a minimum that the tracker names.
var earlyRetries = []time.Duration{5 * time.Second, 10 * time.Second, 15 * time.Second}

// completion is whether a tracker knows that the torrent became complete.
type completion uint8

const (
	nothing completion = iota // to tell
	due
	told
)

// place is one tracker of the torrent: what it has said and when to ask it again. It has no clock of its own.
type place struct {
	tier int
	dead bool // never asked (again)

	hearsay bool // a peer named it (BEP 28): it is given up sooner

	asked     time.Time // when the announce under way began; zero if there is none
	last      time.Time // the end of the last announce
	next      time.Time // not before this time; zero: at once
	min       time.Duration
	failures  int // in a row
	early     int // early retries used up
	started   bool
	completed completion
	id        string

	status discovery.Status
}

// newPlace reads a tracker's URL. One that we cannot use becomes a place that says so.
func newPlace(raw string, tier int) *place {
	p := &place{tier: tier, min: defaultMin}
	p.status = discovery.Status{URL: raw, Tier: tier, Seeds: unknown, Leeches: unknown, Downloads: unknown}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Hostname() == "":
		p.dead, p.status.Message = true, "not a tracker's URL"
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "udp":
		p.dead, p.status.Message = true, fmt.Sprintf("cannot speak %.20q", u.Scheme)
	case u.Scheme == "udp" && u.Port() == "":
		p.dead, p.status.Message = true, "no port in the URL"
	}
	return p
}

// url returns where the tracker is. It is not kept: most of the time nobody asks.
func (p *place) url() *url.URL {
	u, _ := url.Parse(p.status.URL)
	return u
}

func (p *place) busy() bool { return !p.asked.IsZero() }

// event returns what the next announce has to tell.
func (p *place) event() event {
	switch {
	case !p.started:
		return started
	case p.completed == due:
		return completed
	}
	return none
}

// complete makes the next announce, which is due at once, tell that the torrent is complete, unless it was told before.
func (p *place) complete() {
	if p.completed == told {
		return
	}
	p.completed = due
	if p.started && p.status.Working {
		p.next = time.Time{}
	}
}

// hurry brings the next announce forward to the earliest time that the tracker allows. The pauses after failures stay.
func (p *place) hurry() {
	if early := p.last.Add(p.min); p.status.Working && early.Before(p.next) {
		p.next = early
	}
}

// succeed notes an answer to an announce of ev that arrived at now. alone tells that the torrent wants peers and the
// answer has none.
func (p *place) succeed(now time.Time, ev event, a *answer, alone bool) {
	p.asked, p.last, p.failures = time.Time{}, now, 0
	p.started = true
	if ev == completed {
		p.completed = told
	}
	if a.id != "" {
		p.id = a.id
	}
	interval := a.interval
	if interval <= 0 {
		interval = defaultInterval
	}
	p.min = defaultMin
	if a.min > 0 {
		p.min = max(a.min, floor)
	}
	p.min = min(p.min, ceiling)
	interval = min(max(interval, p.min), ceiling)
	p.next = now.Add(interval)
	switch {
	case p.completed == due:
		p.next = now
	case !alone:
		p.early = len(earlyRetries)
	case p.early < len(earlyRetries):
		pause := earlyRetries[p.early]
		if a.min > 0 {
			pause = max(pause, p.min)
		}
		p.next = now.Add(min(pause, interval))
		p.early++
	}
	s := &p.status
	s.Working, s.Message, s.Peers, s.Last, s.Next, s.Interval = true, "", len(a.peers), now, p.next, interval
	if a.warning != "" {
		s.Message = "tracker warns: " + a.warning
	}
	s.Seeds, s.Leeches = a.seeds, a.leeches
	if a.downloads != unknown {
		s.Downloads = a.downloads
	}
}

// fail notes that an announce failed at now.
func (p *place) fail(now time.Time, err error) {
	p.asked, p.last = time.Time{}, now
	p.failures++
	pause := min(maxBackoff, minBackoff<<min(p.failures-1, 16))
	pause += time.Duration((rand.Float64() - 0.5) * float64(pause) / 2) // a quarter either way
	var refusal *Refusal
	if errors.As(err, &refusal) {
		p.dead = refusal.Never
		pause = max(pause, p.min, min(refusal.Retry, ceiling))
	}
	p.dead = p.dead || p.hearsay && p.failures >= maxHearsay && !p.started
	p.next = now.Add(min(pause, ceiling))
	s := &p.status
	s.Working, s.Message, s.Peers, s.Last, s.Next = false, describe(err), 0, now, p.next
	if p.dead {
		s.Next = time.Time{}
	}
}
