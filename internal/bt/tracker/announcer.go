// Package tracker finds peers at trackers, over HTTP (BEP 3, 7, 23, 24, 31, 48) and UDP (BEP 15, 41), for one torrent at a
// time, in the order that its tiers ask for (BEP 12).
//
// Between announces there is no goroutine. While one is under way, that of Announce decides who is asked when, and each tracker
// that is asked has its own, so that one that is slow or silent holds up no other. The state of a tracker (place) and the order
// of the tiers (tiers) are plain values that are told the time.
package tracker

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"shoal/internal/discovery"
)

const (
	announceTime = time.Minute // the longest that an announce may take
	maxWant      = 200         // addresses asked for at once
)

// Options are what an Announcer can be told beyond its trackers. The zero value follows BEP 12.
type Options struct {
	AllTrackers bool // announce to every tracker of a tier, not only to the first that works
	AllTiers    bool // announce to every tier, not only to the first that works
}

// Announcer announces one torrent to its trackers. It implements discovery.Finder.
type Announcer struct {
	*Client
	key uint32 // 0: it is not told

	mu      sync.Mutex
	tiers   *tiers        // places are changed by what Announce starts, Hurry and Completed
	changed chan struct{} // not nil while Announce is at work: one slot, set when what is due has changed
}

var _ discovery.Finder = (*Announcer)(nil)

// New returns an announcer to the trackers with the given URLs, tier by tier, which it reaches through c. At most 100 trackers
// are used.
func New(c *Client, urls [][]string, opts Options) *Announcer {
	a := &Announcer{Client: c, tiers: newTiers(urls, opts)}
	if !c.anonymous {
		a.key = rand.Uint32() | 1
	}
	return a
}

// Next implements discovery.Finder.
func (a *Announcer) Next() (time.Time, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	places, again := a.tiers.due(time.Now())
	if len(places) > 0 {
		return places[0].next, true
	}
	return again, !again.IsZero()
}

// Hurry implements discovery.Finder.
func (a *Announcer) Hurry() { a.change((*place).hurry) }

// Completed implements discovery.Finder.
func (a *Announcer) Completed() { a.change((*place).complete) }

// change does something to every tracker and has Announce look again if it is at work.
func (a *Announcer) change(f func(*place)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tiers.each(f)
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

// Add adds trackers that peers named (BEP 28): they are asked when none of those that are there works, and given up for good after two
// failures. At most ten are taken.
func (a *Announcer) Add(urls []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tiers.add(urls)
}

// Insert adds trackers that the person named, each a tier of its own after those that are there. What is there already is left out.
func (a *Announcer) Insert(urls []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tiers.insert(urls)
}

// Delete takes a tracker away and reports whether it was there. It is not told goodbye: it forgets us when the next announce is due.
func (a *Announcer) Delete(url string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tiers.remove(url)
}

// Status implements discovery.Finder: one line for each tracker, in the order in which they are asked.
func (a *Announcer) Status() []discovery.Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	var lines []discovery.Status
	a.tiers.each(func(p *place) { lines = append(lines, p.status) })
	return lines
}

// outcome is how one announce to one tracker ended.
type outcome struct {
	place  *place
	event  event
	answer *answer
	err    error // all that was tried failed; answer is nil
}

// run is one call of Announce.
type run struct {
	*Announcer
	torrent  discovery.Torrent
	found    func([]discovery.Peer)
	asked    int          // trackers that have not answered yet
	outcomes chan outcome // has room for one of each tracker
	wg       sync.WaitGroup
}

// Announce implements discovery.Finder. found is called from several goroutines, also at once.
func (a *Announcer) Announce(ctx context.Context, t discovery.Torrent, found func([]discovery.Peer)) {
	r := &run{Announcer: a, torrent: t, found: found}
	a.mu.Lock()
	places := 0
	a.tiers.each(func(*place) { places++ })
	a.changed = make(chan struct{}, 1)
	changed := a.changed
	a.mu.Unlock()
	r.outcomes = make(chan outcome, places)
	r.loop(ctx, changed)
	r.wg.Wait()
	for len(r.outcomes) > 0 { // those that ended with ctx
		if o := <-r.outcomes; o.err == nil {
			r.settle(o)
		}
	}
	a.mu.Lock()
	a.changed = nil
	a.mu.Unlock()
}

// loop asks until nobody is being asked and nobody is due.
func (r *run) loop(ctx context.Context, changed <-chan struct{}) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		again := r.ask(ctx)
		if r.asked == 0 {
			return
		}
		if again.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(again))
		}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case o := <-r.outcomes:
			r.asked--
			r.settle(o)
		case <-changed:
		}
	}
}

// ask begins the announces that are due and returns when to look again if nothing happens before (zero: never).
func (r *run) ask(ctx context.Context) time.Time {
	now := time.Now()
	r.mu.Lock()
	places, again := r.tiers.due(now)
	for _, p := range places {
		p.asked = now
	}
	r.mu.Unlock()
	names := r.torrent.InfoHash().Swarms()
	for _, p := range places {
		r.mu.Lock()
		req := r.request(r.torrent, p, p.event())
		r.mu.Unlock()
		r.asked++
		r.wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, announceTime)
			defer cancel()
			answer, err := r.announce(ctx, p.url(), req, names, r.found)
			r.outcomes <- outcome{p, req.event, answer, err}
		})
	}
	return again
}

// request makes what an announce tells, all but the name of the swarm. Who does not listen names port 1, for trackers refuse 0. It is called
// with mu held.
func (a *Announcer) request(t discovery.Torrent, p *place, ev event) request {
	req := request{event: ev, peer: t.PeerID(), key: a.key, port: max(1, t.Port()), progress: t.Progress(), id: p.id}
	if ev != stopped {
		req.want = max(0, min(t.WantPeers(), maxWant))
	}
	return req
}

func (r *run) settle(o outcome) {
	port, now := r.torrent.Port(), time.Now()
	short := r.torrent.WantPeers() > 0 && r.torrent.Progress().Left > 0 // a seed is found by those who need it
	r.mu.Lock()
	defer r.mu.Unlock()
	if o.err != nil {
		o.place.fail(now, o.err)
		return
	}
	// Trackers may name us to ourselves. What has our port, in a swarm of one, is taken for us.
	other := func(addr netip.AddrPort) bool { return addr.Port() != port }
	alone := max(0, o.answer.seeds)+max(0, o.answer.leeches) <= 1 && !slices.ContainsFunc(o.answer.peers, other)
	o.place.succeed(now, o.event, o.answer, alone && short)
	r.tiers.promote(o.place)
}

// Withdraw implements discovery.Finder. That a completion was told stays.
func (a *Announcer) Withdraw(ctx context.Context, t discovery.Torrent) {
	names := t.InfoHash().Swarms()
	var wg sync.WaitGroup
	a.change(func(p *place) {
		if p.started {
			req := a.request(t, p, stopped)
			wg.Go(func() { _, _ = a.announce(ctx, p.url(), req, names, nil) })
		}
		p.asked, p.next, p.failures, p.early, p.started = time.Time{}, time.Time{}, 0, 0, false
		p.status.Working, p.status.Next = false, time.Time{}
	})
	wg.Wait()
}
