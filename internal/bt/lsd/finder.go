package lsd

import (
	"context"
	"net/netip"
	"time"

	"shoal/internal/discovery"
	"shoal/internal/ident"
)

const (
	maxPeers   = 64              // addresses that a torrent remembers
	again      = time.Minute     // after which an address that is heard anew is told of anew
	firstPause = 2 * time.Second // between the first announce of a torrent and the next look at what was heard; it doubles
)

// Finder returns a new finder of peers for one torrent, which must not be private (BEP 27). Withdraw it when the torrent stops or turns out
// to be private: until then its names are announced when others announce them. A finder that nobody has asked for ten minutes is forgotten.
func (s *Service) Finder() discovery.Finder {
	return &finder{service: s, status: discovery.Status{URL: "lsd", Seeds: -1, Leeches: -1, Downloads: -1, Interval: interval}}
}

// finder implements discovery.Finder. Its fields are guarded by the service's lock.
//
// An announce takes no time: it hands its torrent's names to the service and tells of the peers that were heard since the last. So Next is
// now as soon as one is heard. A torrent that rests meanwhile need not notice: the service announces it to those who just came, who connect.
type finder struct {
	service   *Service
	names     []ident.V1 // empty until the first announce
	asked     time.Time  // the last call of Announce
	announced time.Time  // when the names last were
	next      time.Time  // zero: now
	pause     time.Duration
	heard     map[netip.AddrPort]time.Time // when they were last told of
	fresh     []discovery.Peer             // not told of yet
	status    discovery.Status
}

// Next implements discovery.Finder.
func (f *finder) Next() (time.Time, bool) {
	f.service.mu.Lock()
	defer f.service.mu.Unlock()
	return f.next, true
}

// Announce implements discovery.Finder. It returns at once; found is called from the caller's goroutine.
func (f *finder) Announce(ctx context.Context, t discovery.Torrent, found func([]discovery.Peer)) {
	if ctx.Err() != nil {
		return
	}
	names := t.InfoHash().Swarms()
	if fresh := f.announce(names, time.Now()); len(fresh) > 0 {
		found(fresh)
	}
}

func (f *finder) announce(names []ident.V1, now time.Time) []discovery.Peer {
	s := f.service
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.names == nil {
		f.pause = firstPause
	} else {
		f.pause = min(2*f.pause, interval)
	}
	f.register(names)
	f.asked = now
	due := f.announced.Add(interval)
	if !due.After(now) {
		f.hand(now.Add(gather))
		due = now.Add(interval)
	}
	f.next, f.status.Next = now.Add(f.pause), due
	if due.Before(f.next) {
		f.next = due
	}
	f.status.Message = ""
	if f.status.Working = s.failure == nil; !f.status.Working {
		f.status.Message = s.failure.Error()
	}
	fresh := f.fresh
	f.fresh = nil
	return fresh
}

// register has the service know the torrent by its names.
func (f *finder) register(names []ident.V1) {
	f.forget()
	f.names = names
	for _, name := range names {
		f.service.torrents[name] = f
	}
}

// forget has the service know the torrent no more.
func (f *finder) forget() {
	for _, name := range f.names {
		if f.service.torrents[name] == f {
			delete(f.service.torrents, name)
		}
	}
}

// hand gives the names to the service to announce.
func (f *finder) hand(from time.Time) {
	for _, name := range f.names {
		f.service.schedule.add(name, from)
	}
	f.service.nudge()
}

// hear notes that a peer has announced the torrent. Who has not been heard lately is answered, unless it must have heard us.
func (f *finder) hear(peer netip.AddrPort, now, answer time.Time) {
	last, known := f.heard[peer]
	if known && now.Sub(last) < again {
		return
	}
	if !known && len(f.heard) >= maxPeers {
		for p, at := range f.heard {
			if now.Sub(at) > interval+shortest {
				delete(f.heard, p)
			}
		}
		if len(f.heard) >= maxPeers {
			return
		}
	}
	if f.heard == nil {
		f.heard = map[netip.AddrPort]time.Time{}
	}
	f.heard[peer] = now
	f.fresh = append(f.fresh, discovery.Peer{Addr: peer, Source: discovery.LSD})
	f.fresh = f.fresh[max(0, len(f.fresh)-maxPeers):]
	f.status.Last, f.status.Peers = now, len(f.heard)
	if f.next = now; !known {
		f.hand(later(answer, f.announced.Add(shortest)))
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Hurry implements discovery.Finder.
func (f *finder) Hurry() {
	s := f.service
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); f.names != nil && now.Sub(f.announced) >= shortest {
		f.hand(now.Add(gather))
	}
}

// Completed implements discovery.Finder: an announce does not tell whether a peer is a seed.
func (f *finder) Completed() {}

// Withdraw implements discovery.Finder: the torrent is announced no more. Nothing is sent.
func (f *finder) Withdraw(context.Context, discovery.Torrent) {
	s := f.service
	s.mu.Lock()
	defer s.mu.Unlock()
	f.leave()
	f.names, f.fresh, f.heard = nil, nil, nil
	f.announced, f.next, f.status.Next = time.Time{}, time.Time{}, time.Time{}
}

// leave forgets the torrent, and what of it waits to be announced.
func (f *finder) leave() {
	f.forget()
	for _, name := range f.names {
		f.service.schedule.remove(name)
	}
}

// Status implements discovery.Finder.
func (f *finder) Status() []discovery.Status {
	f.service.mu.Lock()
	defer f.service.mu.Unlock()
	return []discovery.Status{f.status}
}
