package swarm

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"shoal/internal/bitfield"
	"shoal/internal/block"
	"shoal/internal/bt/picker"
	"shoal/internal/bt/wire"
	"shoal/internal/discovery"
	"shoal/internal/ident"
	"shoal/internal/layout"
	"shoal/internal/storage"
)

// chaos drives a swarm with events that bytes choose, and keeps its own books.
type chaos struct {
	t     *testing.T
	s     *Swarm
	now   time.Duration
	lay   *layout.Layout
	pool  *block.Pool
	data  []byte
	began bool

	here   map[ident.Peer]bool
	asked  map[ident.Peer]map[picker.Block]bool // requests sent and neither answered nor taken back
	dials  []netip.AddrPort
	verify []Effect
}

const (
	chaosPieces = 12
	chaosPeers  = 7
)

func newChaos(t *testing.T, data []byte) *chaos {
	c := &chaos{t: t, data: data, pool: block.NewPool(1 << 20), here: map[ident.Peer]bool{}, asked: map[ident.Peer]map[picker.Block]bool{}}
	flags := c.next()
	c.s = New(Config{MaxPeers: 5, MaxDials: 3, Seed: uint64(flags), Private: flags&1 != 0, NoSuper: flags&2 != 0, Transient: flags&32 != 0, Slots: flags >> 6})
	size := int64(chaosPieces*2*block.Size) - block.Size - 100
	c.lay = &layout.Layout{Size: size, PieceLength: 2 * block.Size, CutTail: flags&16 != 0, Files: []layout.File{
		{Length: 5 * block.Size}, {Offset: 8 * block.Size, Length: size - 8*block.Size}}} // piece 3 is a gap
	if flags&4 == 0 {
		c.begin(flags&8 != 0)
	}
	return c
}

func (c *chaos) begin(complete bool) {
	have := bitfield.New(chaosPieces)
	if complete {
		have.Fill()
	}
	c.s.Begin(c.now, c.lay, have, bitfield.NewShared(chaosPieces))
	c.began = true
}

func (c *chaos) next() int {
	if len(c.data) == 0 {
		return 0
	}
	b := c.data[0]
	c.data = c.data[1:]
	return int(b)
}

func (c *chaos) addr() netip.AddrPort { return host(ident.Peer(c.next()%12 + 1)) }

// piece is mostly a piece, and sometimes not.
func (c *chaos) piece() int32 { return int32(c.next()%(chaosPieces+3) - 1) }

func (c *chaos) found() []discovery.Peer {
	var out []discovery.Peer
	for range c.next() % 6 {
		out = append(out, discovery.Peer{Addr: c.addr(), Source: discovery.Source(c.next() % 6)})
	}
	return out
}

func (c *chaos) step() {
	if c.next()%3 == 0 {
		c.now += time.Duration(c.next()) * 20 * time.Millisecond
	}
	id := ident.Peer(c.next()%chaosPeers + 1)
	op := c.next() % 40
	switch {
	case op < 3:
		c.now += time.Second
		c.s.Tick(c.now)
	case op < 7:
		c.join(id)
	case op == 7:
		if c.here[id] {
			delete(c.here, id)
			delete(c.asked, id)
			c.s.Step(c.now, Event{Kind: Left, Peer: id})
		}
	case op < 16:
		c.answer(id)
	case op < 20:
		if len(c.verify) > 0 {
			c.stored()
		}
	case op < 23:
		c.control()
	default:
		c.say(id)
	}
	c.drain()
	c.check()
}

func (c *chaos) join(id ident.Peer) {
	if c.here[id] {
		return
	}
	info := &PeerInfo{Addr: c.addr(), Incoming: true, ID: ident.PeerID{byte(c.next() % 8)}, Fast: c.next()%4 != 0, Extended: true}
	switch c.next() % 6 {
	case 0:
		*info = PeerInfo{WebSeed: true}
	case 1, 2:
		if len(c.dials) > 0 {
			info.Incoming, info.Addr, info.Listen, c.dials = false, c.dials[0], c.dials[0], c.dials[1:]
		}
	}
	c.here[id], c.asked[id] = true, map[picker.Block]bool{}
	c.s.Step(c.now, Event{Kind: Joined, Peer: id, Arg: info})
	if c.next()%2 == 0 {
		c.s.Step(c.now, Event{Kind: HaveAll, Peer: id})
		c.s.Step(c.now, Event{Kind: Unchoked, Peer: id})
	}
}

// answer sends a block that was asked for, or one that was not.
func (c *chaos) answer(id ident.Peer) {
	b := picker.Block{Piece: c.piece(), Index: int32(c.next()%4 - 1)}
	var open []picker.Block
	for r := range c.asked[id] {
		open = append(open, r)
	}
	slices.SortFunc(open, func(a, b picker.Block) int { return int(a.Piece-b.Piece)*9 + int(a.Index-b.Index) })
	how := c.next() % 8
	if len(open) > 0 && how != 0 {
		b = open[c.next()%len(open)]
	}
	delete(c.asked[id], b)
	if how == 1 {
		c.s.Step(c.now, Event{Kind: Rejected, Peer: id, Piece: b.Piece, Begin: b.Index * block.Size})
		return
	}
	buf := c.pool.TryGet()
	if b.Piece >= 0 && int(b.Piece) < chaosPieces && b.Index >= 0 && int(b.Index) < c.lay.Blocks(int(b.Piece)) {
		buf.SetLen(c.lay.BlockLen(int(b.Piece), int(b.Index)*block.Size))
	}
	c.s.Step(c.now, Event{Kind: Arrived, Peer: id, Piece: b.Piece, Begin: b.Index * block.Size, Block: buf})
}

func (c *chaos) stored() {
	v := c.verify[0]
	c.verify = c.verify[1:]
	r := storage.Result{Piece: int(v.Piece), Good: true}
	if v.OK {
		r.Digests = make([]storage.Digest, c.lay.Blocks(int(v.Piece)))
	}
	switch c.next() % 6 {
	case 0, 1:
		r.Good, r.Digests = false, make([]storage.Digest, c.lay.Blocks(int(v.Piece)))
		binary.BigEndian.PutUint16(r.Digests[0][:], uint16(c.next()))
	case 2:
		r.Good, r.Digests, r.Err = false, nil, errors.New("disk")
	}
	c.s.Step(c.now, Event{Kind: Stored, Arg: r})
}

// control is what the person and the loop do.
func (c *chaos) control() {
	op := c.next() % 9
	if !c.began && op >= 3 {
		c.begin(c.next()%4 == 0)
		return
	}
	switch op {
	case 0:
		c.s.Step(c.now, Event{Kind: Found, Arg: c.found()})
	case 1:
		if len(c.dials) > 0 {
			kind := []EventKind{DialFailed, Refused}[c.next()%2]
			c.s.Step(c.now, Event{Kind: kind, Arg: c.dials[0]})
			c.dials = c.dials[1:]
		}
	case 2:
		c.s.Step(c.now, Event{Kind: SetSelf, Arg: c.addr()})
	case 3:
		prio := make([]picker.Priority, chaosPieces)
		for i := range prio {
			prio[i] = picker.Priority(c.next() % 4)
		}
		c.s.SetPriorities(c.now, prio)
	case 4:
		c.s.SetDemand(c.now, []picker.Deadline{{Piece: int32(c.next() % chaosPieces), At: int64(c.now)}}, []int32{int32(c.next() % chaosPieces)})
	case 5:
		c.s.SetDemand(c.now, nil, nil)
	case 6:
		c.s.SetSequential(c.next()%2 == 0)
	case 7:
		i := c.next() % chaosPieces
		if !slices.ContainsFunc(c.verify, func(e Effect) bool { return e.Piece == int32(i) }) {
			c.s.Step(c.now, Event{Kind: Stored, Arg: storage.Result{Piece: i, Recheck: true, Good: c.next()%2 == 0}})
			c.s.Step(c.now, Event{Kind: Stored, Arg: storage.Result{Piece: c.next() % chaosPieces, Evicted: true}})
		}
	case 8:
		c.s.Step(c.now, Event{Kind: Pause, OK: c.next()%3 == 0})
	}
}

// say is what a peer says beside blocks.
func (c *chaos) say(id ident.Peer) {
	if p := c.s.peer(id); p != nil && p.info.WebSeed {
		return // it does not speak
	}
	e := Event{Peer: id, Piece: c.piece(), OK: c.next()%2 == 0}
	switch e.Kind = Choked + EventKind(c.next())%(Traffic-Choked+1); e.Kind {
	case Choked:
		if p := c.s.peer(id); p != nil && !p.info.Fast && !p.dropped {
			clear(c.asked[id]) // they are forgotten in silence
		}
	case Bitfield:
		e.Arg = []byte{byte(c.next()), byte(c.next() & 0xf4)}
	case Arrived:
		e.Kind = Have
	case Rejected:
		delete(c.asked[id], picker.Block{Piece: e.Piece})
	case Extensions:
		e.Arg = &PeerExtensions{ReqQ: c.next(), ListenPort: uint16(c.next() % 3), PEX: e.OK, DontHave: !e.OK, Holepunch: e.OK}
	case PEX:
		e.Arg = c.found()
	case Holepunch:
		e.Arg = &wire.Holepunch{Type: wire.HolepunchType(c.next() % 4), Addr: c.addr(), Code: wire.HolepunchCode(c.next())}
	case Traffic:
		e.Arg = &Totals{Down: int64(c.next()) << 12, Up: int64(c.next()) << 12}
	}
	c.s.Step(c.now, e)
}

func (c *chaos) drain() {
	for _, e := range c.s.Drain(c.now) {
		b := picker.Block{Piece: e.Piece, Index: e.Begin / block.Size}
		if e.Peer != 0 && !c.here[e.Peer] && e.Kind != Drop {
			continue // to one that left in the same batch
		}
		switch e.Kind {
		case SendRequest:
			if c.asked[e.Peer][b] {
				c.t.Fatalf("%v asked twice of peer %d", b, e.Peer)
			}
			if e.Length <= 0 || int(e.Begin)+int(e.Length) > c.lay.PieceLen(int(e.Piece)) {
				c.t.Fatalf("request %+v", e)
			}
			c.asked[e.Peer][b] = true
		case SendCancel:
			if p := c.s.peer(e.Peer); !c.asked[e.Peer][b] && !p.dropped {
				c.t.Fatalf("%v taken back from peer %d, which was not asked", b, e.Peer)
			}
			delete(c.asked[e.Peer], b)
		case Store:
			e.Block.Release()
		case Verify:
			c.verify = append(c.verify, e)
		case Dial:
			c.dials = append(c.dials, e.Arg.(Candidate).Addr)
		}
	}
}

// check compares what the swarm keeps with what it ought to be.
func (c *chaos) check() {
	s, t := c.s, c.t
	t.Helper()
	if s.dials != len(c.dials) {
		t.Fatalf("%d dials counted, %d under way", s.dials, len(c.dials))
	}
	if len(s.peers) != len(c.here) {
		t.Fatalf("%d peers, want %d", len(s.peers), len(c.here))
	}
	if n := s.live; n > s.cfg.MaxPeers {
		t.Fatalf("%d connected", n)
	}
	seeds, live, serving, waiting := 0, 0, 0, 0
	away := make([]int, chaosPieces)
	for _, p := range s.peers {
		if s.peer(p.id) != p {
			t.Fatal("peers and slots differ")
		}
		if p.seed {
			seeds++
		}
		if !p.info.WebSeed && !p.dropped {
			live++
		}
		if p.theyInterest && p.weChoke {
			waiting++
		} else if p.theyInterest {
			serving++
		}
		c.checkPipeline(p)
		if s.lay == nil {
			continue
		}
		c.checkPieces(p, away)
	}
	if s.seeds != seeds {
		t.Fatalf("%d seeds counted, %d are", s.seeds, seeds)
	}
	if s.live != live || s.serving != serving || s.waiting != waiting {
		t.Fatalf("%d live, %d served, %d waiting; counted %d, %d, %d", live, serving, waiting, s.live, s.serving, s.waiting)
	}
	if s.lay == nil {
		return
	}
	for i, n := range away {
		if s.picker.Availability(i) != n {
			t.Fatalf("piece %d at %d peers, counted %d", i, n, s.picker.Availability(i))
		}
		if s.have.Has(i) != s.view.Has(i) || s.have.Has(i) != s.picker.Have(i) {
			t.Fatalf("views of piece %d differ", i)
		}
	}
	if missing, _ := s.picker.Missing(); s.done != (missing == 0 && !s.cfg.Transient) {
		t.Fatalf("done %v, %d missing", s.done, missing)
	}
	if s.super != nil && !s.Complete() {
		t.Fatal("super-seeding what is not there")
	}
}

func (c *chaos) checkPipeline(p *peer) {
	n, seen := 0, map[picker.Block]bool{}
	p.pipe.each(func(r request) {
		n++
		if seen[r.Block] {
			c.t.Fatalf("%v twice in a pipeline", r.Block)
		}
		seen[r.Block] = true
		if !c.asked[p.id][r.Block] && !p.dropped {
			c.t.Fatalf("%v is in the pipeline of peer %d, and was never sent or was answered", r.Block, p.id)
		}
		if !c.s.picker.Asked(r.Block, p.id) {
			c.t.Fatalf("the picker does not know that %v is asked of peer %d", r.Block, p.id)
		}
	})
	if n != p.pipe.under {
		c.t.Fatalf("%d under way, counted %d", n, p.pipe.under)
	}
	if !p.dropped && n != len(c.asked[p.id]) {
		c.t.Fatalf("peer %d: %d under way, %d sent: %v", p.id, n, len(c.asked[p.id]), c.asked[p.id])
	}
}

func (c *chaos) checkPieces(p *peer, away []int) {
	s, wanted, has := c.s, 0, 0
	for i := range chaosPieces {
		if !p.hasPiece(i) {
			continue
		}
		has++
		if !p.seed {
			away[i]++
		}
		if s.picker.Wants(i) {
			wanted++
		}
	}
	if p.wanted != wanted || p.pieces != has || p.weInterest != (wanted > 0) && !(p.weInterest && s.reading && !s.done) {
		c.t.Fatalf("peer %d: %d wanted, %d pieces, interest %v; counted %d, %d", p.id, wanted, has, p.weInterest, p.wanted, p.pieces)
	}
	if p.shown != nil && s.super == nil {
		c.t.Fatal("pieces are hidden from a peer, and there is no super-seeding")
	}
}

// end lets everybody leave: nothing may stay behind.
func (c *chaos) end() {
	for id := range ident.Peer(chaosPeers + 1) {
		if c.here[id] {
			delete(c.here, id)
			delete(c.asked, id)
			c.s.Step(c.now, Event{Kind: Left, Peer: id})
		}
	}
	c.drain()
	c.check()
	if n, _, _ := c.pool.Lent(); n != 0 {
		c.t.Fatalf("%d blocks leaked", n)
	}
	for _, q := range c.s.Partials() {
		if q.Asked != 0 && !q.Hashing {
			c.t.Fatalf("asked of nobody: %+v", q)
		}
	}
}

func runChaos(t *testing.T, data []byte) {
	c := newChaos(t, data[:min(len(data), 4000)])
	for len(c.data) > 0 {
		c.step()
	}
	c.end()
}

func FuzzSwarm(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("peers come and go, say what they like, and the books are still right"))
	f.Fuzz(runChaos)
}

// TestChaos is FuzzSwarm over long random input.
func TestChaos(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 11))
		data := make([]byte, 4000)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		runChaos(t, data)
	}
}
