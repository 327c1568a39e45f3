package swarm

import (
	"maps"
	"time"
)

// superSeed is the state of super-seeding (BEP 16) while we are the only seed of several leechers: each is shown other
// pieces, so that what we send once they can pass on, and we send little more than one copy in all. It is gentler than
// the BEP: a peer is shown new pieces as fast as it finishes those shown, and one that stands still while our line is idle is
// shown whatever it lacks, so nobody waits for a neighbour who does not share. It ends soon after every piece is out.
type superSeed struct {
	order   []int32 // pieces not shown to anybody yet are order[next:]
	next    int
	again   []int32       // shown, but the only peer that had or fetched them left
	by      []uint8       // how many peers each piece was shown to
	since   time.Duration // when there was more than one leecher
	missing time.Duration // when there was a piece that none of them had
}

// shown is what one peer was shown.
type shown struct {
	pieces   map[int32]bool // shown and not had yet
	window   int            // how many of these it may have at once while we serve it: about what it finishes in a second
	finished int            // since the last tick
	last     time.Duration  // when it finished a piece
}

const (
	superChoked    = 1 // pieces that a choked peer is shown, for its interest
	superWindow    = 2
	superFirst     = 8 // of the first leecher, which may stay alone
	superMaxWindow = 128
	superOut       = 5 * time.Second  // all pieces are out for so long, and nobody is complete: they want a full seed
	superBusy      = 0.75             // of the peak of our upload rate: beyond it nobody needs help
	superAlone     = time.Second      // a single leecher is shown everything after so long
	superPatience  = time.Second      // and a peer that finishes nothing for so long, whatever it lacks; at least
	superPatient   = 10 * time.Second // and at most, see patience
)

// superJoin decides what a new peer is shown. It returns true if that is not everything.
func (s *Swarm) superJoin(now time.Duration, p *peer) bool {
	if s.cfg.NoSuper || !s.Complete() || s.seeds > 0 || p.info.WebSeed {
		return false
	}
	if s.super == nil {
		if s.superAllOut() && s.live > 1 {
			return false // others have it all among them
		}
		n := s.lay.Pieces()
		s.super = &superSeed{order: make([]int32, n), by: make([]uint8, n), since: now, missing: now}
		for i := range s.super.order {
			s.super.order[i] = int32(i)
		}
		s.rng.Shuffle(n, func(i, j int) { o := s.super.order; o[i], o[j] = o[j], o[i] })
	}
	p.shown = &shown{pieces: map[int32]bool{}, window: superWindow, last: now}
	if s.live <= 1 {
		p.shown.window = superFirst
	}
	return true
}

// superHave notes that a peer has one piece more.
func (s *Swarm) superHave(now time.Duration, p *peer, piece int32) {
	if s.super == nil || p.shown == nil || !p.shown.pieces[piece] {
		return
	}
	v := p.shown
	delete(v.pieces, piece)
	v.last = now
	if v.finished++; v.finished >= v.window {
		v.window = min(2*v.window, superMaxWindow)
	}
	s.superShow(p)
}

// superShow shows a peer pieces that nobody else was shown, up to its window. Pieces that a choked peer knows of keep others
// from fetching them, so it gets few.
func (s *Swarm) superShow(p *peer) {
	window := p.shown.window
	if p.weChoke && s.live > 1 {
		window = superChoked
	}
	for len(p.shown.pieces) < window {
		piece, ok := s.super.fresh(s, p)
		if !ok {
			return
		}
		s.show(p, piece)
	}
}

func (s *Swarm) show(p *peer, piece int32) {
	p.shown.pieces[piece] = true
	if s.super.by[piece] < 255 {
		s.super.by[piece]++
	}
	s.emit(Effect{Kind: SendHave, Peer: p.id, Piece: piece})
}

// fresh takes the next piece that no leecher has or fetches.
func (u *superSeed) fresh(s *Swarm, p *peer) (int32, bool) {
	for len(u.again) > 0 {
		piece := u.again[len(u.again)-1]
		u.again = u.again[:len(u.again)-1]
		if s.picker.Availability(int(piece)) == 0 && !p.shown.pieces[piece] {
			return piece, true
		}
	}
	for u.next < len(u.order) {
		piece := u.order[u.next]
		u.next++
		if s.picker.Availability(int(piece)) == 0 {
			return piece, true
		}
	}
	return 0, false
}

// superLeft makes pieces that only the leaving peer had or fetched be shown again.
func (s *Swarm) superLeft(p *peer) {
	if s.super == nil || p.shown == nil {
		return
	}
	for i, n := range s.super.by {
		if n > 0 && (p.hasPiece(i) || p.shown.pieces[int32(i)]) && s.picker.Availability(i) == 0 {
			s.super.again = append(s.super.again, int32(i))
		}
	}
}

// superTick ends super-seeding when it has done its work, and helps peers that stand still.
func (s *Swarm) superTick(now time.Duration) {
	if s.super == nil {
		return
	}
	if s.leechers() > 1 {
		s.super.since = now
	}
	if !s.superAllOut() {
		s.super.missing = now
	}
	if s.seeds > 0 || now-s.super.since >= superAlone || now-s.super.missing >= superOut {
		s.superEnd()
		return
	}
	for _, p := range s.peers {
		if p.shown == nil {
			continue
		}
		if p.shown.finished < p.shown.window/4 {
			p.shown.window = max(p.shown.window/2, superWindow)
		}
		p.shown.finished = 0
		s.superShow(p)
	}
	if s.super.next == len(s.super.order) {
		s.superAgain()
	}
	// While our line is busy with pieces that nobody has yet, those who wait get them soonest from each other.
	busy := s.line.rate > superBusy*s.line.peak
	for _, p := range s.peers {
		switch {
		case p.shown == nil:
		case p.weChoke && len(p.shown.pieces) > 0:
			p.shown.last = now // it is we who let it wait; one that has all it was shown is choked for want of interest
		case !busy && now-p.shown.last >= s.patience(p):
			s.superHelp(now, p)
		}
	}
}

// leechers counts the peers that have something of us or want something. One that has nothing and wants nothing may be another seed that hides what
// it has: two of them would each take the other for a leecher for ever.
func (s *Swarm) leechers() int {
	n := 0
	for _, p := range s.peers {
		if !p.seed && (p.pieces > 0 || p.theyInterest) {
			n++
		}
	}
	return n
}

// superAllOut reports whether the leechers have every piece among them.
func (s *Swarm) superAllOut() bool {
	for i := range s.lay.Pieces() {
		if s.picker.Availability(i) == 0 {
			return false
		}
	}
	return true
}

// superAgain shows peers that we serve, and that have all they were shown, pieces that only choked peers were shown.
func (s *Swarm) superAgain() {
	fetched := map[int32]bool{}
	for _, p := range s.peers {
		if p.shown != nil && !p.weChoke {
			maps.Copy(fetched, p.shown.pieces)
		}
	}
	next := 0
	for _, p := range s.peers {
		if p.shown == nil || p.weChoke || len(p.shown.pieces) > 0 {
			continue
		}
		for ; next < len(s.super.order) && len(p.shown.pieces) < superWindow; next++ {
			piece := s.super.order[next]
			if !fetched[piece] && s.picker.Availability(int(piece)) == 0 {
				s.show(p, piece)
			}
		}
	}
}

// patience returns how long a peer may finish nothing. While it fetches from us what it was shown, help would only have us send
// pieces twice, so it gets twice the time that this takes at its rate.
func (s *Swarm) patience(p *peer) time.Duration {
	if len(p.shown.pieces) == 0 {
		return superPatience
	}
	left := 2 * float64(len(p.shown.pieces)) * float64(s.lay.PieceLength) / max(p.upRate, 1)
	return time.Duration(min(max(left, superPatience.Seconds()), superPatient.Seconds()) * float64(time.Second))
}

// superHelp shows a peer that stands still the rarest pieces that it lacks, as many as its window.
func (s *Swarm) superHelp(now time.Duration, p *peer) {
	p.shown.last = now
	n := p.shown.window
	for rarity := 0; rarity < 4 && n > 0; rarity++ {
		for _, piece := range s.super.order {
			if n == 0 {
				break
			}
			if !p.hasPiece(int(piece)) && !p.shown.pieces[piece] && min(s.picker.Availability(int(piece)), 3) == rarity {
				s.show(p, piece)
				n--
			}
		}
	}
}

// superEnd shows everybody everything.
func (s *Swarm) superEnd() {
	s.super = nil
	for _, p := range s.peers {
		if p.shown == nil {
			continue
		}
		for i := range s.lay.Pieces() {
			if !p.hasPiece(i) && !p.shown.pieces[int32(i)] {
				s.emit(Effect{Kind: SendHave, Peer: p.id, Piece: int32(i)})
			}
		}
		p.shown = nil
	}
}
