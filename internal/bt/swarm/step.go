package swarm

import (
	"bytes"
	"net/netip"
	"slices"
	"time"

	"shoal/internal/bitfield"
	"shoal/internal/bt/picker"
	"shoal/internal/bt/wire"
	"shoal/internal/discovery"
	"shoal/internal/ident"
	"shoal/internal/storage"
)

// Step takes one event. Events of peers that have left or are dropped are ignored, but for their
// blocks, which are released.
func (s *Swarm) Step(now time.Duration, e Event) {
	s.rouse()
	switch e.Kind {
	case Joined:
		s.joined(now, e)
		return
	case Found:
		for _, a := range e.Arg.([]discovery.Peer) {
			s.list.Add(a)
		}
		s.dial(now)
		return
	case DialFailed:
		s.dials--
		addr := e.Arg.(netip.AddrPort)
		s.list.Failed(addr, now)
		s.punch(now, addr)
		s.dial(now)
		return
	case Refused:
		s.dials--
		s.list.Refused(e.Arg.(netip.AddrPort), now)
		return
	case Stored:
		s.stored(now, e.Arg.(storage.Result))
		return
	case Pause:
		s.pause(now, e.OK)
		return
	case Hold:
		s.hold(e.OK)
		return
	case SetSelf:
		s.list.SetSelf(e.Arg.(netip.AddrPort))
		return
	case Other:
		return
	}
	p := s.peer(e.Peer)
	if p == nil || p.dropped && e.Kind != Left && e.Kind != Traffic {
		e.Block.Release()
		return
	}
	s.stepPeer(now, p, e)
}

func (s *Swarm) stepPeer(now time.Duration, p *peer, e Event) {
	switch e.Kind {
	case Left:
		s.left(now, p)
	case Choked:
		s.choked(p)
	case Unchoked:
		p.theyChoke, p.refused = false, nil
		s.offers(p)
	case Interested:
		s.setInterest(p, true)
		s.interested(now, p)
	case NotInterested:
		s.setInterest(p, false)
		s.dropIfUseless(p)
	case Have:
		s.peerHas(now, p, int(e.Piece))
	case Bitfield:
		s.peerBits(now, p, e.Arg.([]byte))
	case HaveAll:
		s.peerHasAll(p)
	case HaveNone:
	case DontHave:
		s.peerLost(p, int(e.Piece))
	case Suggested: // advice that rarest first does not need
	case AllowedFast:
		if p.info.Fast && len(p.allowedFast) < 64 && e.Piece >= 0 && (s.lay == nil || int(e.Piece) < s.lay.Pieces()) {
			if p.allowedFast == nil {
				p.allowedFast = map[int32]bool{}
			}
			p.allowedFast[e.Piece] = true
			s.offers(p)
		}
	case Arrived:
		s.arrived(now, p, e)
	case Rejected:
		s.rejected(now, p, picker.Block{Piece: e.Piece, Index: e.Begin / blockSize})
	case Extensions:
		p.extensions(*e.Arg.(*PeerExtensions))
		s.learnListen(p)
		s.dropIfUseless(p)
	case UploadOnly:
		p.ext.UploadOnly = e.OK
		s.dropIfUseless(p)
	case PEX:
		s.pexIn(now, p, e.Arg.([]discovery.Peer))
	case Holepunch:
		s.punched(now, p, e.Arg.(*wire.Holepunch))
	case Traffic:
		s.traffic(now, p, e.Arg.(*Totals))
	}
}

func (s *Swarm) joined(now time.Duration, e Event) {
	info := e.Arg.(*PeerInfo)
	p := &peer{id: e.Peer, info: *info, theyChoke: true, weChoke: true, joined: now, chokedAt: now, punches: now - punchBurst*punchPause}
	p.pipe.target, p.pipe.least = firstTarget, minTarget
	if info.WebSeed {
		p.pipe.target, p.pipe.least = webTarget, webTarget
	}
	p.pex.next, p.pex.in, p.markedAt = now+10*time.Second, now, now
	for int(e.Peer) >= len(s.slots) {
		s.slots = append(s.slots, nil)
	}
	s.slots[e.Peer] = p
	s.peers = append(s.peers, p)
	s.live += p.counts()
	switch {
	case info.Incoming:
		s.incoming++
	case !info.WebSeed:
		s.dials--
	}
	if info.WebSeed {
		p.theyChoke, p.ext.ReqQ = false, maxTarget
		s.peerHasAll(p)
		return
	}
	s.learnListen(p)
	switch {
	case s.list.Banned(info.Addr.Addr()):
		s.drop(p, ErrBanned)
	case s.isDuplicate(now, p):
		s.drop(p, ErrDuplicate)
	default:
		s.greet(now, p)
		s.makeRoom()
	}
}

// greet tells a new peer what we have.
func (s *Swarm) greet(now time.Duration, p *peer) {
	switch {
	case s.lay == nil || s.have.Count() == 0 || s.superJoin(now, p):
		s.emit(Effect{Kind: SendHaveNone, Peer: p.id})
		if p.shown != nil {
			s.superShow(p)
		}
		return
	case s.have.All(): // and no allowed-fast pieces: with those, whoever waits for his turn would share the line
		s.emit(Effect{Kind: SendHaveAll, Peer: p.id})
		return
	default:
		s.emit(Effect{Kind: SendBitfield, Peer: p.id})
	}
	if p.info.Fast {
		s.emit(Effect{Kind: SendAllowedFast, Peer: p.id})
	}
}

// atOnce is how close two connections between the same peers begin when both ends dialled each other.
const atOnce = 30 * time.Second

// isDuplicate reports whether a new connection has to go because its peer is connected already; otherwise it drops the older
// one. Both ends must decide alike. Of two that began at once from either end, the one that the greater id made stays. Else the
// newer stays: who dials again has lost the older, whatever it looks like here.
func (s *Swarm) isDuplicate(now time.Duration, p *peer) bool {
	i := slices.IndexFunc(s.peers, func(o *peer) bool {
		return o != p && !o.dropped && !o.info.WebSeed && o.info.ID == p.info.ID && o.info.Addr.Addr() == p.info.Addr.Addr()
	})
	if i < 0 {
		return false
	}
	o := s.peers[i]
	if o.info.Incoming != p.info.Incoming && now-o.joined < atOnce {
		greater := bytes.Compare(s.cfg.ID[:], p.info.ID[:]) > 0
		if s.cfg.ID == (ident.PeerID{}) || greater == p.info.Incoming {
			return true
		}
	}
	s.drop(o, ErrDuplicate)
	return false
}

func (s *Swarm) learnListen(p *peer) {
	if a := p.listen(); a.IsValid() {
		s.list.Add(discovery.Peer{Addr: a, Source: p.info.Source})
		s.list.Connected(a, !p.info.Incoming)
		s.pex.arrived(p)
	}
}

func (s *Swarm) left(now time.Duration, p *peer) {
	s.releaseAll(p)
	if s.picker != nil {
		s.picker.Disown(p.id)
		s.uncount(p)
		s.superLeft(p)
	}
	if p.seed {
		s.seeds--
	}
	if p.useful && s.picker != nil {
		s.depart(p)
	}
	s.setInterest(p, false)
	if !p.dropped {
		s.live -= p.counts()
	}
	s.downTotal += p.downTotal
	s.upTotal += p.upTotal
	s.slots[p.id] = nil
	s.peers = slices.DeleteFunc(s.peers, func(o *peer) bool { return o == p })
	s.pex.left(p)
	s.punching.left(p)
	if a := p.listen(); a.IsValid() && !slices.ContainsFunc(s.peers, func(o *peer) bool { return o.listen() == a }) {
		s.list.Disconnected(a, now, p.useful)
	}
	if !p.weChoke {
		s.nextChoke = min(s.nextChoke, now) // its slot is free
	}
	s.wake()
	s.dial(now)
}

// uncount takes a peer's pieces out of the availability.
func (s *Swarm) uncount(p *peer) {
	if p.seed {
		return
	}
	for i := range s.lay.Pieces() {
		if p.has.Has(i) {
			s.picker.PeerLost(i)
		}
	}
}

func (s *Swarm) applyEarly(now time.Duration, p *peer) {
	e := p.early
	p.early = early{}
	if e.all || p.seed {
		p.seed = false
		s.peerHasAll(p)
	}
	if e.bits != nil {
		s.peerBits(now, p, e.bits)
	}
	for _, i := range e.haves {
		s.peerHas(now, p, int(i))
	}
}

func (s *Swarm) peerHas(now time.Duration, p *peer, piece int) {
	if s.lay == nil {
		if len(p.early.haves) < maxEarlyHaves {
			p.early.haves = append(p.early.haves, int32(piece))
		}
		return
	}
	if piece < 0 || piece >= s.lay.Pieces() {
		s.violation(p, "have piece %d of %d (BEP 3)", piece, s.lay.Pieces())
		return
	}
	if p.hasPiece(piece) {
		return
	}
	s.addPiece(p, piece)
	p.pieces++
	s.picker.PeerHas(piece)
	s.superHave(now, p, int32(piece))
	if p.pieces == s.lay.Pieces() {
		s.becameSeed(p)
	}
	if s.picker.Wants(piece) {
		p.wanted++
		s.updateInterest(p)
		s.offers(p)
	}
}

// addPiece notes that a peer has a piece and reports whether that is new. A peer that has nothing needs no memory for it.
func (s *Swarm) addPiece(p *peer, piece int) bool {
	if p.has.Len() == 0 {
		p.has = bitfield.New(s.lay.Pieces())
	}
	return p.has.Add(piece)
}

// becameSeed stops counting the peer's pieces one by one.
func (s *Swarm) becameSeed(p *peer) {
	s.uncount(p)
	p.seed, p.patient = true, true
	p.has = bitfield.Set{}
	s.seeds++
	s.list.Seed(p.listen(), true)
	s.dropIfUseless(p)
}

func (s *Swarm) peerBits(now time.Duration, p *peer, bits []byte) {
	if s.lay == nil {
		p.early.bits = bits
		return
	}
	set, err := bitfield.Parse(s.lay.Pieces(), bits)
	if err != nil {
		s.violation(p, "%v: %d bytes for %d pieces (BEP 3)", err, len(bits), s.lay.Pieces())
		return
	}
	if set.All() {
		s.peerHasAll(p)
		return
	}
	if p.seed {
		return
	}
	for i := range set.Len() {
		if set.Has(i) && s.addPiece(p, i) {
			p.pieces++
			s.picker.PeerHas(i)
			s.superHave(now, p, int32(i))
		}
	}
	if p.pieces == s.lay.Pieces() {
		s.becameSeed(p)
	}
	s.recount(p)
	s.offers(p)
}

func (s *Swarm) peerHasAll(p *peer) {
	if s.lay == nil {
		p.early.all = true
		return
	}
	if p.seed {
		return
	}
	p.pieces = s.lay.Pieces()
	s.becameSeed(p)
	s.recount(p)
	s.offers(p)
}

func (s *Swarm) peerLost(p *peer, piece int) {
	if s.lay == nil || piece < 0 || piece >= s.lay.Pieces() || !p.hasPiece(piece) {
		return
	}
	if p.seed {
		p.seed = false
		s.seeds--
		p.has = bitfield.New(s.lay.Pieces())
		p.has.Fill()
		for i := range s.lay.Pieces() {
			s.picker.PeerHas(i)
		}
	}
	p.has.Remove(piece)
	p.pieces--
	s.picker.PeerLost(piece)
	s.picker.Disown(p.id) // of that piece at least others must be asked
	s.recount(p)
	s.wake()
}

// recount counts anew what a peer has that we want.
func (s *Swarm) recount(p *peer) {
	if s.lay == nil {
		return
	}
	p.wanted = 0
	if p.seed {
		p.wanted, _ = s.picker.Missing()
	} else {
		for i := range s.lay.Pieces() {
			if p.has.Has(i) && s.picker.Wants(i) {
				p.wanted++
			}
		}
	}
	s.updateInterest(p)
}

func (s *Swarm) updateInterest(p *peer) {
	want := p.wanted > 0 && !s.cfg.ShareOnly
	if want == p.weInterest || p.weInterest && s.reading && !s.done { // who reads will soon want more, and a slot is hard to get back
		return
	}
	p.weInterest = want
	if p.info.WebSeed {
		return
	}
	if want {
		s.emit(Effect{Kind: SendInterested, Peer: p.id})
	} else {
		s.emit(Effect{Kind: SendNotInterested, Peer: p.id})
	}
}

func (s *Swarm) traffic(now time.Duration, p *peer, t *Totals) {
	if passed := (now - p.markedAt).Seconds(); passed >= 0.5 {
		const weight = 0.3 // of the last second; about 5 s of memory
		p.downRate += weight * (float64(t.Down-p.marks.Down)/passed - p.downRate)
		p.upRate += weight * (float64(t.Up-p.marks.Up)/passed - p.upRate)
		p.marks, p.markedAt = *t, now
	}
	if t.Down > p.downTotal || t.Up > p.upTotal {
		p.useful = true
	}
	s.line.sent += t.Up - p.upTotal
	p.downTotal, p.upTotal = t.Down, t.Up
}

// hold stops or resumes all asking.
func (s *Swarm) hold(on bool) {
	if s.held == on {
		return
	}
	s.held = on
	if !on {
		s.wake()
		return
	}
	for _, p := range s.peers {
		s.cancelAll(p)
	}
}

// pause stops or resumes all asking and serving.
func (s *Swarm) pause(now time.Duration, on bool) {
	if s.paused == on {
		return
	}
	s.paused = on
	if !on {
		s.wake()
		s.nextChoke = now
		return
	}
	for _, p := range s.peers {
		s.cancelAll(p)
	}
	s.rechoke(now) // chokes everybody
}
