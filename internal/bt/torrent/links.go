package torrent

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/peer"
	"shoal/internal/bt/swarm"
	"shoal/internal/bt/wire"
	"shoal/internal/discovery"
	"shoal/internal/ident"
	"shoal/internal/mse"
	"shoal/internal/rate"
)

// link is a source of blocks: a peer's connection or a web seed.
type link interface {
	Flush()
	Close(why error)
	Totals() (down, up int64) // payload bytes
}

// arrival is a connection whose handshakes are done: Arg of an event of kind swarm.Other.
type arrival struct {
	conn     net.Conn
	theirs   wire.Handshake
	incoming bool
	source   discovery.Source
	dialled  netip.AddrPort // outgoing only
}

// reserved are our capability bits. A hybrid torrent offers to go on in its v2 swarm (BEP 52).
func (t *Torrent) reserved() wire.Reserved {
	bits := []int{wire.BitExtended, wire.BitFast}
	if h := t.infoHash.Load(); h.HasV1() && h.HasV2() {
		bits = append(bits, wire.BitV2)
	}
	if t.hasNode() {
		bits = append(bits, wire.BitDHT)
	}
	return wire.OurReserved(bits...)
}

// hasNode reports whether the torrent has to do with a DHT node.
func (t *Torrent) hasNode() bool { return t.cfg.NodePort != 0 && !t.cfg.Apart && !t.cfg.Swarm.Private }

func (t *Torrent) handshake(name ident.V1) wire.Handshake {
	return wire.Handshake{Reserved: t.reserved(), InfoHash: name, PeerID: t.cfg.PeerID}
}

// dial connects to a candidate in a goroutine and posts the outcome. A hybrid's peer may know either name of the torrent.
func (t *Torrent) dial(c swarm.Candidate) {
	ctx := t.context()
	t.goes(func() {
		var err error
		for _, name := range t.infoHash.Load().Swarms() {
			var a arrival
			if a, err = t.greet(ctx, c, name); err == nil {
				if !t.box.Post(swarm.Event{Kind: swarm.Other, Arg: a}) {
					a.conn.Close()
				}
				return
			}
			if !errors.Is(err, peer.ErrGreeting) {
				break
			}
		}
		kind := swarm.DialFailed
		if errors.Is(err, peer.ErrNoSlot) {
			kind = swarm.Refused
		}
		t.box.Post(swarm.Event{Kind: kind, Arg: c.Addr})
	})
}

func (t *Torrent) greet(ctx context.Context, c swarm.Candidate, name ident.V1) (arrival, error) {
	var upgrade ident.V1
	if h := t.infoHash.Load(); h.HasV2() {
		upgrade = h.V2.Short()
	}
	conn, theirs, err := t.cfg.Dial(ctx, c, t.handshake(name), upgrade)
	if err != nil {
		return arrival{}, err
	}
	return arrival{conn: conn, theirs: theirs, source: c.Source, dialled: c.Addr}, nil
}

// Incoming hands over a connection that a peer made, after its handshake was read; ours is sent here. It waits for that.
func (t *Torrent) Incoming(c net.Conn, theirs wire.Handshake) {
	h := t.infoHash.Load()
	name := theirs.InfoHash
	if h.HasV1() && h.HasV2() && theirs.Reserved.V2() {
		name = h.V2.Short()
	}
	if err := peer.Answer(c, t.handshake(name), theirs); err != nil {
		c.Close()
		return
	}
	theirs.InfoHash = name
	if !t.box.Post(swarm.Event{Kind: swarm.Other, Arg: arrival{conn: c, theirs: theirs, incoming: true, source: discovery.Incoming}}) {
		c.Close()
	}
}

// number gives a new link its number.
func (t *Torrent) number(l link) ident.Peer {
	if n := len(t.free); n > 0 {
		id := t.free[n-1]
		t.free = t.free[:n-1]
		t.links[id] = l
		return id
	}
	if len(t.links) == 0 {
		t.links = append(t.links, nil) // no peer has the number 0
	}
	t.links = append(t.links, l)
	return ident.Peer(len(t.links) - 1)
}

// link returns the link with a number, or nil.
func (t *Torrent) link(id ident.Peer) link {
	if int(id) >= len(t.links) {
		return nil
	}
	return t.links[id]
}

// uncount takes a link that is gone out of the session's connections.
func (t *Torrent) uncount(l link) {
	if _, ok := l.(*peer.Conn); ok {
		t.cfg.Connections.Add(-1)
	}
}

// join takes a connection into the swarm.
func (t *Torrent) join(now time.Duration, a arrival) {
	addr := addrPort(a.conn.RemoteAddr())
	id := t.number(nil)
	down, up := t.limits(addr.Addr())
	h := *t.infoHash.Load()
	v2 := h.HasV2() && a.theirs.InfoHash == h.V2.Short()
	c := peer.New(peer.Config{
		ID: id, Conn: a.conn, Fast: a.theirs.Reserved.Fast(), V2: v2, Post: t.box.Put, Blocks: t.cfg.Blocks, Down: down, Up: up,
		Content: t.content(),
	})
	t.links[id] = c
	t.cfg.Connections.Add(1)
	t.sw.Step(now, swarm.Event{Kind: swarm.Joined, Peer: id, Arg: &swarm.PeerInfo{
		Addr: addr, Listen: a.dialled, ID: a.theirs.PeerID, Source: a.source, Incoming: a.incoming,
		Fast: a.theirs.Reserved.Fast(), Extended: a.theirs.Reserved.Extended(), V2: v2,
		UTP: isPacket(a.conn), Encrypted: mse.Encrypted(a.conn),
	}})
	t.apply(now)
	if a.theirs.Reserved.Extended() {
		t.greetExtended(c, addr)
	}
	if a.theirs.Reserved.DHT() && t.hasNode() {
		c.Queue(func(b []byte) []byte { return wire.AppendPort(b, t.cfg.NodePort) })
	}
	t.askHashes(now)
	c.Flush()
	c.Start()
}

// limits returns the rate limits that apply to an address.
func (t *Torrent) limits(a netip.Addr) (down, up *rate.Limiter) {
	if t.cfg.Exempt != nil && t.cfg.Exempt(a) {
		return nil, nil
	}
	return t.cfg.Down, t.cfg.Up
}

// greetExtended sends our extension handshake (BEP 10).
func (t *Torrent) greetExtended(c *peer.Conn, addr netip.AddrPort) {
	h := wire.ExtHandshake{
		M: peer.OurExtensions(t.cfg.Swarm.Private, t.cfg.Anonymous), Version: t.cfg.Version, ReqQ: peer.MaxRequests, TR: t.trackersHash(),
	}
	if !t.cfg.Anonymous {
		h.Port, h.YourIP = t.port(), addr.Addr()
	}
	if t.info != nil {
		h.MetadataSize = int64(len(t.info.Raw))
	}
	h.UploadOnly = t.sw.Done() && t.sw.Known() && !t.sw.Hiding()
	body := h.Append(nil)
	c.Queue(func(b []byte) []byte { return wire.AppendExtended(b, 0, body) })
}

// leave forgets a link whose reader has ended.
func (t *Torrent) leave(id ident.Peer) {
	l := t.link(id)
	if l == nil {
		return
	}
	t.uncount(l)
	t.links[id] = nil
	delete(t.exchange.told, id)
	t.free = append(t.free, id)
	if t.fetch != nil {
		t.fetch.Gone(id)
	}
	if t.layers != nil {
		t.layers.Gone(id)
	}
}

// conns calls f for every peer's connection.
func (t *Torrent) conns(f func(ident.Peer, *peer.Conn)) {
	for id, l := range t.links {
		if c, ok := l.(*peer.Conn); ok {
			f(ident.Peer(id), c)
		}
	}
}

// isPacket reports whether a connection runs over datagrams: uTP (BEP 29).
func isPacket(c net.Conn) bool {
	_, ok := c.RemoteAddr().(*net.UDPAddr)
	return ok
}

func addrPort(a net.Addr) netip.AddrPort {
	if u, ok := a.(*net.UDPAddr); ok {
		ap := u.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	if t, ok := a.(*net.TCPAddr); ok {
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	ap, _ := netip.ParseAddrPort(a.String())
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// content is what connections serve from, nil until it is known.
func (t *Torrent) content() *peer.Content {
	if t.store == nil {
		return nil
	}
	return contentOf(t.info, t)
}

func contentOf(info *metainfo.Info, t *Torrent) *peer.Content {
	return &peer.Content{Layout: &info.Layout, Have: t.view, ReadAt: t.store.ReadAt}
}
