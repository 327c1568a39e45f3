// Package road reaches peers: over TCP or uTP, encrypted or plain, up to the end of the handshakes.
//
//	outgoing: filter, slot → TCP or uTP, whichever stands first → encrypted handshake (MSE), or plain → BitTorrent handshake
//	incoming: encrypted or plain, as its first bytes tell → BitTorrent handshake
package road

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"shoal/internal/bt/peer"
	"shoal/internal/bt/swarm"
	"shoal/internal/bt/wire"
	"shoal/internal/ident"
	"shoal/internal/ipfilter"
	"shoal/internal/netx"
)

// dialTimeout bounds an attempt to connect, over all roads.
const dialTimeout = 10 * time.Second

// Policy is what the roads of a session have in common.
type Policy struct {
	Encryption Encryption
	Filter     *ipfilter.Filter // addresses that are neither dialled nor let in; nil: none
	NoTCP      bool             // dial over uTP only
	Slots      chan struct{}    // has room for the dials that may be under way at once
	Full       func() bool      // there are as many connections as may be

	mu        sync.Mutex
	plainOnly map[netip.AddrPort]bool // addresses that did not understand encryption
}

// Roads are how peers are reached over one network. They are safe for concurrent use.
type Roads struct {
	*Policy
	Network netx.Network
	UTP     Dialler // nil: TCP only
}

// Dialler connects over uTP.
type Dialler interface {
	DialPeer(ctx context.Context, to netip.AddrPort) (net.Conn, error)
}

// headStart is how long the preferred road has to connect before the other is tried beside it (as RFC 8305 does with families).
const headStart = 300 * time.Millisecond

// errBlocked says that the IP filter does not let an address in.
var errBlocked = errors.New("the address is blocked by the IP filter")

// Blocked reports whether there is to be nothing to do with an address.
func (p *Policy) Blocked(a netip.Addr) bool { return p.Filter.Blocked(a) }

// Dial connects to a peer and exchanges handshakes (BEP 3): ours is said, and the peer must answer for the same swarm or, where that is
// set, for upgrade: a hybrid torrent's v2 swarm (BEP 52). It fails with peer.ErrNoSlot if too many are being dialled or connected, and with
// peer.ErrGreeting if a connection stood and the peer did not answer as it should.
func (r *Roads) Dial(ctx context.Context, c swarm.Candidate, ours wire.Handshake, upgrade ident.V1) (net.Conn, wire.Handshake, error) {
	if r.Blocked(c.Addr.Addr()) {
		return nil, wire.Handshake{}, errBlocked
	}
	if r.Full() {
		return nil, wire.Handshake{}, peer.ErrNoSlot
	}
	var theirs wire.Handshake
	var err error
	for _, m := range r.manners(c.Addr) {
		var conn net.Conn
		if conn, err = r.connect(ctx, c); err != nil {
			break
		}
		if conn, theirs, err = r.greet(ctx, conn, m, ours, upgrade); err == nil {
			r.met(c.Addr, m)
			return conn, theirs, nil
		}
		err = errors.Join(peer.ErrGreeting, err)
		if ctx.Err() != nil || errors.Is(err, peer.ErrSelf) {
			break
		}
	}
	return nil, theirs, err
}

// connect reaches an address over TCP or uTP, whichever stands first, if a slot is free. On a local network TCP is preferred, for its speed;
// elsewhere uTP, because it yields to what else the line is used for.
func (r *Roads) connect(ctx context.Context, c swarm.Candidate) (net.Conn, error) {
	select {
	case r.Slots <- struct{}{}:
		defer func() { <-r.Slots }()
	default:
		return nil, peer.ErrNoSlot
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	tcp := func(ctx context.Context) (net.Conn, error) { return r.Network.Dial(ctx, "tcp", c.Addr.String()) }
	if r.UTP == nil {
		return tcp(ctx)
	}
	utp := func(ctx context.Context) (net.Conn, error) { return r.UTP.DialPeer(ctx, c.Addr) }
	switch {
	case c.Punch || r.NoTCP:
		return utp(ctx)
	case IsLocal(c.Addr.Addr()):
		return race(ctx, tcp, utp)
	}
	return race(ctx, utp, tcp)
}

// IsLocal reports whether an address is of this machine or its local network: loopback, private or link-local.
func IsLocal(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast()
}

// attempt is the outcome of a try to connect.
type attempt struct {
	conn net.Conn
	err  error
}

// race connects by the first way, and beside it by the second once the first has failed or used up its head start. The first
// connection that stands wins. If none does, the error is that of the first way.
func race(ctx context.Context, ways ...func(context.Context) (net.Conn, error)) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	outcomes := make(chan attempt, len(ways))
	began, running := 0, 0
	begin := func() {
		way := ways[began]
		began++
		running++
		go func() {
			c, err := way(ctx)
			outcomes <- attempt{c, err}
		}()
	}
	begin()
	lead := time.NewTimer(headStart)
	defer lead.Stop()
	var first error
	for running > 0 {
		select {
		case <-lead.C:
			if began < len(ways) {
				begin()
			}
		case a := <-outcomes:
			running--
			if a.err == nil {
				cancel()
				for ; running > 0; running-- { // who comes late is sent away
					if late := <-outcomes; late.conn != nil {
						late.conn.Close()
					}
				}
				return a.conn, nil
			}
			if first == nil {
				first = a.err
			}
			if began < len(ways) && ctx.Err() == nil {
				begin()
			}
		}
	}
	return nil, first
}
