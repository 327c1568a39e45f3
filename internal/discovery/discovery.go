// Package discovery is the vocabulary in which any way of finding peers (tracker, DHT, LSD, overlay, a static list)
// speaks to a torrent.
package discovery

import (
	"context"
	"net/netip"
	"time"

	"shoal/internal/ident"
)

// Source tells how a peer's address was learnt.
type Source uint8

// The ways to learn an address.
const (
	Tracker  Source = iota // a tracker's answer
	Static                 // named by the person: --peer, x.pe
	PEX                    // another peer (BEP 11)
	Incoming               // it connected to us
	DHT
	LSD
)

var sourceNames = [...]string{"tracker", "static", "pex", "incoming", "dht", "lsd"}

// String returns the name shown to people and in JSON.
func (s Source) String() string { return sourceNames[s] }

// Peer is one address where a peer may listen.
type Peer struct {
	Addr   netip.AddrPort
	Source Source
}

// Progress is what a torrent tells trackers about itself: bytes of this run, and bytes still wanted.
type Progress struct {
	Uploaded, Downloaded, Left int64
}

// Torrent is what a finder may ask of the torrent that it works for. Its methods are safe for concurrent use.
type Torrent interface {
	// InfoHash returns the names under which to look; a hybrid is announced under both (BEP 52).
	InfoHash() ident.InfoHash
	// PeerID returns the id to announce.
	PeerID() ident.PeerID
	// Port returns the TCP port where we listen, or 0.
	Port() uint16
	// Progress returns the counters to announce.
	Progress() Progress
	// WantPeers returns how many more addresses the torrent can use now: 0 makes an announce ask for none.
	WantPeers() int
}

// Status is one line about a place where a finder asks, for people and for --json.
type Status struct {
	URL        string        // the place: a tracker's URL
	Tier       int           // its tier, from 0 (BEP 12)
	Working    bool          // the last answer was a success
	Message    string        // the last failure or warning in words, empty if none
	Seeds      int           // complete peers as the place counts them, -1 if unknown
	Leeches    int           // incomplete peers, -1 if unknown
	Downloads  int           // completed downloads, -1 if unknown
	Peers      int           // addresses in the last answer
	Last, Next time.Time     // the last answer and the next announce; zero if none
	Interval   time.Duration // as the place asked
}

// Finder finds peers for one torrent. It has no goroutine between its announces: its owner asks when the next one is due. Its
// methods are safe for concurrent use, but for Announce and Withdraw, of which one call at a time is made.
type Finder interface {
	// Next returns when Announce is to be called, or false: not unless Hurry or Completed changes that. What it says while
	// Announce is at work does not count.
	Next() (time.Time, bool)
	// Announce looks for peers at the places where that is due now, and calls found with each batch, from its own goroutines.
	// It returns when nobody is being asked any more, or soon after ctx is done.
	Announce(ctx context.Context, t Torrent, found func([]Peer))
	// Hurry asks for an early announce because the torrent has run out of peers. The finder keeps to the minimum
	// intervals that its places set.
	Hurry()
	// Completed has the places told, once, that the torrent became complete during this run (BEP 3).
	Completed()
	// Withdraw takes the torrent back (stopped events) until ctx is done. Announce may begin anew afterwards.
	Withdraw(ctx context.Context, t Torrent)
	// Status returns one line for each place.
	Status() []Status
}
