package swarm

import (
	"cmp"
	"net/netip"
	"time"

	"shoal/internal/bitfield"
	"shoal/internal/ident"
)

// peer is what the swarm knows of one connection.
type peer struct {
	id   ident.Peer
	info PeerInfo
	ext  PeerExtensions

	has     bitfield.Set // without memory while it has nothing or is a seed
	seed    bool         // has everything
	pieces  int          // how many it has
	patient bool         // is or was a seed: it hears of our pieces later, see tellSeeds
	early   early        // what it said before the layout was known

	theyChoke, theyInterest bool
	weChoke, weInterest     bool
	chokedAt                time.Duration // when weChoke last changed
	optimistic              bool
	wanted                  int // pieces it has that we want

	pipe        pipeline
	allowedFast map[int32]bool // pieces it serves although it chokes us (BEP 6)
	refused     map[int32]bool // pieces it rejected of late, though it does not choke us
	refusedTill time.Duration  // when to ask for them again
	dry         uint64         // the swarm's change count when it last had nothing to ask of this peer

	joined    time.Duration
	downTotal int64
	upTotal   int64
	marks     Totals        // when the rates were last computed
	markedAt  time.Duration // that is
	downRate  float64       // bytes/s, smoothed
	upRate    float64
	unasked   int // blocks that came although nobody asked
	useful    bool
	dropped   bool // its connection is being closed

	pex     pexPlace
	punches time.Duration // its hole punching messages have used up time to here
	shown   *shown        // super-seeding: the pieces it was shown; nil: all
}

// early keeps what a peer said about its pieces until their number is known.
type early struct {
	bits  []byte
	haves []int32
	all   bool
}

// maxEarlyHaves bounds what is kept of have messages before the metadata is there.
const maxEarlyHaves = 1 << 16

// counts returns 1 for a connection with a peer, 0 for a web seed.
func (p *peer) counts() int {
	if p.info.WebSeed {
		return 0
	}
	return 1
}

func (p *peer) hasPiece(i int) bool { return p.seed || p.has.Has(i) }

// listen returns where the peer can be dialled, or an invalid address.
func (p *peer) listen() netip.AddrPort {
	switch {
	case p.info.Listen.IsValid():
		return p.info.Listen
	case p.ext.ListenPort != 0:
		return netip.AddrPortFrom(p.info.Addr.Addr(), p.ext.ListenPort)
	}
	return netip.AddrPort{}
}

// extensions takes an extension handshake. A later one says what has changed (BEP 10); the port is the first one named, so
// that nobody fills the list of addresses with his own.
func (p *peer) extensions(e PeerExtensions) {
	old := p.ext
	p.ext = e
	if old.ListenPort != 0 {
		p.ext.ListenPort = old.ListenPort
	}
	p.ext.ReqQ = cmp.Or(e.ReqQ, old.ReqQ)
	p.ext.Client = cmp.Or(e.Client, old.Client)
	p.ext.PEX = e.PEX || old.PEX
	p.ext.DontHave = e.DontHave || old.DontHave
	p.ext.Holepunch = e.Holepunch || old.Holepunch
}
