package torrent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"shoal/internal/bt/swarm"
	"shoal/internal/discovery"
	"shoal/internal/storage"
)

// What a person changes while the torrent is at work.

// SetRates changes the torrent's own limits, in bytes/s; 0 is no limit. The torrent must have been added as adjustable.
func (t *Torrent) SetRates(down, up int64) {
	t.cfg.Down.SetRate(down)
	t.cfg.Up.SetRate(up)
}

// Hold stops asking for blocks, and goes on serving; why is the Problem that Status tells. nil goes on asking.
func (t *Torrent) Hold(why error) error {
	return t.call(func() {
		t.held = why
		t.sw.Step(t.now(), swarm.Event{Kind: swarm.Hold, OK: why != nil})
		t.publish()
	})
}

// Look returns the latest look without what time alone has changed since. The pointer is another one when there is a new look; what it
// points to does not change.
func (t *Torrent) Look() *Status { return t.status.Load() }

// AddPeers tells of peers that the person knows.
func (t *Torrent) AddPeers(addrs []netip.AddrPort) error {
	list := make([]discovery.Peer, len(addrs))
	for i, a := range addrs {
		list[i] = discovery.Peer{Addr: a, Source: discovery.Static}
	}
	return t.call(func() { t.sw.Step(t.now(), swarm.Event{Kind: swarm.Found, Arg: list}) })
}

// Announce looks for peers now, as far as the places that are asked let us.
func (t *Torrent) Announce() error {
	return t.call(func() {
		for _, f := range *t.finders.Load() {
			f.Hurry()
		}
		t.tickFinders()
	})
}

// announcer is a finder whose trackers can be changed.
type announcer interface {
	Insert(urls []string)
	Delete(url string) bool
}

// ErrNoTracker says that a torrent does not have a tracker.
var ErrNoTracker = errors.New("the torrent has no such tracker")

// AddTrackers adds trackers, each a tier of its own after those that are there, and asks them.
func (t *Torrent) AddTrackers(urls []string) error {
	return t.call(func() {
		t.announcers(func(a announcer) { a.Insert(urls) })
		t.tickFinders()
	})
}

// RemoveTracker takes a tracker away. The error wraps ErrNoTracker if it is not there.
func (t *Torrent) RemoveTracker(url string) error {
	found := false
	if err := t.call(func() { t.announcers(func(a announcer) { found = a.Delete(url) || found }) }); err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("%w: %s", ErrNoTracker, url)
	}
	return nil
}

func (t *Torrent) announcers(visit func(announcer)) {
	for _, f := range *t.finders.Load() {
		if a, ok := f.Finder.(announcer); ok {
			visit(a)
		}
	}
}

// Piece is a look at one piece: bits.
type Piece = byte

// Bits of a Piece.
const (
	Begun    Piece = 1 // some of its blocks are there or asked for
	There    Piece = 2
	Unwanted Piece = 0x80
)

// Map returns a look at every piece, nil until the content is known.
func (t *Torrent) Map() []Piece {
	var out []Piece
	_ = t.call(func() {
		if t.view == nil {
			return
		}
		out = make([]Piece, t.view.Len())
		lay := &t.info.Layout
		for i := range out {
			out[i] = Unwanted
			if t.view.Has(i) {
				out[i] |= There
			}
		}
		for i := range lay.Files {
			if !t.wanted[i] {
				continue
			}
			first, end := lay.FilePieces(i)
			for k := first; k < end; k++ {
				out[k] &^= Unwanted
			}
		}
		for _, p := range t.sw.Partials() {
			out[p.Piece] |= Begun
		}
	})
	return out
}

// Erase ends the torrent as Close does, and deletes its files, unless it was added read-only. The error is of the deletion, or ctx's.
func (t *Torrent) Erase(ctx context.Context) error {
	t.erase.Store(true)
	if err := t.Close(ctx); err != nil {
		return err
	}
	return t.eraseErr
}

// shut closes content, or deletes it if the torrent is to be erased.
func (t *Torrent) shut(h storage.Handle) {
	if t.erase.Load() {
		t.eraseErr = h.Remove()
	} else {
		h.Close()
	}
}
