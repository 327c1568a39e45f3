// Package tracker finds peers at trackers, over HTTP (BEP 3, 7, 23, 24, 31, 48) and UDP (BEP 15, 41), for one torrent at a
// time, in the order that its tiers ask for (BEP 12).
//
// One goroutine, that of Announce, decides who is asked when; each announce under way has its own, so that a tracker
// that is slow or silent holds up no other. The state of a tracker (place) and the order of the tiers (tiers) are plain
// values that are told the time.
package tracker

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"shoal/internal/discovery"
	"shoal/internal/netx"
)

const (
	announceTime = time.Minute // the longest that an announce may take
	maxWant      = 200         // addresses asked for at once
)

// Options are what an Announcer can be told beyond its trackers. The zero value follows BEP 12.
type Options struct {
	AllTrackers bool   // announce to every tracker of a tier, not only to the first that works
	AllTiers    bool   // announce to every tier, not only to the first that works
	UserAgent   string // for HTTP trackers

	// External, if not nil, is called with our own address as a tracker sees it (BEP 24), from any goroutine.
	External func(netip.Addr)
}

// Announcer announces one torrent to its trackers. It implements discovery.Finder.
type Announcer struct {
	n        netx.Network
	agent    string
	sockets  [2]udpSocket // IPv4, IPv6
	external func(netip.Addr)
	key      uint32
	hurry    chan struct{}

	mu    sync.Mutex
	tiers *tiers // changed by the goroutine of Announce alone
}

var _ discovery.Finder = (*Announcer)(nil)

// New returns an announcer to the trackers with the given URLs, tier by tier. It reaches them through n alone. At
// most 100 trackers are used.
func New(n netx.Network, urls [][]string, opts Options) *Announcer {
	return &Announcer{
		n:        n,
		agent:    opts.UserAgent,
		sockets:  [2]udpSocket{{n: n}, {n: n, v6: true}},
		external: opts.External,
		key:      rand.Uint32(),
		hurry:    make(chan struct{}, 1),
		tiers:    newTiers(urls, opts),
	}
}

// Hurry implements discovery.Finder.
func (a *Announcer) Hurry() {
	select {
	case a.hurry <- struct{}{}:
	default:
	}
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
	outcomes chan outcome // has room for one of each tracker
	wg       sync.WaitGroup
}

// Announce implements discovery.Finder. found is called from several goroutines, also at once.
func (a *Announcer) Announce(ctx context.Context, t discovery.Torrent, found func([]discovery.Peer), withdraw time.Duration) {
	r := &run{Announcer: a, torrent: t, found: found}
	places := 0
	a.tiers.each(func(*place) { places++ })
	r.outcomes = make(chan outcome, places)
	r.loop(ctx)
	r.wg.Wait()
	r.withdraw(ctx, withdraw)
	r.forget()
}

func (r *run) loop(ctx context.Context) {
	done := r.torrent.Completed()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		r.ask(ctx, timer)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case o := <-r.outcomes:
			r.settle(o)
		case <-r.hurry:
			r.change((*place).hurry)
		case <-done:
			done = nil
			r.change((*place).complete)
		}
	}
}

// ask begins the announces that are due and sets timer to the next one.
func (r *run) ask(ctx context.Context, timer *time.Timer) {
	now := time.Now()
	r.mu.Lock()
	places, again := r.tiers.due(now)
	for _, p := range places {
		p.asked = now
	}
	r.mu.Unlock()
	names := r.torrent.InfoHash().Swarms()
	for _, p := range places {
		req := r.request(p, p.event())
		r.wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, announceTime)
			defer cancel()
			answer, err := r.announce(ctx, p.url, req, names, r.found)
			r.outcomes <- outcome{p, req.event, answer, err}
		})
	}
	if again.IsZero() {
		timer.Stop()
	} else {
		timer.Reset(again.Sub(now))
	}
}

// request makes what an announce tells, all but the name of the swarm.
func (r *run) request(p *place, ev event) request {
	req := request{
		event: ev, peer: r.torrent.PeerID(), key: r.key, port: r.torrent.Port(), progress: r.torrent.Progress(), id: p.id,
	}
	if ev != stopped {
		req.want = max(0, min(r.torrent.WantPeers(), maxWant))
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

// change does something to every tracker.
func (r *run) change(f func(*place)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tiers.each(f)
}

// withdraw tells every tracker that was told of us that we are gone.
func (r *run) withdraw(ctx context.Context, limit time.Duration) {
	for len(r.outcomes) > 0 { // those that ended with ctx
		if o := <-r.outcomes; o.err == nil {
			r.settle(o)
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	names := r.torrent.InfoHash().Swarms()
	r.tiers.each(func(p *place) {
		if p.started && limit > 0 {
			req := r.request(p, stopped)
			r.wg.Go(func() { _, _ = r.announce(ctx, p.url, req, names, nil) })
		}
	})
	r.wg.Wait()
}

// forget makes the places ready for another Announce. That a completion was told stays.
func (r *run) forget() {
	r.change(func(p *place) {
		p.asked, p.next, p.failures, p.early, p.started = time.Time{}, time.Time{}, 0, 0, false
		p.status.Working, p.status.Next = false, time.Time{}
	})
}
