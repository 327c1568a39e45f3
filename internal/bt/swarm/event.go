package swarm

import (
	"net/netip"

	"shoal/internal/block"
	"shoal/internal/discovery"
	"shoal/internal/ident"
)

// EventKind says what happened.
type EventKind uint8

// What can happen. The comment names the fields of Event that count beside Peer.
const (
	Joined        EventKind = iota // Arg *PeerInfo: a peer finished its handshake
	Left                           // Arg error or nil: its connection is gone; every other event of it came before
	Choked                         //
	Unchoked                       //
	Interested                     //
	NotInterested                  //
	Have                           // Piece
	Bitfield                       // Arg []byte, which the swarm keeps
	HaveAll                        //
	HaveNone                       //
	DontHave                       // Piece (BEP 54)
	Suggested                      // Piece
	AllowedFast                    // Piece
	Arrived                        // Piece, Begin, Block: the swarm owns the block
	Rejected                       // Piece, Begin: a request will not be served (BEP 6)
	Extensions                     // Arg *PeerExtensions (BEP 10)
	UploadOnly                     // OK
	PEX                            // Arg []discovery.Peer: added (BEP 11)
	Holepunch                      // Arg *wire.Holepunch (BEP 55)
	Traffic                        // Arg *Totals: bytes of its connection so far, about once a second

	Found      // Arg []discovery.Peer: addresses from a finder
	DialFailed // Arg netip.AddrPort
	Refused    // Arg netip.AddrPort: no slot was free for the dial; it may be tried soon again
	Stored     // Arg storage.Result: what became of Verify or Recheck
	Pause      // OK: stop (true) or go on (false) asking for blocks and serving
	Hold       // OK: stop (true) or go on (false) asking for blocks; serving goes on
	SetSelf    // Arg netip.AddrPort: our address as others see it

	Other // Arg: for the loop that owns the swarm, which ignores it
)

// Event is one fact for the swarm.
type Event struct {
	Kind         EventKind
	OK           bool
	Peer         ident.Peer
	Piece, Begin int32
	Block        *block.Block
	Arg          any
}

// PeerInfo describes a peer as it joins.
type PeerInfo struct {
	Addr      netip.AddrPort // of the connection
	Listen    netip.AddrPort // where it can be dialled; invalid if unknown
	ID        ident.PeerID
	Source    discovery.Source
	Incoming  bool
	Fast      bool // BEP 6
	Extended  bool // BEP 10
	V2        bool // joined under the v2 name: hash requests and short tails (BEP 52)
	WebSeed   bool // BEP 17, 19: has everything, never chokes, wants nothing
	UTP       bool // over uTP (BEP 29)
	Encrypted bool // in RC4 (MSE)
}

// PeerExtensions is what a peer said in its extension handshake, as far as the swarm needs it.
type PeerExtensions struct {
	ReqQ       int    // requests it is ready to queue; 0: unsaid
	ListenPort uint16 // 0: unsaid
	PEX        bool
	DontHave   bool
	Holepunch  bool
	UploadOnly bool
	Client     string // name and version as it says
}

// Totals counts payload bytes of one connection.
type Totals struct {
	Down, Up int64
}

// EffectKind says what to do.
type EffectKind uint8

// What the swarm can ask for. The comment names the fields of Effect that count beside Peer.
const (
	SendRequest       EffectKind = iota // Piece, Begin, Length
	SendCancel                          // Piece, Begin, Length
	SendInterested                      //
	SendNotInterested                   //
	SendChoke                           // drop what it has asked for, except allowed-fast pieces
	SendUnchoke                         //
	SendHave                            // Piece
	SendHaveAll                         // its first message: we have everything
	SendHaveNone                        // its first message: we have, or show, nothing
	SendBitfield                        // its first message: what we have
	SendDontHave                        // Piece; only to peers that know BEP 54
	SendAllowedFast                     // the pieces that BEP 6 derives from its address; serve them even while it is choked
	SendPEX                             // Arg *PEXUpdate
	SendHolepunch                       // Arg *wire.Holepunch
	Drop                                // Arg error: close the connection
	Dial                                // Arg Candidate
	Store                               // Piece, Begin, Block: for storage.Handle.Write
	Verify                              // Piece; OK: digests wanted
	Discard                             // Piece
	Completed                           // every wanted piece is there
)

// Effect is one thing to be done.
type Effect struct {
	Kind                 EffectKind
	OK                   bool
	Peer                 ident.Peer
	Piece, Begin, Length int32
	Block                *block.Block
	Arg                  any
}

// Candidate is an address to dial.
type Candidate struct {
	Addr   netip.AddrPort
	Source discovery.Source
	Punch  bool // over uTP, for a relay said that the peer dials us now (BEP 55)
}

// PEXUpdate is what changed among our connections since a peer was last told (BEP 11).
type PEXUpdate struct {
	Added   []PEXPeer
	Dropped []netip.AddrPort
}

// PEXPeer is one address with what we know of the peer there.
type PEXPeer struct {
	Addr      netip.AddrPort
	Seed      bool
	Outgoing  bool // we reached it ourselves
	UTP       bool // over uTP
	Holepunch bool // it knows BEP 55
}
