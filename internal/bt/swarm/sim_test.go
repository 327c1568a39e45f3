package swarm

import (
	"bytes"
	"cmp"
	"container/heap"
	"crypto/sha1"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"shoal/internal/bitfield"
	"shoal/internal/block"
	"shoal/internal/discovery"
	"shoal/internal/ident"
	"shoal/internal/layout"
	"shoal/internal/storage"
)

// sim is a network of swarms in virtual time: one queue of events, no goroutine, and all chance from one seed, so that a run
// can be repeated exactly. Links have latency, loss (which shows as a late retransmission), and bandwidth at both ends;
// messages of a connection arrive in order.
type sim struct {
	t     testing.TB
	now   time.Duration
	queue events
	seq   int
	rng   *rand.Rand
	nodes []*node
	pool  *block.Pool
	trace uint64 // hash of all that happened

	lay     *layout.Layout
	content []byte // nil: blocks are empty and every piece is good, which is faster
	sums    [][sha1.Size]byte

	latency time.Duration // one way, the mean; a link's own is half to one and a half of it
	fixed   bool          // every link has just that
	loss    float64       // of blocks
	unreach float64       // of dials
	reqq    int           // of everybody; 0: 2000
	star    bool          // everybody knows the first node only
	config  Config        // copied for each node
}

type event struct {
	at  time.Duration
	seq int
	do  func()
}

type events []event

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *events) Push(x any)   { *q = append(*q, x.(event)) }
func (q *events) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = event{}
	*q = old[:len(old)-1]
	return e
}

func newSim(t testing.TB, seed uint64, pieces, pieceLength int) *sim {
	s := hollowSim(t, seed, pieces, pieceLength)
	s.content = make([]byte, s.lay.Size)
	var state [32]byte
	state[0] = byte(seed)
	rand.NewChaCha8(state).Read(s.content)
	for i := range pieces {
		s.sums = append(s.sums, sha1.Sum(s.piece(i)))
	}
	return s
}

func hollowSim(t testing.TB, seed uint64, pieces, pieceLength int) *sim {
	s := &sim{t: t, rng: rand.New(rand.NewPCG(seed, 7)), pool: block.NewPool(1 << 30), latency: 40 * time.Millisecond}
	size := int64(pieces)*int64(pieceLength) - block.Size/2
	s.lay = &layout.Layout{Files: []layout.File{{Length: size}}, Size: size, PieceLength: int64(pieceLength)}
	return s
}

func (s *sim) piece(i int) []byte { return s.content[s.lay.PieceOffset(i):][:s.lay.PieceLen(i)] }

func (s *sim) after(d time.Duration, do func()) {
	s.seq++
	heap.Push(&s.queue, event{s.now + d, s.seq, do})
}

// run goes on until the condition holds and returns the time, or fails after limit.
func (s *sim) run(limit time.Duration, until func() bool) time.Duration {
	s.t.Helper()
	for steps := 0; len(s.queue) > 0; steps++ {
		if steps%64 == 0 && until() {
			return s.now
		}
		if s.queue[0].at > limit {
			break
		}
		e := heap.Pop(&s.queue).(event)
		s.now = e.at
		e.do()
	}
	if until() {
		return s.now
	}
	s.t.Fatalf("not there after %v: %s", s.now, s.state())
	return 0
}

func (s *sim) state() string {
	var b bytes.Buffer
	for _, n := range s.nodes {
		if n.alive && !n.sw.Done() {
			st := n.sw.Stats()
			fmt.Fprintf(&b, "\n%s: %d peers, %d missing, %d choking of %d, partials %+v", n.addr, st.Peers, st.Missing, st.Choking, st.Interesting, n.sw.Partials())
			for _, p := range n.sw.peers {
				fmt.Fprintf(&b, "\n    %d at %v: seed %v, %d pieces, wanted %d, interested %v, chokes %v, under %d of %d, snubbed %v, refused %v, dropped %v",
					p.id, p.info.Addr, p.seed, p.pieces, p.wanted, p.weInterest, p.theyChoke, p.pipe.under, p.pipe.target, p.pipe.snubbed, p.refused, p.dropped)
			}
		}
	}
	return b.String()
}

func (s *sim) mix(vs ...uint64) {
	for _, v := range vs {
		s.trace = (s.trace ^ v) * 1099511628211
		s.trace ^= s.trace >> 29
	}
}

// node is one participant: a real Swarm and a small storage.
type node struct {
	*sim
	sw       *Swarm
	view     *bitfield.Shared
	index    int
	addr     netip.AddrPort
	up, down float64 // bytes/s
	alive    bool
	life     int  // counts restarts
	liar     bool // serves garbage
	stalled  bool // takes requests and serves nothing
	partial  map[int32][]byte
	ends     []*end // by ident.Peer
	free     []ident.Peer
	haves    []have // on their way

	ready    []*end // have something to upload
	busy     bool   // the uplink is
	downFree time.Duration

	began, done    time.Duration
	sent, received int64 // payload
	bans           []netip.Addr
}

type have struct {
	at    time.Duration
	to    *end
	piece int32
}

// end is one end of a connection, and does what internal/bt/peer does.
type end struct {
	node     *node
	id       ident.Peer
	other    *end
	latency  time.Duration
	closed   bool
	left     bool
	unchoked bool // we serve the other end
	allowed  map[int32]bool
	uploads  []Effect
	waiting  bool          // in ready
	last     time.Duration // when the last message to here arrives
	totals   Totals
}

// add puts a node into the network with the pieces for which has is true.
func (s *sim) add(rate float64, has func(int) bool) *node {
	i := len(s.nodes)
	n := &node{sim: s, index: i, up: rate, down: rate * 8,
		addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}), 6881)}
	s.nodes = append(s.nodes, n)
	have := bitfield.New(s.lay.Pieces())
	for k := range s.lay.Pieces() {
		if has(k) {
			have.Add(k)
		}
	}
	n.start(have)
	return n
}

func all(int) bool  { return true }
func none(int) bool { return false }

func (n *node) start(have bitfield.Set) {
	cfg := n.config
	cfg.Seed = n.rng.Uint64()
	cfg.ID = ident.PeerID{byte(n.rng.Uint32()), byte(n.index >> 8), byte(n.index)}
	n.sw, n.view = New(cfg), bitfield.NewShared(n.lay.Pieces())
	n.ends, n.free, n.ready, n.haves, n.partial = make([]*end, 1), nil, nil, nil, map[int32][]byte{}
	n.alive, n.life, n.began = true, n.life+1, n.now
	n.sw.Step(n.now, Event{Kind: SetSelf, Arg: netip.AddrPortFrom(n.addr.Addr(), 0)})
	n.sw.Begin(n.now, n.lay, have, n.view)
	n.every(time.Second, func() {
		for _, e := range n.ends {
			if e != nil {
				t := e.totals
				n.sw.Step(n.now, Event{Kind: Traffic, Peer: e.id, Arg: &t})
			}
		}
		n.sw.Tick(n.now)
	})
	n.every(50*time.Millisecond, n.takeHaves)
	n.every(20*time.Second, n.find)
	n.after(0, n.guard(func() { n.find(); n.apply() }))
}

// guard makes f do nothing once this life of the node is over.
func (n *node) guard(f func()) func() {
	life := n.life
	return func() {
		if n.alive && n.life == life {
			f()
		}
	}
}

func (n *node) every(d time.Duration, f func()) {
	var again func()
	again = n.guard(func() {
		f()
		n.apply()
		n.after(d, again)
	})
	n.after(time.Duration(n.rng.Int64N(int64(d))), again)
}

// find is what a tracker answers.
func (n *node) find() {
	var found []discovery.Peer
	known := n.rng.Perm(len(n.nodes))[:min(50, len(n.nodes))]
	if n.star {
		known = []int{0}
	}
	for _, i := range known {
		if o := n.nodes[i]; o != n && o.alive {
			found = append(found, discovery.Peer{Addr: o.addr, Source: discovery.Tracker})
		}
	}
	n.sw.Step(n.now, Event{Kind: Found, Arg: found})
}

// stop ends a node as a crash does: its connections close.
func (n *node) stop() {
	n.alive = false
	for _, e := range n.ends {
		if e != nil {
			e.close()
		}
	}
}

// restart brings it back with what it had.
func (n *node) restart() { n.start(n.view.Snapshot()) }

func (n *node) dial(addr netip.AddrPort) {
	i := slices.IndexFunc(n.nodes, func(o *node) bool { return o.addr == addr })
	o := n.nodes[i]
	latency := n.latency
	if !n.fixed {
		latency = n.latency/2 + time.Duration(n.rng.Int64N(int64(n.latency)))
	}
	lost := n.rng.Float64() < n.unreach
	n.after(2*latency, n.guard(func() {
		if !o.alive || lost || o == n {
			n.step(Event{Kind: DialFailed, Arg: addr})
			return
		}
		a, b := &end{node: n, latency: latency}, &end{node: o, latency: latency}
		a.other, b.other = b, a
		o.join(b, netip.AddrPortFrom(n.addr.Addr(), 40000), PeerInfo{Incoming: true, Source: discovery.Incoming, ID: n.sw.cfg.ID})
		n.join(a, addr, PeerInfo{Listen: addr, Source: discovery.Tracker, ID: o.sw.cfg.ID})
	}))
}

func (n *node) join(e *end, addr netip.AddrPort, info PeerInfo) {
	if k := len(n.free); k > 0 {
		e.id, n.free = n.free[k-1], n.free[:k-1]
		n.ends[e.id] = e
	} else {
		e.id = ident.Peer(len(n.ends))
		n.ends = append(n.ends, e)
	}
	info.Addr, info.Fast, info.Extended = addr, true, true
	e.say(Event{Kind: Extensions, Arg: &PeerExtensions{ReqQ: cmp.Or(n.reqq, 2000), ListenPort: n.addr.Port(), PEX: true, DontHave: true}})
	n.step(Event{Kind: Joined, Peer: e.id, Arg: &info})
}

// say sends a message to the other end.
func (e *end) say(m Event) { e.sayAt(e.node.now+e.latency, m) }

func (e *end) sayAt(at time.Duration, m Event) {
	s, o := e.node.sim, e.other
	o.last = max(o.last, at)
	s.after(o.last-s.now, func() { o.hear(m) })
}

func (e *end) hear(m Event) {
	if e.closed {
		m.Block.Release()
		return
	}
	m.Peer = e.id
	if m.Kind == Arrived {
		e.totals.Down += int64(m.Block.Len())
		e.node.received += int64(m.Block.Len())
	}
	e.node.step(m)
}

// request is what the other end asks for.
func (e *end) request(r Effect) {
	switch {
	case e.closed:
	case !e.node.view.Has(int(r.Piece)) || !e.unchoked && !e.allowed[r.Piece]:
		e.say(Event{Kind: Rejected, Piece: r.Piece, Begin: r.Begin})
	default:
		e.uploads = append(e.uploads, r)
		e.node.upload(e)
	}
}

func (e *end) cancelled(r Effect) {
	i := slices.IndexFunc(e.uploads, func(u Effect) bool { return u.Piece == r.Piece && u.Begin == r.Begin })
	if i >= 0 && !e.closed {
		e.uploads = slices.Delete(e.uploads, i, i+1)
		e.say(Event{Kind: Rejected, Piece: r.Piece, Begin: r.Begin})
	}
}

func (e *end) choke() {
	e.unchoked = false
	e.say(Event{Kind: Choked})
	e.uploads = slices.DeleteFunc(e.uploads, func(u Effect) bool {
		if !e.allowed[u.Piece] {
			e.say(Event{Kind: Rejected, Piece: u.Piece, Begin: u.Begin})
			return true
		}
		return false
	})
}

// close ends a connection: both ends hear of it, the other after the latency.
func (e *end) close() {
	s := e.node.sim
	for _, x := range []struct {
		e *end
		d time.Duration
	}{{e, 0}, {e.other, e.latency}} {
		s.after(x.d, func() { x.e.leave() })
	}
	e.closed = true
}

func (e *end) leave() {
	e.closed = true
	if e.left {
		return
	}
	e.left = true
	n := e.node
	if int(e.id) < len(n.ends) && n.ends[e.id] == e {
		n.ends[e.id] = nil
		n.free = append(n.free, e.id)
		if n.alive {
			n.step(Event{Kind: Left, Peer: e.id})
		}
	}
}

// upload puts an end into the queue for the uplink, which sends a block of each in turn.
func (n *node) upload(e *end) {
	if e != nil && !e.waiting && len(e.uploads) > 0 {
		e.waiting = true
		n.ready = append(n.ready, e)
	}
	if n.busy || n.stalled || !n.alive {
		return
	}
	for len(n.ready) > 0 {
		e := n.ready[0]
		n.ready = n.ready[1:]
		e.waiting = false
		if e.closed || len(e.uploads) == 0 {
			continue
		}
		u := e.uploads[0]
		e.uploads = e.uploads[1:]
		n.transmit(e, u)
		return
	}
}

func (n *node) transmit(e *end, u Effect) {
	n.busy = true
	took := func(rate float64) time.Duration {
		return time.Duration(float64(u.Length) / rate * float64(time.Second))
	}
	n.after(took(n.up), func() {
		n.busy = false
		b := n.pool.TryGet()
		b.SetLen(int(u.Length))
		if n.content != nil {
			copy(b.Bytes(), n.piece(int(u.Piece))[u.Begin:])
		}
		if n.liar {
			b.Bytes()[n.rng.IntN(b.Len())] ^= 0xff
		}
		n.sent += int64(u.Length)
		e.totals.Up += int64(u.Length)
		o := e.other.node
		at := n.now + e.latency
		if n.rng.Float64() < n.loss {
			at += max(200*time.Millisecond, 3*e.latency)
		}
		o.downFree = max(o.downFree, at) + took(o.down)
		e.sayAt(o.downFree, Event{Kind: Arrived, Piece: u.Piece, Begin: u.Begin, Block: b})
		n.upload(e)
	})
}

func (n *node) step(e Event) {
	n.mix(uint64(n.now), uint64(n.index), uint64(e.Kind), uint64(e.Peer), uint64(e.Piece), uint64(e.Begin))
	n.sw.Step(n.now, e)
	n.apply()
}

func (n *node) takeHaves() {
	rest := n.haves[:0]
	for _, h := range n.haves {
		switch {
		case h.at > n.now:
			rest = append(rest, h)
		case !h.to.closed:
			n.mix(uint64(n.now), uint64(n.index), uint64(h.to.id), uint64(h.piece))
			n.sw.Step(n.now, Event{Kind: Have, Peer: h.to.id, Piece: h.piece})
		}
	}
	n.haves = rest
}

// apply carries out the effects.
func (n *node) apply() {
	for _, f := range n.sw.Drain(n.now) {
		n.mix(uint64(f.Kind), uint64(f.Peer), uint64(f.Piece), uint64(f.Begin))
		switch f.Kind {
		case Dial:
			n.dial(f.Arg.(Candidate).Addr)
		case Store:
			n.store(f)
		case Verify:
			n.verify(f.Piece, f.OK)
		case Completed:
			n.done = n.now
		default:
			if e := n.ends[f.Peer]; e != nil && !e.closed {
				e.effect(f)
			}
		}
	}
}

func (e *end) effect(f Effect) {
	n := e.node
	switch f.Kind {
	case SendRequest:
		o := e.other
		o.last = max(o.last, n.now+e.latency)
		n.after(o.last-n.now, func() { o.request(f) })
	case SendCancel:
		o := e.other
		o.last = max(o.last, n.now+e.latency)
		n.after(o.last-n.now, func() { o.cancelled(f) })
	case SendInterested:
		e.say(Event{Kind: Interested})
	case SendNotInterested:
		e.say(Event{Kind: NotInterested})
	case SendChoke:
		e.choke()
	case SendUnchoke:
		e.unchoked = true
		e.say(Event{Kind: Unchoked})
	case SendHave: // taken up by the other end every 50 ms, which spares the queue
		e.other.node.haves = append(e.other.node.haves, have{n.now + e.latency, e.other, f.Piece})
	case SendHaveAll:
		e.say(Event{Kind: HaveAll})
	case SendHaveNone:
		e.say(Event{Kind: HaveNone})
	case SendBitfield:
		set := n.view.Snapshot()
		e.say(Event{Kind: Bitfield, Arg: set.Bytes()})
	case SendDontHave:
		e.say(Event{Kind: DontHave, Piece: f.Piece})
	case SendAllowedFast:
		e.allowed = map[int32]bool{}
		for range 10 {
			i := int32(n.rng.IntN(n.lay.Pieces()))
			e.allowed[i] = true
			e.say(Event{Kind: AllowedFast, Piece: i})
		}
	case SendPEX:
		var found []discovery.Peer
		for _, a := range f.Arg.(*PEXUpdate).Added {
			found = append(found, discovery.Peer{Addr: a.Addr, Source: discovery.PEX})
		}
		e.say(Event{Kind: PEX, Arg: found})
	case Drop:
		why := f.Arg.(error)
		if errors.Is(why, ErrBadData) {
			n.bans = append(n.bans, e.other.node.addr.Addr())
		}
		e.close()
	}
}

func (n *node) store(f Effect) {
	if n.content == nil {
		f.Block.Release()
		return
	}
	buf := n.partial[f.Piece]
	if buf == nil {
		buf = make([]byte, n.lay.PieceLen(int(f.Piece)))
		n.partial[f.Piece] = buf
	}
	copy(buf[f.Begin:], f.Block.Bytes())
	f.Block.Release()
}

// verify hashes a piece. Of a good one the bytes need not be kept: they are those of the content.
func (n *node) verify(piece int32, digests bool) {
	buf := n.partial[piece]
	delete(n.partial, piece)
	n.after(time.Millisecond, n.guard(func() {
		r := storage.Result{Piece: int(piece), Good: n.content == nil || sha1.Sum(buf) == n.sums[piece]}
		if n.content != nil && r.Good && !bytes.Equal(buf, n.piece(int(piece))) {
			n.t.Fatal("not byte-exact")
		}
		if digests || !r.Good {
			for at := 0; at < len(buf); at += block.Size {
				h := sha1.Sum(buf[at:min(at+block.Size, len(buf))])
				r.Digests = append(r.Digests, storage.Digest(h[:16]))
			}
		}
		n.step(Event{Kind: Stored, Arg: r})
	}))
}

// everybodyHas reports whether every node that is there is complete.
func (s *sim) everybodyHas() bool {
	return !slices.ContainsFunc(s.nodes, func(n *node) bool { return !n.alive || !n.sw.Complete() })
}
