package torrent

import (
	"errors"
	"net/netip"
	"time"

	"shoal/internal/bt/peer"
	"shoal/internal/bt/swarm"
	"shoal/internal/bt/wire"
	"shoal/internal/ident"
)

// apply carries out what the swarm asks for, and flushes every link that got something.
func (t *Torrent) apply(now time.Duration) {
	for _, e := range t.sw.Drain(now) {
		if e.Peer != 0 {
			t.applyPeer(e)
			continue
		}
		switch e.Kind {
		case swarm.Dial:
			t.dial(e.Arg.(swarm.Candidate))
		case swarm.Store:
			t.store.Write(int(e.Piece), int(e.Begin), e.Block)
		case swarm.Verify:
			t.store.Verify(int(e.Piece), e.OK)
		case swarm.Discard:
			t.store.Discard(int(e.Piece))
		case swarm.Completed:
			t.completed()
		}
	}
	for _, l := range t.touched {
		l.Flush()
	}
	clear(t.touched)
	t.touched = t.touched[:0]
}

// applyPeer carries out an effect on one peer.
func (t *Torrent) applyPeer(e swarm.Effect) {
	l := t.link(e.Peer)
	if l == nil {
		return
	}
	if n := len(t.touched); n == 0 || t.touched[n-1] != l {
		t.touched = append(t.touched, l)
	}
	if e.Kind == swarm.Drop {
		why, _ := e.Arg.(error)
		l.Close(why)
		return
	}
	switch l := l.(type) {
	case *peer.Conn:
		t.send(l, e)
	case *webSeed:
		l.effect(e)
	}
}

// send turns an effect into a message.
func (t *Torrent) send(c *peer.Conn, e swarm.Effect) {
	piece, begin, length := uint32(e.Piece), uint32(e.Begin), uint32(e.Length)
	switch e.Kind {
	case swarm.SendRequest:
		c.Queue(func(b []byte) []byte { return wire.AppendRequest(b, piece, begin, length) })
	case swarm.SendCancel:
		c.Queue(func(b []byte) []byte { return wire.AppendCancel(b, piece, begin, length) })
	case swarm.SendInterested:
		c.Queue(wire.AppendInterested)
	case swarm.SendNotInterested:
		c.Queue(wire.AppendNotInterested)
	case swarm.SendChoke:
		c.Choke()
	case swarm.SendUnchoke:
		c.Unchoke()
	case swarm.SendHave:
		c.Queue(func(b []byte) []byte { return wire.AppendHave(b, piece) })
	case swarm.SendDontHave:
		if ext := c.Extension(wire.ExtDontHave); ext != 0 {
			c.Queue(func(b []byte) []byte { return wire.AppendExtended(b, ext, wire.AppendDontHave(nil, piece)) })
		}
	case swarm.SendHaveAll, swarm.SendHaveNone, swarm.SendBitfield:
		t.sendPieces(c, e)
	case swarm.SendAllowedFast:
		t.allowFast(c)
	case swarm.SendPEX:
		t.sendPEX(c, e.Arg.(*swarm.PEXUpdate))
	case swarm.SendHolepunch:
		if ext := c.Extension(wire.ExtHolepunch); ext != 0 {
			body := e.Arg.(*wire.Holepunch).Append(nil)
			c.Queue(func(b []byte) []byte { return wire.AppendExtended(b, ext, body) })
		}
	}
}

// sendPieces tells what we have in the first message. Without BEP 6 a bitfield says it, or silence.
func (t *Torrent) sendPieces(c *peer.Conn, e swarm.Effect) {
	switch {
	case e.Kind == swarm.SendHaveNone && c.Fast():
		c.Queue(wire.AppendHaveNone)
	case e.Kind == swarm.SendHaveNone:
	case e.Kind == swarm.SendHaveAll && c.Fast():
		c.Queue(wire.AppendHaveAll)
	default:
		set := t.view.Snapshot()
		c.Queue(func(b []byte) []byte { return wire.AppendBitfield(b, set.Bytes()) })
	}
}

// allowedFast is how many pieces a peer may ask for while choked, as BEP 6 advises.
const allowedFast = 10

func (t *Torrent) allowFast(c *peer.Conn) {
	addr := addrPort(c.RemoteAddr()).Addr()
	c.AllowFast(wire.AllowedFastSet(t.infoHash.Load().Key(), addr, t.info.Layout.Pieces(), allowedFast))
}

func (t *Torrent) sendPEX(c *peer.Conn, u *swarm.PEXUpdate) {
	ext := c.Extension(wire.ExtPEX)
	if ext == 0 {
		return
	}
	p := wire.PEX{Added: make([]wire.PEXPeer, 0, len(u.Added)), Dropped: u.Dropped}
	for _, a := range u.Added {
		var flags uint8
		if a.Seed {
			flags |= wire.PEXSeed
		}
		if a.Outgoing {
			flags |= wire.PEXReachable
		}
		if a.UTP {
			flags |= wire.PEXUTP
		}
		if a.Holepunch {
			flags |= wire.PEXHolepunch
		}
		p.Added = append(p.Added, wire.PEXPeer{Addr: a.Addr, Flags: flags})
	}
	body := p.Append(nil)
	c.Queue(func(b []byte) []byte { return wire.AppendExtended(b, ext, body) })
}

// Patience with connections, swept once a second instead of by timers of their own.
const (
	keepAlive = 100 * time.Second // BEP 3: peers close after two minutes of silence
	deaf      = 4 * time.Minute   // without a word from the peer
)

var errDeaf = errors.New("peer has been silent for minutes")

// tick does what time asks for.
func (t *Torrent) tick(now time.Duration) {
	t.lastTick = now
	clock := time.Now()
	t.countAll(now)
	t.conns(func(_ ident.Peer, c *peer.Conn) {
		in, out := c.Quiet(clock)
		switch {
		case in > deaf:
			c.Close(errDeaf)
		case out > keepAlive:
			c.Queue(wire.AppendKeepAlive)
			c.Flush()
		}
	})
	t.tickWeb(now)
	t.tickMetadata(now)
	t.tickLayers(now)
	t.tickDisk(now)
	t.tickTrackers(now)
	t.sw.Tick(now)
	t.hurry()
	t.tickFinders()
	t.publish()
}

// countAll tells the swarm the totals of every link.
func (t *Torrent) countAll(now time.Duration) {
	for id, l := range t.links {
		if l != nil {
			t.count(now, ident.Peer(id), l)
		}
	}
}

// hurry has the finders look again when there is nobody left to fetch from or to dial; they keep to their places' intervals.
func (t *Torrent) hurry() {
	st := t.sw.Stats()
	if !t.finding || t.sw.Done() || t.phase != Downloading || st.Peers > 0 || st.Candidates > 0 || st.Dials > 0 {
		return
	}
	for _, f := range *t.finders.Load() {
		f.Hurry()
	}
}

// count tells the swarm the totals of a link.
func (t *Torrent) count(now time.Duration, id ident.Peer, l link) {
	down, up := l.Totals()
	t.sw.Step(now, swarm.Event{Kind: swarm.Traffic, Peer: id, Arg: &swarm.Totals{Down: down, Up: up}})
}

// other handles events that are not the swarm's.
func (t *Torrent) other(now time.Duration, e swarm.Event) {
	switch a := e.Arg.(type) {
	case func():
		a()
	case arrival:
		t.join(now, a)
	case turn:
		a.do(a.gate.Leave)
	case openedStore:
		t.opened(a.handle, a.err)
	case webEvent:
		t.webEvent(now, e, a)
	case *peer.Message:
		if t.link(e.Peer) == link(a.From) {
			t.message(now, e.Peer, a)
		}
	}
}

func (t *Torrent) message(now time.Duration, id ident.Peer, m *peer.Message) {
	switch {
	case m.Ext != nil:
		m.From.SetExtensions(m.Ext.M)
		t.sameTrackers(id, m.Ext.TR)
		if t.fetch != nil && m.Ext.MetadataSize > 0 && m.From.Extension(wire.ExtMetadata) != 0 {
			t.fetch.Announced(id, m.Ext.MetadataSize)
			t.askMetadata(now)
		}
	case m.Meta != nil:
		t.metadataMessage(now, id, m.From, m.Meta)
	case m.Hash != nil:
		t.hashMessage(now, id, m)
	case m.NodePort != 0:
		if t.hasNode() {
			t.cfg.Node(netip.AddrPortFrom(addrPort(m.From.RemoteAddr()).Addr(), m.NodePort))
		}
	case m.Trackers != nil:
		t.takeTrackers(m.Trackers)
	}
}
