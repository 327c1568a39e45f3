package swarm

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"shoal/internal/bitfield"
	"shoal/internal/block"
	"shoal/internal/bt/picker"
	"shoal/internal/discovery"
	"shoal/internal/ident"
	"shoal/internal/layout"
	"shoal/internal/storage"
)

// script plays events to a swarm and keeps what it asks for.
type script struct {
	t    *testing.T
	s    *Swarm
	now  time.Duration
	lay  *layout.Layout
	pool *block.Pool
	got  []Effect // since the last look
	held []*block.Block
}

func play(t *testing.T, cfg Config, pieces, blocks int, have ...int) *script {
	length := int64(blocks * block.Size)
	size := int64(pieces) * length
	x := &script{t: t, s: New(cfg), pool: block.NewPool(1 << 24),
		lay: &layout.Layout{Files: []layout.File{{Length: size}}, Size: size, PieceLength: length}}
	set := bitfield.New(pieces)
	for _, i := range have {
		set.Add(i)
	}
	x.s.Begin(0, x.lay, set, bitfield.NewShared(pieces))
	x.drain()
	t.Cleanup(func() {
		for _, b := range x.held {
			b.Release()
		}
		if n, _, _ := x.pool.Lent(); n != 0 {
			t.Errorf("%d blocks leaked", n)
		}
	})
	return x
}

func upTo(n int) []int {
	var out []int
	for i := range n {
		out = append(out, i)
	}
	return out
}

func (x *script) drain() {
	for _, e := range x.s.Drain(x.now) {
		if e.Block != nil {
			x.held = append(x.held, e.Block)
		}
		x.got = append(x.got, e)
	}
}

func (x *script) step(e Event) {
	x.s.Step(x.now, e)
	x.drain()
}

func (x *script) say(id ident.Peer, kind EventKind) { x.step(Event{Kind: kind, Peer: id}) }

// wait lets time pass, with a tick each second.
func (x *script) wait(d time.Duration) {
	for end := x.now + d; x.now < end; {
		x.now += min(time.Second, end-x.now)
		x.s.Tick(x.now)
		x.drain()
	}
}

// take returns the effects of a kind on a peer since the last call for them, and forgets these. Peer 0 is any.
func (x *script) take(kind EffectKind, id ident.Peer) []Effect {
	var out []Effect
	x.got = slices.DeleteFunc(x.got, func(e Effect) bool {
		hit := e.Kind == kind && (id == 0 || e.Peer == id)
		if hit {
			out = append(out, e)
		}
		return hit
	})
	return out
}

func (x *script) want(n int, kind EffectKind, id ident.Peer) []Effect {
	x.t.Helper()
	e := x.take(kind, id)
	if len(e) != n {
		x.t.Fatalf("%d effects of kind %d on peer %d, want %d: %v", len(e), kind, id, n, e)
	}
	return e
}

func (x *script) dropped(id ident.Peer, why error) {
	x.t.Helper()
	if e := x.want(1, Drop, id); !errors.Is(e[0].Arg.(error), why) {
		x.t.Fatalf("dropped since %v, want %v", e[0].Arg, why)
	}
}

func host(i ident.Peer) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 6881)
}

func (x *script) join(id ident.Peer) {
	x.step(Event{Kind: Joined, Peer: id, Arg: &PeerInfo{
		Addr: host(id), ID: ident.PeerID{byte(id), byte(id >> 8)}, Source: discovery.Incoming, Incoming: true, Fast: true, Extended: true}})
}

// source joins a peer that has everything and serves.
func (x *script) source(ids ...ident.Peer) {
	for _, id := range ids {
		x.join(id)
		x.say(id, HaveAll)
		x.say(id, Unchoked)
	}
}

func (x *script) send(id ident.Peer, piece, begin int32) {
	b := x.pool.Get(nil)
	x.step(Event{Kind: Arrived, Peer: id, Piece: piece, Begin: begin, Block: b})
}

// serve answers every request to the peers until there are none, and says how each piece hashes.
func (x *script) serve(hash func(piece int32, digests bool) storage.Result, ids ...ident.Peer) {
	for range 1000 {
		n := 0
		for _, id := range ids {
			for _, r := range x.take(SendRequest, id) {
				x.send(id, r.Piece, r.Begin)
				n++
			}
		}
		for _, v := range x.take(Verify, 0) {
			x.step(Event{Kind: Stored, Arg: hash(v.Piece, v.OK)})
			n++
		}
		if n == 0 {
			return
		}
	}
	x.t.Fatal("requests without end")
}

func good(piece int32, _ bool) storage.Result { return storage.Result{Piece: int(piece), Good: true} }

func TestInterestAndChoke(t *testing.T) {
	x := play(t, Config{}, 4, 2, 0)
	x.join(1)
	x.want(1, SendBitfield, 1)
	x.step(Event{Kind: Have, Peer: 1, Piece: 0})
	x.want(0, SendInterested, 1)
	x.step(Event{Kind: Have, Peer: 1, Piece: 2})
	x.want(1, SendInterested, 1)
	x.want(0, SendRequest, 1) // it chokes us
	x.say(1, Unchoked)
	asked := x.want(2, SendRequest, 1)
	if asked[0].Piece != 2 || asked[0].Length != block.Size {
		t.Error(asked[0])
	}
	// Busy, it still learns at once of what the peer has got meanwhile.
	x.step(Event{Kind: Have, Peer: 1, Piece: 3})
	x.want(2, SendRequest, 1)
	x.say(1, Choked) // with BEP 6 each request is still answered
	x.step(Event{Kind: Rejected, Peer: 1, Piece: 2, Begin: 0})
	x.send(1, 2, block.Size)
	x.want(0, SendRequest, 1)
	x.source(2)
	if got := x.take(SendRequest, 2); len(got) != 3 { // the rejected one, and piece 1
		t.Errorf("%v", got)
	}
	x.say(1, NotInterested)
	x.say(1, Interested)
	x.want(1, SendUnchoke, 1) // a slot is free
}

func TestChokeWithoutFast(t *testing.T) {
	x := play(t, Config{}, 1, 4)
	x.step(Event{Kind: Joined, Peer: 1, Arg: &PeerInfo{Addr: host(1), Incoming: true}})
	x.step(Event{Kind: Bitfield, Peer: 1, Arg: []byte{0x80}})
	x.say(1, Unchoked)
	x.want(4, SendRequest, 1)
	x.source(2)
	x.want(0, SendRequest, 2)
	x.say(1, Choked) // drops all in silence
	x.want(4, SendRequest, 2)
}

func TestRejected(t *testing.T) {
	x := play(t, Config{}, 1, 2)
	x.source(1)
	x.want(2, SendRequest, 1)
	x.step(Event{Kind: Rejected, Peer: 1, Piece: 0, Begin: 0})
	x.want(0, SendRequest, 1) // it will not serve the piece
	x.step(Event{Kind: Rejected, Peer: 1, Piece: 0, Begin: 0})
	x.step(Event{Kind: Rejected, Peer: 1, Piece: -7, Begin: -1})
	x.source(2)
	x.want(1, SendRequest, 2)
	x.say(1, Unchoked) // a fresh start, for what nobody else is asked for
	x.want(0, SendRequest, 1)
}

func TestAllowedFast(t *testing.T) {
	x := play(t, Config{}, 4, 1)
	x.join(1)
	x.say(1, HaveAll)
	for _, i := range []int32{2, -3, 99} {
		x.step(Event{Kind: AllowedFast, Peer: 1, Piece: i})
	}
	if e := x.want(1, SendRequest, 1); e[0].Piece != 2 {
		t.Error(e)
	}
}

func TestLeaverReleases(t *testing.T) {
	x := play(t, Config{}, 1, 4)
	x.source(1, 2)
	x.want(4, SendRequest, 1)
	x.say(1, Left)
	x.want(4, SendRequest, 2)
	x.send(1, 0, 0) // of a peer that is gone: released
	if n := x.s.Stats().Peers; n != 1 {
		t.Error(n)
	}
}

func TestSnubAndTakeover(t *testing.T) {
	x := play(t, Config{}, 1, 4)
	x.source(1, 2)
	x.want(4, SendRequest, 1)
	x.send(1, 0, 0)
	x.wait(4 * time.Second)
	x.want(0, SendRequest, 2)
	x.wait(3 * time.Second)
	x.want(3, SendRequest, 2)
	if !x.s.peer(1).pipe.snubbed {
		t.Error("not snubbed")
	}
	x.send(2, 0, block.Size) // the late one need not
	if e := x.want(1, SendCancel, 1); e[0].Begin != block.Size {
		t.Error(e)
	}
	x.wait(time.Minute)
	x.dropped(1, ErrSilent)
	x.wait(time.Minute)
	x.want(0, Drop, 1) // once is enough
}

// Two that stall one after the other must not keep a block from a third.
func TestTwoStall(t *testing.T) {
	x := play(t, Config{}, 1, 1)
	x.source(1, 2, 3)
	x.want(1, SendRequest, 1)
	x.wait(7 * time.Second)
	second := x.take(SendRequest, 0)
	if len(second) != 1 || second[0].Peer == 1 {
		t.Fatal(second)
	}
	x.wait(7 * time.Second)
	x.want(1, SendCancel, second[0].Peer)
	if third := x.want(1, SendRequest, 0); third[0].Peer == 1 || third[0].Peer == second[0].Peer {
		t.Error(third)
	}
}

// lying hashes wrong while one of the first n answers is asked for; digests tell block 0 of the false ones apart.
func lying(n int, falseBlock int) func(int32, bool) storage.Result {
	return func(piece int32, digests bool) storage.Result {
		r := storage.Result{Piece: int(piece), Good: n <= 0, Digests: make([]storage.Digest, 2)}
		if n--; !r.Good {
			r.Digests[falseBlock][0] = 1
		}
		return r
	}
}

func TestSingleLiarIsBanned(t *testing.T) {
	x := play(t, Config{}, 1, 2)
	x.source(1)
	x.serve(lying(1, 0), 1)
	x.dropped(1, ErrBadData)
	x.want(0, SendRequest, 1) // not a byte more of it
	x.say(1, Left)
	x.join(1)
	x.dropped(1, ErrBanned)
	x.source(2)
	x.serve(good, 2)
	x.want(1, Completed, 0)
	if st := x.s.Stats(); st.FailedBytes != 2*block.Size || st.Missing != 0 {
		t.Errorf("%+v", st)
	}
}

// mixed fetches a piece half from peer 1 and half from peer 2, and both of it hash wrong.
func mixed(t *testing.T, leaves bool) *script {
	x := play(t, Config{}, 1, 2)
	x.source(1, 2)
	x.want(2, SendRequest, 1)
	x.send(1, 0, 0)
	if leaves {
		x.say(1, Left)
		x.join(7)
		x.say(7, Left)
		x.step(Event{Kind: Joined, Peer: 1, Arg: &PeerInfo{Addr: host(99), ID: ident.PeerID{99}, Incoming: true, Fast: true}})
	} else {
		x.step(Event{Kind: Rejected, Peer: 1, Piece: 0, Begin: block.Size})
	}
	x.want(1, SendRequest, 2)
	x.send(2, 0, block.Size)
	v := x.want(1, Verify, 0)
	x.step(Event{Kind: Stored, Arg: lying(1, 0)(v[0].Piece, v[0].OK)})
	x.want(0, Drop, 0) // nobody is convicted without proof
	x.serve(func(piece int32, digests bool) storage.Result {
		if !digests {
			t.Error("no digests asked for, so nobody can be found out")
		}
		return lying(0, 0)(piece, digests)
	}, 2)
	x.want(1, Completed, 0)
	return x
}

func TestLiarAmongSeveralIsFound(t *testing.T) {
	x := mixed(t, false)
	if e := x.take(Drop, 1); len(e) == 0 || !errors.Is(e[0].Arg.(error), ErrBadData) {
		t.Error(e)
	}
	if x.s.list.Banned(host(2).Addr()) || !x.s.list.Banned(host(1).Addr()) {
		t.Error("the wrong one is banned")
	}
}

// A liar's number may be another's by the time it is found out.
func TestLiarThatLeftIsFound(t *testing.T) {
	x := mixed(t, true)
	if x.s.list.Banned(host(99).Addr()) || x.s.list.Banned(host(2).Addr()) {
		t.Error("an innocent is banned")
	}
	if !x.s.list.Banned(host(1).Addr()) {
		t.Error("the liar got away")
	}
}

func TestFalseWebSeedIsDropped(t *testing.T) {
	x := play(t, Config{}, 1, 2)
	x.step(Event{Kind: Joined, Peer: 1, Arg: &PeerInfo{WebSeed: true}})
	if st := x.s.Stats(); st.WebSeeds != 1 || st.Peers != 0 || st.Seeds != 0 {
		t.Errorf("%+v", st)
	}
	x.serve(lying(1, 0), 1)
	x.dropped(1, ErrBadData)
	x.want(0, SendInterested, 1)
}

func TestHostileEvents(t *testing.T) {
	for name, f := range map[string]func(*script){
		"have beyond the end": func(x *script) { x.step(Event{Kind: Have, Peer: 1, Piece: 4}) },
		"have below zero":     func(x *script) { x.step(Event{Kind: Have, Peer: 1, Piece: -1}) },
		"short bitfield":      func(x *script) { x.step(Event{Kind: Bitfield, Peer: 1, Arg: []byte{}}) },
		"spare bits":          func(x *script) { x.step(Event{Kind: Bitfield, Peer: 1, Arg: []byte{0x01}}) },
		"block beyond the end": func(x *script) {
			x.send(1, 4, 0)
		},
		"block below zero":      func(x *script) { x.send(1, -1, 0) },
		"begin beyond the end":  func(x *script) { x.send(1, 0, 4*block.Size) },
		"begin below zero":      func(x *script) { x.send(1, 0, -block.Size) },
		"begin between blocks":  func(x *script) { x.send(1, 0, 5) },
		"a block far too short": func(x *script) { b := x.pool.Get(nil); b.SetLen(3); x.step(Event{Kind: Arrived, Peer: 1, Block: b}) },
	} {
		t.Run(name, func(t *testing.T) {
			x := play(t, Config{}, 4, 2)
			x.join(1)
			x.join(2)
			f(x)
			x.dropped(1, ErrProtocol)
			f(x) // what it says until it is gone is not heard
			x.want(0, Drop, 1)
			x.say(1, Left)
			x.want(0, Drop, 2)
		})
	}
}

func TestFloodOfUnaskedBlocks(t *testing.T) {
	x := play(t, Config{}, 2, 1)
	x.join(1)
	for range maxUnasked {
		x.send(1, 0, 0)
	}
	x.want(0, Drop, 1)
	x.send(1, 0, 0)
	x.dropped(1, ErrUnasked)
	if st := x.s.Stats(); st.Wasted != maxUnasked*block.Size+block.Size {
		t.Error(st.Wasted)
	}
}

func TestDontHave(t *testing.T) {
	x := play(t, Config{}, 2, 2, 0)
	x.source(1)
	x.want(2, SendRequest, 1)
	x.step(Event{Kind: Extensions, Peer: 1, Arg: &PeerExtensions{DontHave: true, ListenPort: 1}})
	for _, i := range []int32{1, 1, -1, 7} {
		x.step(Event{Kind: DontHave, Peer: 1, Piece: i})
	}
	x.want(1, SendNotInterested, 1)
	x.take(SendInterested, 1)
	if p := x.s.peer(1); p.seed || p.pieces != 1 || x.s.seeds != 0 || x.s.picker.Availability(0) != 1 {
		t.Errorf("%+v", p)
	}
	// We lose one, too.
	x.step(Event{Kind: Stored, Arg: storage.Result{Piece: 0, Recheck: true}})
	x.want(1, SendDontHave, 1)
	x.want(1, SendInterested, 1)
	if x.s.have.Has(0) || x.s.view.Has(0) || x.s.Stats().Missing != 2 {
		t.Error("still there")
	}
	x.step(Event{Kind: Stored, Arg: storage.Result{Piece: 0, Recheck: true, Good: true}})
	for _, r := range x.take(SendRequest, 1) { // found on disk: what was asked for is taken back
		if r.Piece == 0 {
			x.want(2, SendCancel, 1)
			break
		}
	}
	if x.s.Stats().Missing != 1 {
		t.Error(x.s.Stats())
	}
}

func TestPEX(t *testing.T) {
	x := play(t, Config{MaxPeers: 300}, 4, 1, 0)
	x.join(1)
	x.step(Event{Kind: Extensions, Peer: 1, Arg: &PeerExtensions{PEX: true, ListenPort: 4000}})
	for i := ident.Peer(2); i <= 71; i++ {
		x.join(i)
		x.step(Event{Kind: Extensions, Peer: i, Arg: &PeerExtensions{ListenPort: uint16(i)}})
	}
	update := func() *PEXUpdate {
		t.Helper()
		return x.want(1, SendPEX, 1)[0].Arg.(*PEXUpdate)
	}
	x.wait(11 * time.Second)
	if u := update(); len(u.Added) != 50 || len(u.Dropped) != 0 {
		t.Errorf("%d added", len(u.Added))
	}
	x.wait(58 * time.Second)
	x.want(0, SendPEX, 0) // a message a minute
	x.wait(2 * time.Second)
	if u := update(); len(u.Added) != 20 {
		t.Errorf("%d added", len(u.Added))
	}
	for i := ident.Peer(2); i <= 61; i++ {
		x.say(i, Left)
	}
	x.wait(time.Minute)
	u := update()
	if len(u.Dropped) != 50 || !slices.IsSortedFunc(u.Dropped, netip.AddrPort.Compare) {
		t.Errorf("%d dropped: %v", len(u.Dropped), u.Dropped)
	}
	x.wait(time.Minute)
	if u := update(); len(u.Dropped) != 10 || len(u.Added) != 0 {
		t.Errorf("%d dropped", len(u.Dropped))
	}
	x.wait(2 * time.Minute)
	x.want(0, SendPEX, 0) // nothing new
}

func addrs(from, n int) []discovery.Peer {
	var out []discovery.Peer
	for i := range n {
		out = append(out, discovery.Peer{Addr: host(ident.Peer(from + i)), Source: discovery.PEX})
	}
	return out
}

func TestPEXIn(t *testing.T) {
	x := play(t, Config{MaxDials: 5}, 4, 1)
	x.join(1)
	known := func() int { return x.s.Stats().Known }
	x.step(Event{Kind: PEX, Peer: 1, Arg: addrs(100, 300)})
	if known() != 200 {
		t.Errorf("%d addresses of one message", known())
	}
	x.step(Event{Kind: PEX, Peer: 1, Arg: addrs(500, 10)})
	if known() != 200 {
		t.Error("it talks too often")
	}
	x.want(5, Dial, 0)
	x.wait(time.Minute)
	x.step(Event{Kind: PEX, Peer: 1, Arg: addrs(500, 10)})
	if known() != 210 {
		t.Error(known())
	}
	x = play(t, Config{Private: true}, 4, 1)
	x.join(1)
	x.step(Event{Kind: Extensions, Peer: 1, Arg: &PeerExtensions{PEX: true}})
	x.join(2)
	x.step(Event{Kind: PEX, Peer: 1, Arg: addrs(100, 3)})
	x.wait(2 * time.Minute)
	x.want(0, SendPEX, 0)
	if known() != 0 {
		t.Error("a private torrent took an address from a peer")
	}
}

func TestDials(t *testing.T) {
	x := play(t, Config{MaxDials: 3, MaxPeers: 5}, 4, 1)
	var open []netip.AddrPort
	dials := func(n int) {
		t.Helper()
		for _, e := range x.want(n, Dial, 0) {
			open = append(open, e.Arg.(Candidate).Addr)
		}
		if x.s.Stats().Dials != len(open) {
			t.Fatalf("%d dials counted, %d under way", x.s.Stats().Dials, len(open))
		}
	}
	end := func(kind EventKind) {
		a := open[0]
		open = open[1:]
		x.step(Event{Kind: kind, Arg: a})
	}
	x.step(Event{Kind: Found, Arg: addrs(1, 20)})
	dials(3)
	end(DialFailed)
	dials(1)
	end(Refused)
	dials(0) // there was no slot: not at once
	x.wait(time.Second)
	dials(1)
	a := open[0]
	open = open[1:]
	x.step(Event{Kind: Joined, Peer: 1, Arg: &PeerInfo{Addr: a, Listen: a, ID: ident.PeerID{1}}})
	x.wait(time.Second)
	dials(1)
	x.join(200)
	for len(open) > 2 {
		end(DialFailed)
	}
	dials(1) // two peers, three dials
	x.join(201)
	for len(open) > 0 {
		end(DialFailed)
		for _, e := range x.take(Dial, 0) {
			open = append(open, e.Arg.(Candidate).Addr)
		}
		if x.s.live+x.s.Stats().Dials > 5 {
			t.Fatal("more dials than there is room for")
		}
	}
	if n := x.s.Stats().Dials; n != 0 {
		t.Errorf("%d dials counted, and none is under way", n)
	}
}

// An address that fails is tried again ever later, and in the end no more.
func TestDialBackoff(t *testing.T) {
	x := play(t, Config{}, 4, 1)
	x.step(Event{Kind: Found, Arg: addrs(1, 1)})
	var at []time.Duration
	for range 3600 {
		for _, e := range x.take(Dial, 0) {
			at = append(at, x.now)
			x.step(Event{Kind: DialFailed, Arg: e.Arg.(Candidate).Addr})
		}
		x.wait(time.Second)
	}
	want := []time.Duration{0, 5, 15, 35, 75, 155}
	for i := range want {
		want[i] *= time.Second
	}
	if !slices.Equal(at, want) {
		t.Errorf("dialled at %v, want %v", at, want)
	}
}

// A peer's later handshake does not make us forget where it listens, nor can it name ever new ports.
func TestReconnects(t *testing.T) {
	x := play(t, Config{}, 4, 1)
	x.join(1)
	x.step(Event{Kind: Extensions, Peer: 1, Arg: &PeerExtensions{ListenPort: 6881, PEX: true}})
	for _, port := range []uint16{0, 7000, 7001} {
		x.step(Event{Kind: Extensions, Peer: 1, Arg: &PeerExtensions{ListenPort: port}})
	}
	if st := x.s.Stats(); st.Known != 1 || st.Candidates != 0 || !x.s.peer(1).ext.PEX {
		t.Errorf("%+v", st)
	}
	x.say(1, Left)
	x.wait(6 * time.Second)
	if d := x.want(1, Dial, 0); d[0].Arg.(Candidate).Addr != host(1) {
		t.Error(d)
	}
}

func TestDuplicates(t *testing.T) {
	const low, high = 1, 9
	for _, c := range []struct {
		name                string
		self                byte
		first, second       bool // incoming
		apart               time.Duration
		dropsFirst, dropOne bool
	}{
		{"we are greater and made the second", high, true, false, time.Second, true, true},
		{"we are greater and made the first", high, false, true, time.Second, false, true},
		{"it is greater and made the second", low, false, true, time.Second, true, true},
		{"it is greater and made the first", low, true, false, time.Second, false, true},
		{"it dials again", high, true, true, time.Second, true, true},
		{"it dials again after ours went silent", high, false, true, time.Minute, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := play(t, Config{ID: ident.PeerID{c.self}}, 4, 1)
			for i, incoming := range []bool{c.first, c.second} {
				x.s.dials++
				x.step(Event{Kind: Joined, Peer: ident.Peer(i + 1), Arg: &PeerInfo{
					Addr: netip.AddrPortFrom(host(1).Addr(), uint16(i+5)), ID: ident.PeerID{5}, Incoming: incoming}})
				x.wait(c.apart)
			}
			if c.dropsFirst {
				x.dropped(1, ErrDuplicate)
			} else {
				x.dropped(2, ErrDuplicate)
			}
			x.want(0, Drop, 0)
		})
	}
}

func TestMakeRoom(t *testing.T) {
	x := play(t, Config{MaxPeers: 4}, 4, 1, 0)
	x.source(1, 2)
	for i := ident.Peer(3); i <= 10; i++ { // before any has left
		x.join(i)
	}
	drops := x.take(Drop, 0)
	seen := map[ident.Peer]bool{}
	for _, d := range drops {
		if d.Peer <= 2 || seen[d.Peer] || !errors.Is(d.Arg.(error), ErrCrowded) {
			t.Errorf("%+v", d)
		}
		seen[d.Peer] = true
	}
	if len(seen) != 6 || x.s.live != 4 {
		t.Errorf("%d dropped, %d stay", len(seen), x.s.live)
	}
}

func TestUselessPeersAreDropped(t *testing.T) {
	x := play(t, Config{}, 2, 1, 0)
	x.source(1)
	x.join(2)
	x.step(Event{Kind: Have, Peer: 2, Piece: 0})
	x.serve(good, 1)
	x.want(1, Completed, 0)
	x.dropped(1, ErrUseless)
	x.want(0, Drop, 2)
	if !x.s.Done() || !x.s.Complete() {
		t.Error("not done")
	}
	x.step(Event{Kind: UploadOnly, Peer: 2, OK: true})
	x.dropped(2, ErrUseless)
	x.join(3)
	x.step(Event{Kind: Bitfield, Peer: 3, Arg: []byte{0xc0}})
	x.dropped(3, ErrUseless)
}

func TestDoneIsNotComplete(t *testing.T) {
	x := play(t, Config{}, 2, 1)
	x.s.SetPriorities(0, []picker.Priority{picker.Skip, picker.Normal})
	x.source(1)
	x.serve(good, 1)
	x.want(1, Completed, 0)
	x.want(1, SendNotInterested, 1)
	x.want(0, Drop, 0)
	if !x.s.Done() || x.s.Complete() || x.s.LeftBytes() != block.Size {
		t.Error(x.s.LeftBytes())
	}
	x.s.SetDemand(x.now, []picker.Deadline{{Piece: 0, At: 5}}, nil) // now it is wanted after all
	x.drain()
	if x.s.Done() {
		t.Error("done, with a piece wanted")
	}
	x.serve(good, 1)
	x.want(1, Completed, 0)
}

func TestPause(t *testing.T) {
	x := play(t, Config{}, 4, 2, 0)
	x.source(1)
	x.say(1, Interested)
	x.want(1, SendUnchoke, 1)
	x.want(firstTarget, SendRequest, 1)
	x.step(Event{Kind: Pause, OK: true})
	x.want(firstTarget, SendCancel, 1)
	x.want(1, SendChoke, 1)
	x.step(Event{Kind: Found, Arg: addrs(50, 3)})
	x.say(1, Interested)
	x.wait(20 * time.Second)
	for _, k := range []EffectKind{SendRequest, SendUnchoke, Dial, Drop} {
		x.want(0, k, 0)
	}
	x.step(Event{Kind: Pause})
	x.want(firstTarget, SendRequest, 1)
	x.wait(time.Second)
	x.want(1, SendUnchoke, 1)
	x.want(3, Dial, 0)
}

func TestBeforeBegin(t *testing.T) {
	x := &script{t: t, s: New(Config{}), pool: block.NewPool(1 << 20), lay: &layout.Layout{Size: 3 * block.Size, PieceLength: block.Size}}
	x.lay.Files = []layout.File{{Length: x.lay.Size}}
	for i := ident.Peer(1); i <= 4; i++ {
		x.join(i)
		x.want(1, SendHaveNone, i)
	}
	x.step(Event{Kind: Joined, Peer: 5, Arg: &PeerInfo{WebSeed: true}})
	if st := x.s.Stats(); st.Seeds != 0 || st.WebSeeds != 1 {
		t.Errorf("%+v", st)
	}
	x.say(1, HaveAll)
	x.step(Event{Kind: Bitfield, Peer: 2, Arg: []byte{0x40}})
	for _, i := range []int32{0, 1, 2} {
		x.step(Event{Kind: Have, Peer: 3, Piece: i})
	}
	x.step(Event{Kind: Have, Peer: 4, Piece: 3})
	x.send(4, 0, 0)
	x.dropped(4, ErrProtocol)
	set := bitfield.New(3)
	set.Add(0)
	x.s.Begin(0, x.lay, set, bitfield.NewShared(3))
	x.drain()
	for i := ident.Peer(1); i <= 3; i++ {
		x.want(1, SendHave, i)
		x.want(1, SendInterested, i)
	}
	x.want(0, SendHave, 5)
	if x.s.seeds != 3 || x.s.picker.Availability(1) != 1 || x.s.picker.Availability(0) != 0 {
		t.Error(x.s.seeds, x.s.picker.Availability(1), x.s.picker.Availability(0))
	}
}

// TestTwoHidingSeeds: a seed that hides what it has, as we do, is not taken for a leecher for whose sake another is shown little.
func TestTwoHidingSeeds(t *testing.T) {
	x := play(t, Config{}, 64, 1, upTo(64)...)
	x.join(1) // it never says what it has, nor that it wants anything
	x.join(2)
	x.say(2, Interested)
	x.wait(3 * time.Second)
	if x.s.Hiding() {
		t.Error("hiding from the one leecher")
	}
	x.want(64, SendHave, 2)
}

func TestSuperSeed(t *testing.T) {
	x := play(t, Config{}, 64, 1, upTo(64)...)
	told := map[ident.Peer]map[int32]bool{1: {}, 2: {}, 3: {}}
	shown := func(id ident.Peer) (out []int32) {
		for _, e := range x.take(SendHave, id) {
			if told[id][e.Piece] {
				t.Errorf("piece %d shown to peer %d twice", e.Piece, id)
			}
			told[id][e.Piece] = true
			out = append(out, e.Piece)
		}
		return out
	}
	x.join(9) // the first, which may stay alone
	x.want(1, SendHaveNone, 9)
	x.want(superFirst, SendHave, 9)
	x.say(9, Interested)
	x.join(1)
	x.join(2)
	x.want(1, SendHaveNone, 1)
	a, b := shown(1), shown(2)
	if len(a) != superChoked || len(b) != superChoked {
		t.Fatal("shown before interest", a, b)
	}
	x.say(1, Interested)
	x.say(2, Interested)
	a, b = append(a, shown(1)...), append(b, shown(2)...)
	if len(a) != superWindow || len(b) != superWindow || slices.ContainsFunc(a, func(i int32) bool { return slices.Contains(b, i) }) {
		t.Fatal("shown", a, b)
	}
	if !x.s.Hiding() {
		t.Error("not hiding")
	}
	// Who finishes a piece is shown more, and never the same.
	x.step(Event{Kind: Have, Peer: 1, Piece: a[0]})
	more := shown(1)
	if len(more) != 1 {
		t.Error(more)
	}
	x.step(Event{Kind: Have, Peer: 1, Piece: a[1]})
	if more = append(more, shown(1)...); len(more) != 4 {
		t.Error("as many in a second as it may have at once, and no more at once from now on", more)
	}
	// What was shown to one that leaves is shown to another.
	x.say(1, Left)
	x.step(Event{Kind: Have, Peer: 2, Piece: b[0]})
	again := shown(2)
	if lost := append(a, more...); len(again) != 1 || !slices.Contains(lost, again[0]) {
		t.Errorf("%v shown again, of %v", again, lost)
	}
	// One that stands still is helped.
	x.join(3)
	shown(3)
	x.say(2, NotInterested)
	x.wait(time.Second)
	x.s.rechoke(x.now)
	shown(2)
	x.wait(12 * time.Second)
	if len(shown(2)) != 0 || len(shown(3)) != 0 {
		t.Error("help for the choked")
	}
	x.say(2, Interested)
	x.say(3, Interested)
	x.wait(11 * time.Second)
	if len(shown(2)) == 0 || len(shown(3)) == 0 {
		t.Error("no help")
	}
	// Another seed ends it.
	x.join(4)
	x.say(4, HaveAll)
	x.wait(time.Second)
	if x.s.Hiding() {
		t.Error("hiding, with another seed there")
	}
	shown(2)
	for i := range int32(64) {
		if !told[2][i] {
			t.Error("never shown", i)
		}
	}
}
