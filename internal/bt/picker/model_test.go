package picker

import (
	"math/rand/v2"
	"slices"
	"testing"

	"shoal/internal/bitfield"
	"shoal/internal/block"
	"shoal/internal/ident"
	"shoal/internal/layout"
)

// content is a layout of whole pieces of n blocks each, with gaps where gap says so.
func content(pieces, blocks int, gaps ...int) *layout.Layout {
	length := int64(blocks * block.Size)
	l := &layout.Layout{Size: int64(pieces) * length, PieceLength: length}
	for i := range pieces {
		if !slices.Contains(gaps, i) {
			l.Files = append(l.Files, layout.File{Offset: int64(i) * length, Length: length})
		}
	}
	return l
}

// model drives a picker as a swarm would, and remembers what it was told.
type model struct {
	t     testing.TB
	lay   *layout.Layout
	p     *Picker
	next  func() int // the next number of chance, 0 … 255
	has   []bitfield.Set
	asked []map[Block]bool // by peer
}

const modelPeers = 6

func newModel(t testing.TB, seed uint64, next func() int) *model {
	lay := content(24, 4, 3, 23)
	lay.Files[len(lay.Files)-1].Length -= block.Size + 77 // a short piece
	have := bitfield.New(24)
	have.Add(5)
	m := &model{t: t, lay: lay, p: New(lay, have, seed), next: next}
	for range modelPeers + 1 {
		m.has = append(m.has, bitfield.New(24))
		m.asked = append(m.asked, map[Block]bool{})
	}
	return m
}

func (m *model) peer() ident.Peer { return ident.Peer(m.next()%modelPeers + 1) }
func (m *model) piece() int       { return m.next() % m.lay.Pieces() }

// one returns one of the blocks asked of a peer, in an order that does not depend on the map's.
func (m *model) one(peer ident.Peer) (Block, bool) {
	var all []Block
	for b := range m.asked[peer] {
		all = append(all, b)
	}
	if len(all) == 0 {
		return Block{}, false
	}
	slices.SortFunc(all, func(a, b Block) int { return int(a.Piece-b.Piece)*100 + int(a.Index-b.Index) })
	return all[m.next()%len(all)], true
}

func (m *model) step() {
	peer := m.peer()
	switch m.next() % 20 {
	case 0, 1, 2, 3, 4:
		m.pick(peer)
	case 5, 6, 7, 8, 9:
		if b, ok := m.one(peer); ok {
			m.arrived(b, peer)
		}
	case 10:
		if b, ok := m.one(peer); ok {
			delete(m.asked[peer], b)
			m.p.Lost(b, peer)
		}
	case 11:
		m.late(peer)
	case 12:
		m.leave(peer)
	case 13, 14:
		m.change(peer, m.piece())
	case 15:
		m.priorities()
	case 16:
		m.demand()
	case 17:
		m.p.SetSequential(m.next()%2 == 0)
	case 18:
		if i := m.piece(); m.next()%2 == 0 {
			m.p.Forget(i)
		} else if m.p.at[int32(i)] == nil || !m.p.at[int32(i)].hashing {
			m.p.Gained(i)
			for _, asked := range m.asked {
				for b := range asked {
					if b.Piece == int32(i) {
						delete(asked, b)
					}
				}
			}
		}
	case 19: // a block that nobody asked for
		b := Block{int32(m.piece()), int32(m.next() % 5)}
		if !m.asked[peer][b] {
			m.arrived(b, peer)
		}
	}
}

func (m *model) pick(peer ident.Peer) {
	flags := m.next()
	v := &View{Peer: peer, Has: m.has[peer].Has, Fast: flags&1 != 0, Endgame: flags&2 != 0}
	v.Slower = func(o ident.Peer, _ Block) bool {
		if o == peer {
			m.t.Fatalf("peer %d compared with itself", peer)
		}
		return flags&4 != 0
	}
	if flags&8 != 0 {
		v.Unfit = func(d Deadline, picked int) bool { return (int(d.At)+picked)%3 == 0 }
		v.Rescue = func(other ident.Peer, b Block, _ Deadline, _ int) bool { return v.Slower(other, b) }
	}
	n := m.next() % 12
	got := m.p.Pick(v, n, nil)
	if len(got) > n {
		m.t.Fatalf("%d blocks picked, %d wanted", len(got), n)
	}
	for _, b := range got {
		if m.asked[peer][b] {
			m.t.Fatalf("%v asked twice of peer %d", b, peer)
		}
		if !m.has[peer].Has(int(b.Piece)) || !m.p.Wants(int(b.Piece)) {
			m.t.Fatalf("%v asked of peer %d, which lacks it, or not wanted", b, peer)
		}
		m.asked[peer][b] = true
		n := 0
		for _, asked := range m.asked {
			if asked[b] {
				n++
			}
		}
		if n > 2 {
			m.t.Fatalf("%v asked of %d peers", b, n)
		}
	}
}

func (m *model) arrived(b Block, peer ident.Peer) {
	delete(m.asked[peer], b)
	a := m.p.Arrived(b, peer)
	if !a.Accepted {
		if a != (Arrival{}) {
			m.t.Fatalf("%+v", a)
		}
		return
	}
	for _, other := range a.Cancel {
		if other == 0 {
			continue
		}
		if !m.asked[other][b] {
			m.t.Fatalf("cancel %v at peer %d, which was not asked", b, other)
		}
		delete(m.asked[other], b)
	}
	if !a.Complete {
		return
	}
	senders := m.p.Senders(int(b.Piece))
	if len(senders) != m.lay.Blocks(int(b.Piece)) || senders[b.Index] != peer {
		m.t.Fatalf("senders %v", senders)
	}
	switch m.next() % 4 {
	case 0:
		m.p.Failed(int(b.Piece), true)
	case 1:
		m.p.Failed(int(b.Piece), false)
	default:
		m.p.Passed(int(b.Piece))
	}
}

func (m *model) late(peer ident.Peer) {
	for i := range m.lay.Pieces() {
		for k := range m.lay.Blocks(i) {
			b := Block{int32(i), int32(k)}
			if m.asked[peer][b] && m.p.Overdue(b, peer) {
				delete(m.asked[peer], b)
			}
		}
	}
	m.p.Disown(peer)
}

func (m *model) leave(peer ident.Peer) {
	for i := range m.lay.Pieces() {
		for k := range m.lay.Blocks(i) {
			if b := (Block{int32(i), int32(k)}); m.asked[peer][b] {
				delete(m.asked[peer], b)
				m.p.Lost(b, peer)
			}
		}
		if m.has[peer].Remove(i) {
			m.p.PeerLost(i)
		}
	}
	m.p.Disown(peer)
	m.p.Rename(peer, 99)
}

func (m *model) change(peer ident.Peer, piece int) {
	if m.has[peer].Add(piece) {
		m.p.PeerHas(piece)
		return
	}
	if m.next()%4 == 0 {
		m.has[peer].Remove(piece)
		m.p.PeerLost(piece)
	}
}

// demand has readers want other pieces soon, or none.
func (m *model) demand() {
	var deadlines []Deadline
	var soon []int32
	for range m.next() % 4 {
		deadlines = append(deadlines, Deadline{int32(m.piece()), int64(m.next())})
		soon = append(soon, int32(m.piece()))
	}
	m.p.SetDemand(deadlines, soon)
	for _, piece := range m.p.Strays() {
		if m.next()%2 == 0 {
			continue
		}
		for _, asked := range m.asked {
			for b := range asked {
				if b.Piece == piece {
					delete(asked, b)
				}
			}
		}
		m.p.Abandon(piece)
	}
	for _, d := range deadlines {
		if !m.p.Demanded(d.Piece) || !m.p.Have(int(d.Piece)) && !m.p.Wants(int(d.Piece)) {
			m.t.Fatalf("piece %d has a deadline and is not wanted", d.Piece)
		}
	}
}

func (m *model) priorities() {
	prio := slices.Clone(m.p.prio)
	for i, base := range m.p.raised {
		prio[i] = base
	}
	for range m.next() % 6 {
		prio[m.piece()] = Priority(m.next() % 4)
	}
	m.p.SetPriorities(prio)
}

// check compares everything that the picker keeps with what it ought to be.
func (m *model) check() {
	p, t := m.p, m.t
	t.Helper()
	missing, size := 0, int64(0)
	for i := range p.prio {
		piece := int32(i)
		if p.Wants(i) {
			missing++
			size += int64(m.lay.DataLen(i))
		}
		if in := p.pos[i] >= 0; in != (p.Wants(i) && p.at[piece] == nil) {
			t.Fatalf("piece %d in order: %v, wanted: %v, begun: %v", i, in, p.Wants(i), p.at[piece] != nil)
		}
		if p.pos[i] >= 0 && p.order[p.pos[i]] != piece {
			t.Fatalf("piece %d is not at its place %d", i, p.pos[i])
		}
		n := 0
		for peer := range m.has {
			if m.has[peer].Has(i) {
				n++
			}
		}
		if p.Availability(i) != n {
			t.Fatalf("piece %d at %d peers, want %d", i, p.Availability(i), n)
		}
	}
	if a, b := p.Missing(); a != missing || b != size {
		t.Fatalf("missing %d, %d bytes; want %d, %d", a, b, missing, size)
	}
	m.checkOrder()
	m.checkPartials()
}

func (m *model) checkOrder() {
	p := m.p
	for i, piece := range p.order {
		if p.pos[piece] != int32(i) {
			m.t.Fatalf("piece %d twice in order", piece)
		}
		b := p.bucket(piece)
		if int32(i) < p.start(b) || int32(i) >= p.end[b] {
			m.t.Fatalf("piece %d of bucket %d at %d, outside of %d … %d", piece, b, i, p.start(b), p.end[b])
		}
	}
	if !slices.IsSorted(p.end) || p.end[len(p.end)-1] != int32(len(p.order)) {
		m.t.Fatal("ends do not ascend to the length of order")
	}
}

func (m *model) checkPartials() {
	p, t := m.p, m.t
	if len(p.at) != len(p.partials) {
		t.Fatal(len(p.at), len(p.partials))
	}
	owned := 0
	for peer, l := range p.owned {
		owned += len(l)
		for _, q := range l {
			if q.owner != ident.Peer(peer) || p.at[q.piece] != q {
				t.Fatalf("piece %d of peer %d is among those of %d", q.piece, q.owner, peer)
			}
		}
	}
	if owned != len(p.partials) {
		t.Fatalf("%d pieces with owners, %d under way", owned, len(p.partials))
	}
	for _, q := range p.partials {
		if p.at[q.piece] != q || len(q.slots) != m.lay.Blocks(int(q.piece)) || len(q.slots) == 0 || p.have.Has(int(q.piece)) {
			t.Fatalf("piece %d is wrongly under way", q.piece)
		}
		spare, got := 0, 0
		for i, s := range q.slots {
			b := Block{q.piece, int32(i)}
			var want []ident.Peer
			switch s.state {
			case free:
				spare++
			case late:
				spare++
				want = []ident.Peer{s.peer}
			case asked:
				want = []ident.Peer{s.peer}
				if s.second != 0 {
					want = append(want, s.second)
				}
			case arrived:
				got++
			}
			if (s.state == free || s.state == late) && i < q.hint {
				t.Fatalf("hint %d of piece %d passes free block %d", q.hint, q.piece, i)
			}
			n := 0
			for peer, asked := range m.asked {
				if asked[b] {
					n++
					if !slices.Contains(want, ident.Peer(peer)) {
						t.Fatalf("%v is asked of peer %d, and the picker says %v", b, peer, want)
					}
				}
			}
			if n != len(want) {
				t.Fatalf("%v is asked of %d peers, and the picker says %v", b, n, want)
			}
		}
		if spare != q.free || got != q.arrived {
			t.Fatalf("piece %d: %d free, %d arrived, and it says %d, %d", q.piece, spare, got, q.free, q.arrived)
		}
		if q.hashing {
			t.Fatalf("piece %d still hashing", q.piece)
		}
	}
	for peer, asked := range m.asked {
		for b := range asked {
			if p.at[b.Piece] == nil {
				t.Fatalf("%v asked of peer %d is not under way", b, peer)
			}
		}
	}
}

func TestModel(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		m := newModel(t, seed, func() int { return rng.IntN(256) })
		m.check()
		for range 400 {
			m.step()
			m.check()
		}
		m.finish()
	}
}

// finish fetches everything: whatever happened before, nothing may be stuck.
func (m *model) finish() {
	m.t.Helper()
	prio := make([]Priority, len(m.p.prio))
	for i := range prio {
		prio[i] = Normal
	}
	m.p.SetPriorities(prio)
	m.p.SetDemand(nil, nil)
	for peer := range modelPeers {
		m.leave(ident.Peer(peer + 1))
	}
	var out []Block
	for range 1000 {
		if n, _ := m.p.Missing(); n == 0 {
			return
		}
		out = m.p.Pick(&View{Peer: 1, Fast: true}, 3, out[:0])
		for _, b := range out {
			if m.p.Arrived(b, 1).Complete {
				m.p.Passed(int(b.Piece))
			}
		}
	}
	n, _ := m.p.Missing()
	m.t.Fatalf("%d pieces can never be fetched: %+v", n, m.p.Partials())
}

func FuzzPicker(f *testing.F) {
	f.Add([]byte{0, 13, 1, 0, 0, 7, 5, 5, 0})
	f.Add([]byte("the picker takes whatever comes, and keeps its books in order all the same"))
	rng := rand.New(rand.NewPCG(3, 4))
	long := make([]byte, 600)
	for i := range long {
		long[i] = byte(rng.Uint32())
	}
	f.Add(long)
	f.Fuzz(func(t *testing.T, data []byte) {
		data = data[:min(len(data), 3000)]
		m := newModel(t, 1, func() int {
			if len(data) == 0 {
				return 0
			}
			b := data[0]
			data = data[1:]
			return int(b)
		})
		for len(data) > 0 {
			m.step()
			m.check()
		}
		m.finish()
	})
}
