package torrent

import (
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"shoal/internal/block"
	"shoal/internal/bt/swarm"
	"shoal/internal/bt/webseed"
	"shoal/internal/ident"
	"shoal/internal/rate"
)

// maxWebSeeds is how many web seeds of a torrent are used.
const maxWebSeeds = 50

// webRetry is when a web seed is tried again that the swarm had no use for, such as one that fell silent.
const webRetry = time.Minute

// webSite is a web seed that the torrent names (BEP 17, 19). While there is something to fetch from it, it has a link.
type webSite struct {
	url     string
	kind    webseed.Kind
	link    *webSeed      // nil: none
	retryAt time.Duration // no link before
	barred  bool          // it sent what is false: no link ever again
	problem error         // why it has none, or had none last
}

// webSeed is the link to a web seed: a peer that has everything. It is the sink of a webseed.Seed, whose goroutine never touches
// the torrent itself: what comes is posted, and counts only while the link is the one that it came from.
type webSeed struct {
	t    *Torrent
	id   ident.Peer
	site *webSite
	seed *webseed.Seed
	down *rate.Limiter
	got  atomic.Int64 // payload bytes
	done chan struct{}
	once sync.Once

	ask, cancel []webseed.Request // since the last Flush; of the loop
}

// webEvent is what a web seed says: Arg of an event of kind swarm.Other, whose other fields are those of an event of its kind.
type webEvent struct {
	from  *webSeed
	kind  swarm.EventKind // Arrived, Rejected or Left
	err   error           // why it is down
	retry time.Duration   // for how long
}

// sites returns the web seeds that can be used, each once.
func (t *Torrent) sites() []*webSite {
	var out []*webSite
	add := func(urls []string, kind webseed.Kind) {
		for _, u := range urls {
			p, err := url.Parse(u)
			if err != nil || p.Scheme != "http" && p.Scheme != "https" || p.Host == "" || len(out) == maxWebSeeds ||
				slices.ContainsFunc(out, func(s *webSite) bool { return s.url == u && s.kind == kind }) {
				continue
			}
			out = append(out, &webSite{url: u, kind: kind})
		}
	}
	add(t.cfg.WebSeeds, webseed.URLList)
	add(t.cfg.HTTPSeeds, webseed.HTTPSeeds)
	return out
}

// tickWeb joins web seeds while there is something to fetch, and leaves them when there is not.
func (t *Torrent) tickWeb(now time.Duration) {
	wanted := t.wantsWeb()
	for _, s := range t.web {
		switch {
		case s.link != nil && t.sw.Done():
			s.link.Close(nil)
		case s.link == nil && wanted && !s.barred && now >= s.retryAt:
			t.joinWeb(now, s)
		}
	}
}

// wantsWeb reports whether web seeds could be of use.
func (t *Torrent) wantsWeb() bool {
	return t.store != nil && t.cfg.Client != nil && t.phase == Downloading && !t.sw.Done() && !t.cfg.Swarm.ShareOnly
}

func (t *Torrent) joinWeb(now time.Duration, s *webSite) {
	w := &webSeed{t: t, site: s, down: t.cfg.Down, done: make(chan struct{})}
	if u, err := url.Parse(s.url); err == nil {
		if a, err := netip.ParseAddr(u.Hostname()); err == nil {
			w.down, _ = t.limits(a)
		}
	}
	w.seed = webseed.New(t.cfg.Client, s.url, s.kind, t.info, t.cfg.Blocks, w)
	w.id = t.number(w)
	s.link = w
	t.sw.Step(now, swarm.Event{Kind: swarm.Joined, Peer: w.id, Arg: &swarm.PeerInfo{WebSeed: true}})
}

// effect takes what the swarm wants of the seed.
func (w *webSeed) effect(e swarm.Effect) {
	r := webseed.Request{Piece: int(e.Piece), Begin: int(e.Begin), Length: int(e.Length)}
	switch e.Kind {
	case swarm.SendRequest:
		w.ask = append(w.ask, r)
	case swarm.SendCancel:
		w.cancel = append(w.cancel, r)
	}
}

// Flush hands on what was wanted since the last time, all at once, so that adjacent blocks become one request.
func (w *webSeed) Flush() {
	if len(w.ask) > 0 {
		w.seed.Request(w.ask)
	}
	if len(w.cancel) > 0 {
		w.seed.Cancel(w.cancel...)
	}
	w.ask, w.cancel = w.ask[:0], w.cancel[:0]
}

// Close ends the link and posts Left. Without a reason the seed can be joined again at any time.
func (w *webSeed) Close(why error) {
	retry := webRetry
	if why == nil {
		retry = 0
	}
	w.Down(why, retry)
}

// Totals returns the payload bytes received; none are sent.
func (w *webSeed) Totals() (down, up int64) { return w.got.Load(), 0 }

// post has the loop see an event. It reports false if the loop has ended.
func (w *webSeed) post(wait bool, e webEvent, at swarm.Event) bool {
	e.from = w
	at.Kind, at.Peer, at.Arg = swarm.Other, w.id, e
	if wait {
		return w.t.box.Put(at)
	}
	return w.t.box.Post(at)
}

// Block implements webseed.Sink. It waits for the download limit and for the loop, which makes the server wait.
func (w *webSeed) Block(r webseed.Request, b *block.Block) {
	w.got.Add(int64(b.Len()))
	e := swarm.Event{Piece: int32(r.Piece), Begin: int32(r.Begin), Block: b}
	if !w.down.Wait(w.done, b.Len()) || !w.post(true, webEvent{kind: swarm.Arrived}, e) {
		b.Release()
	}
}

// Reject implements webseed.Sink.
func (w *webSeed) Reject(r webseed.Request) {
	w.post(true, webEvent{kind: swarm.Rejected}, swarm.Event{Piece: int32(r.Piece), Begin: int32(r.Begin)})
}

// Down implements webseed.Sink: it ends the link, for retry at least.
func (w *webSeed) Down(err error, retry time.Duration) {
	w.once.Do(func() {
		close(w.done)
		w.seed.Close()
		w.post(false, webEvent{kind: swarm.Left, err: err, retry: retry}, swarm.Event{})
	})
}

// webEvent carries out what a web seed said.
func (t *Torrent) webEvent(now time.Duration, e swarm.Event, w webEvent) {
	if t.link(e.Peer) != link(w.from) {
		e.Block.Release() // it has left
		return
	}
	e.Kind, e.Arg = w.kind, nil
	if w.kind == swarm.Left {
		s := w.from.site
		s.link, s.problem, s.retryAt = nil, w.err, now+w.retry
		s.barred = errors.Is(w.err, swarm.ErrBadData) || errors.Is(w.err, swarm.ErrProtocol)
	}
	t.step(now, e)
}

// WebSeed is a look at a web seed.
type WebSeed struct {
	URL     string
	InUse   bool
	Problem error         // why it is not, or was not before
	Retry   time.Duration // until it is tried again; 0 if it is in use, not wanted or barred
	Barred  bool          // it sent false data and is not used again
}

// webStatus returns a look at every web seed.
func (t *Torrent) webStatus(now time.Duration) []WebSeed {
	var out []WebSeed
	for _, s := range t.web {
		w := WebSeed{URL: s.url, InUse: s.link != nil, Problem: s.problem, Barred: s.barred}
		if !w.InUse && !w.Barred && s.problem != nil && !t.sw.Done() {
			w.Retry = max(0, s.retryAt-now)
		}
		out = append(out, w)
	}
	return out
}
