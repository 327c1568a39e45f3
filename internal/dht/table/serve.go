package table

import (
	"bytes"
	"net/netip"
	"time"

	"shoal/internal/dht/krpc"
)

const (
	headerSize    = 150 // bytes of an answer beside nodes, values and filters, at most
	filtersSize   = 2 * (6 + 4 + 256)
	strangerShare = 160 // bytes of "values" for an address that has not proved to be there
	maxSamples    = 20  // keys in an answer (BEP 51)
)

// serve answers a query.
func (c *Core) serve(now time.Duration, m *krpc.Message, from netip.AddrPort) {
	if c.cfg.ReadOnly {
		return
	}
	if !c.limits.allow(now, from.Addr()) {
		c.stats.Dropped++
		return
	}
	r := &c.reply
	*r = krpc.Message{Kind: krpc.Response, TID: m.TID, Version: c.cfg.Version, ID: c.self, IP: from}
	switch m.Method {
	case krpc.Ping:
	case krpc.FindNode:
		c.near(now, m, r)
	case krpc.GetPeers:
		c.getPeers(now, m, from)
	case krpc.AnnouncePeer:
		c.announcePeer(now, m, from)
	case krpc.Get:
		c.get(now, m, from)
	case krpc.Put:
		c.put(now, m, from)
	case krpc.SampleInfohashes:
		c.near(now, m, r)
		r.HasSamples = true
		r.Samples, r.Num, r.Interval = c.store.samples(now, c.cfg.Rand)
	case krpc.Unknown:
		// What asks for something near a key that we do not know of is answered as find_node is, so that others can extend it.
		if m.HasTarget {
			c.near(now, m, r)
		} else {
			c.refuse(krpc.MethodUnknown, "Method Unknown")
		}
	}
	c.limits.charge(from.Addr(), c.send(r, from))
	if !m.ReadOnly && m.ID != c.self && usable(from) {
		c.table.heard(now, krpc.Node{ID: m.ID, Addr: from}, true)
	}
}

// refuse makes the answer an error.
func (c *Core) refuse(code int64, text string) {
	r := &c.reply
	*r = krpc.Message{Kind: krpc.Error, TID: r.TID, Version: r.Version, IP: r.IP, Code: code, Text: []byte(text)}
}

// near fills in the nodes closest to the target, of the families that the asker wants (BEP 32).
func (c *Core) near(now time.Duration, m, r *krpc.Message) (free []byte) {
	free = c.scratch[:0]
	want4, want6 := m.Want4, m.Want6
	if !m.HasWant {
		want4, want6 = !c.cfg.IPv6, c.cfg.IPv6
	}
	if want4 {
		free, r.Nodes = c.compact(now, false, m.Target, free)
	}
	if want6 {
		free, r.Nodes6 = c.compact(now, true, m.Target, free)
	}
	return free
}

// compact appends the nodes of a family to buf, and returns what follows them in it, and them; nil if we are not of that family.
func (c *Core) compact(now time.Duration, ipv6 bool, target krpc.ID, buf []byte) (rest, nodes []byte) {
	of := c
	if ipv6 != c.cfg.IPv6 {
		if of = c.peer; of == nil {
			return buf, nil
		}
	}
	nodes = buf
	for _, n := range of.table.mixed(c.nodes[:0], target, K, good(now)) {
		nodes = krpc.AppendNode(nodes, n)
	}
	return nodes[len(nodes):], nodes
}

func (c *Core) getPeers(now time.Duration, m *krpc.Message, from netip.AddrPort) {
	r := &c.reply
	if !m.HasTarget {
		c.refuse(krpc.ProtocolError, "no info_hash")
		return
	}
	free := c.near(now, m, r)
	room := krpc.MaxMessage - headerSize - len(r.Nodes) - len(r.Nodes6)
	set := c.store.sets[m.Target]
	if set == nil || !set.full() { // BEP 33: who keeps as many as a filter can tell apart takes no more
		c.token(now, m, from)
	}
	if set == nil {
		return
	}
	if m.Scrape {
		r.SeedFilter, r.PeerFilter = set.filters()
		room -= filtersSize
	}
	if !c.limits.hasProved(from.Addr()) {
		room = min(room, strangerShare)
	}
	r.Values = set.pick(free, room, m.NoSeed, c.cfg.Rand)
	r.HasValues = len(r.Values) > 0
}

// token gives the asker the right to write.
func (c *Core) token(now time.Duration, m *krpc.Message, from netip.AddrPort) {
	c.issued = c.tokens.issue(now, from.Addr(), m.Target)
	c.reply.Token = c.issued[:]
}

// mayWrite checks the token of a query that stores something under a key.
func (c *Core) mayWrite(now time.Duration, m *krpc.Message, from netip.AddrPort, key krpc.ID) bool {
	if !c.tokens.check(now, m.Token, from.Addr(), key) {
		c.refuse(krpc.ProtocolError, "bad token")
		return false
	}
	c.limits.prove(from.Addr())
	return true
}

func (c *Core) announcePeer(now time.Duration, m *krpc.Message, from netip.AddrPort) {
	addr := from
	if !m.ImpliedPort {
		addr = netip.AddrPortFrom(from.Addr(), m.Port)
	}
	if !m.HasTarget || addr.Port() == 0 {
		c.refuse(krpc.ProtocolError, "no info_hash or port")
		return
	}
	if c.mayWrite(now, m, from, m.Target) {
		c.store.add(now, c.self, m.Target, addr, m.Seed, c.cfg.Rand)
	}
}

// get answers with an item (BEP 44).
func (c *Core) get(now time.Duration, m *krpc.Message, from netip.AddrPort) {
	r := &c.reply
	if !m.HasTarget {
		c.refuse(krpc.ProtocolError, "no target")
		return
	}
	c.near(now, m, r)
	c.token(now, m, from)
	it := c.items.held[m.Target]
	if it == nil {
		return
	}
	if it.mutable {
		r.HasSeq, r.Seq = true, it.seq
		if m.HasSeq && it.seq <= m.Seq {
			return
		}
		r.Key, r.Sig = it.key[:], it.sig[:]
	}
	r.Value = it.value
}

// put stores an item (BEP 44).
func (c *Core) put(now time.Duration, m *krpc.Message, from netip.AddrPort) {
	if m.Value == nil {
		c.refuse(krpc.ProtocolError, "no v")
		return
	}
	if code := krpc.CheckValue(m.Value); code != 0 {
		c.refuse(code, "v is too big or not canonical")
		return
	}
	if m.Key == nil {
		key := krpc.Immutable(m.Value)
		if c.mayWrite(now, m, from, key) {
			c.items.put(now, c.self, key, item{value: bytes.Clone(m.Value)})
		}
		return
	}
	if len(m.Salt) > krpc.MaxSalt {
		c.refuse(krpc.SaltTooBig, "salt is too big")
		return
	}
	key := krpc.Mutable(m.Key, m.Salt)
	if !c.mayWrite(now, m, from, key) {
		return
	}
	if !m.HasSeq || m.Seq < 0 || m.Sig == nil {
		c.refuse(krpc.ProtocolError, "no seq or sig")
		return
	}
	held := c.items.held[key]
	switch {
	case held == nil:
	case m.HasCAS && m.CAS != held.seq:
		c.refuse(krpc.CASMismatch, "cas is not the seq held")
		return
	case m.Seq < held.seq, m.Seq == held.seq && !bytes.Equal(m.Value, held.value):
		c.refuse(krpc.SeqLessThanHeld, "seq is not above the one held")
		return
	}
	if !krpc.Verify(m.Key, m.Salt, m.Seq, m.Value, m.Sig) {
		c.refuse(krpc.InvalidSig, "invalid signature")
		return
	}
	it := item{value: bytes.Clone(m.Value), mutable: true, seq: m.Seq}
	copy(it.key[:], m.Key)
	copy(it.sig[:], m.Sig)
	c.items.put(now, c.self, key, it)
}
