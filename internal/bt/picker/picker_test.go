package picker

import (
	"slices"
	"testing"

	"shoal/internal/bitfield"
	"shoal/internal/ident"
)

func fresh(pieces, blocks int, gaps ...int) *Picker {
	return New(content(pieces, blocks, gaps...), bitfield.New(pieces), 1)
}

func seed(peer ident.Peer) *View { return &View{Peer: peer, Fast: true} }

func piecesOf(bs []Block) []int {
	var out []int
	for _, b := range bs {
		if len(out) == 0 || out[len(out)-1] != int(b.Piece) {
			out = append(out, int(b.Piece))
		}
	}
	return out
}

func wantPieces(t *testing.T, got []Block, want ...int) {
	t.Helper()
	if !slices.Equal(piecesOf(got), want) {
		t.Errorf("picked pieces %v, want %v", piecesOf(got), want)
	}
}

func TestOrder(t *testing.T) {
	for _, c := range []struct {
		name  string
		setUp func(*Picker)
		view  View
		want  []int
	}{
		{"rarest first", func(p *Picker) {
			for i, n := range []int{3, 1, 4, 2} {
				for range n {
					p.PeerHas(i)
				}
			}
		}, View{}, []int{1, 3, 0, 2}},
		{"a loss makes rarer", func(p *Picker) {
			for i := range 4 {
				for range 2 + i {
					p.PeerHas(i)
				}
			}
			for range 4 {
				p.PeerLost(3)
			}
		}, View{}, []int{3, 0, 1, 2}},
		{"priority before rarity", func(p *Picker) {
			for i := range 4 {
				for range i {
					p.PeerHas(i)
				}
			}
			p.SetPriorities([]Priority{Low, Skip, Normal, High})
		}, View{}, []int{3, 2, 0}},
		{"only what the peer has", func(*Picker) {}, View{Has: func(i int) bool { return i == 2 }}, []int{2}},
		{"only what it may be asked", func(*Picker) {}, View{Only: func(i int) bool { return i == 1 }}, []int{1}},
		{"in order", func(p *Picker) { p.SetSequential(true) }, View{}, []int{0, 1, 2, 3}},
		{"in order by priority", func(p *Picker) {
			p.SetSequential(true)
			p.SetPriorities([]Priority{Low, Normal, High, Normal})
		}, View{}, []int{2, 1, 3, 0}},
		{"deadlines first", func(p *Picker) {
			p.SetSequential(true)
			p.SetDemand([]Deadline{{3, 20}, {2, 30}, {1, 40}}, nil)
			p.SetDemand([]Deadline{{3, 20}, {2, 10}}, nil)
		}, View{}, []int{2, 3, 0, 1}},
		{"what is wanted soon next", func(p *Picker) {
			p.SetSequential(true)
			p.SetDemand([]Deadline{{3, 20}}, []int32{2, 3})
		}, View{}, []int{3, 2, 0, 1}},
		{"what was demanded has its priority again", func(p *Picker) {
			p.SetPriorities([]Priority{Skip, High, Low, Normal})
			p.SetDemand([]Deadline{{0, 1}}, []int32{2})
			p.SetDemand(nil, nil)
		}, View{}, []int{1, 3, 2}},
		{"one who would be late leaves it to others", func(p *Picker) {
			p.SetDemand([]Deadline{{3, 20}, {2, 30}}, nil)
		}, View{Fitness: Fitness{Unfit: func(d Deadline, _ int) bool { return d.At < 30 }}, Only: func(i int) bool { return i > 1 }}, []int{2}},
		{"a deadline makes wanted", func(p *Picker) {
			p.SetPriorities([]Priority{Skip, Skip, Skip, High})
			p.SetDemand([]Deadline{{1, 1}}, nil)
		}, View{}, []int{1, 3}},
		{"and keeps it wanted", func(p *Picker) {
			p.SetDemand([]Deadline{{1, 1}}, nil)
			p.SetPriorities([]Priority{Skip, Skip, High, Skip})
		}, View{}, []int{1, 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := fresh(4, 2)
			c.setUp(p)
			c.view.Peer, c.view.Fast = 1, true
			wantPieces(t, p.Pick(&c.view, 100, nil), c.want...)
		})
	}
}

// Two peers that begin at once should begin different pieces, and not always the same.
func TestTiesAreBrokenByChance(t *testing.T) {
	first := map[int32]int{}
	for s := range uint64(400) {
		p := New(content(4, 1), bitfield.New(4), s)
		first[p.Pick(seed(1), 1, nil)[0].Piece]++
	}
	for i := range int32(4) {
		if first[i] < 60 || first[i] > 140 {
			t.Errorf("of 400 pickers each began with: %v", first)
		}
	}
	p := New(content(64, 1), bitfield.New(64), 9)
	for i := range 64 { // all become rarer than nothing one by one: insertion is random too
		p.PeerHas(i)
	}
	if got := piecesOf(p.Pick(seed(1), 64, nil)); slices.IsSorted(got) {
		t.Error("in order of arrival", got)
	}
}

func TestOwnership(t *testing.T) {
	p := fresh(3, 4)
	p.SetSequential(true)
	wantPieces(t, p.Pick(seed(1), 2, nil), 0)
	wantPieces(t, p.Pick(seed(2), 2, nil), 1)    // a fast peer begins its own
	wantPieces(t, p.Pick(seed(1), 3, nil), 0, 2) // and ends it before another
	slow := &View{Peer: 3}
	wantPieces(t, p.Pick(slow, 1, nil), 1) // a slow one helps
	p.Disown(2)
	wantPieces(t, p.Pick(seed(4), 1, nil), 1) // taken over before anything else
	wantPieces(t, p.Pick(seed(5), 9, nil), 2) // with nothing to begin, fast ones help too
}

func TestLateBlocks(t *testing.T) {
	p := fresh(1, 2)
	p.Pick(seed(1), 2, nil)
	b := Block{0, 1}
	if p.Overdue(b, 1) {
		t.Error("nobody else is asked")
	}
	if got := p.Pick(seed(1), 2, nil); len(got) != 0 {
		t.Error("a late block is not asked of the same peer again", got)
	}
	if got := p.Pick(seed(2), 2, nil); !slices.Equal(got, []Block{b}) {
		t.Fatal(got)
	}
	if got := p.Pick(seed(3), 2, nil); len(got) != 0 {
		t.Error("asked of a third", got)
	}
	// The second is late as well: the block is free for a third, and the second need not send it.
	if !p.Overdue(b, 2) {
		t.Error("the second's request is not to be cancelled")
	}
	if got := p.Pick(seed(3), 2, nil); !slices.Equal(got, []Block{b}) {
		t.Fatal("stuck", got)
	}
	p.Lost(b, 3)
	if got := p.Pick(seed(4), 2, nil); !slices.Equal(got, []Block{b}) {
		t.Fatal("stuck", got)
	}
	if a := p.Arrived(b, 1); !a.Accepted || a.Cancel != [2]ident.Peer{0, 4} || a.Complete {
		t.Errorf("%+v", a)
	}
}

func TestEndgame(t *testing.T) {
	p := fresh(1, 3)
	p.Pick(seed(1), 3, nil)
	v := &View{Peer: 2, Fast: true, Endgame: true, Slower: func(o ident.Peer, _ Block) bool { return o == 1 }}
	if got := p.Pick(v, 2, nil); !slices.Equal(got, []Block{{0, 2}, {0, 1}}) {
		t.Fatal("the last first", got)
	}
	v.Peer = 3
	if got := p.Pick(v, 9, nil); !slices.Equal(got, []Block{{0, 0}}) {
		t.Fatal("more than two asked", got)
	}
	v.Peer, v.Slower = 4, func(ident.Peer, Block) bool { return false }
	if got := p.Pick(v, 9, nil); len(got) != 0 {
		t.Error("a peer no slower was doubled", got)
	}
	if a := p.Arrived(Block{0, 2}, 2); a.Cancel != [2]ident.Peer{1, 0} {
		t.Errorf("%+v", a)
	}
	if a := p.Arrived(Block{0, 1}, 9); !a.Accepted || a.Cancel != [2]ident.Peer{1, 2} {
		t.Errorf("a third's block: %+v", a)
	}
	if a := p.Arrived(Block{0, 1}, 1); a.Accepted {
		t.Error("accepted twice")
	}
	if a := p.Arrived(Block{0, 0}, 1); !a.Complete || a.Cancel != [2]ident.Peer{0, 3} {
		t.Errorf("%+v", a)
	}
	if got := p.Senders(0); !slices.Equal(got, []ident.Peer{1, 9, 2}) {
		t.Error(got)
	}
}

func TestOneSenderAfterFailure(t *testing.T) {
	p := fresh(2, 2)
	p.SetPriorities([]Priority{Normal, Skip})
	for _, b := range []Block{p.Pick(seed(1), 1, nil)[0], p.Pick(&View{Peer: 2}, 1, nil)[0]} {
		p.Arrived(b, 1)
	}
	p.Failed(0, true)
	if n, bytes := p.Missing(); n != 1 || bytes != 2*16<<10 {
		t.Error(n, bytes)
	}
	got := p.Pick(seed(3), 1, nil)
	wantPieces(t, got, 0)
	if got := p.Pick(&View{Peer: 4, Endgame: true, Slower: func(ident.Peer, Block) bool { return true }}, 9, nil); len(got) != 0 {
		t.Error("a second peer was asked", got)
	}
	if a := p.Arrived(Block{0, 1}, 5); a.Accepted {
		t.Error("a block that nobody asked for spoils the proof")
	}
	p.Lost(got[0], 3) // all is free again, and still only one is asked, if need be another
	wantPieces(t, p.Pick(seed(4), 1, nil), 0)
	if got := p.Pick(seed(3), 9, nil); len(got) != 0 {
		t.Error(got)
	}
	p.Disown(4)
	wantPieces(t, p.Pick(seed(3), 9, nil), 0)
}

func TestRename(t *testing.T) {
	p := fresh(1, 3)
	got := p.Pick(seed(1), 2, nil)
	p.Arrived(got[0], 1)
	p.Lost(got[1], 1)
	p.Rename(1, 77)
	for _, b := range p.Pick(seed(1), 2, nil) { // another peer of the same number
		p.Arrived(b, 1)
	}
	if s := p.Senders(0); !slices.Equal(s, []ident.Peer{77, 1, 1}) {
		t.Error(s)
	}
}

func TestGainedAndForgotten(t *testing.T) {
	p := fresh(3, 2, 1)
	p.SetSequential(true)
	if n, _ := p.Missing(); n != 2 || !p.Have(1) {
		t.Fatal("a gap is wanted")
	}
	got := p.Pick(seed(1), 1, nil)
	p.Gained(0)
	if p.Wants(0) || p.Arrived(got[0], 1).Accepted || len(p.Partials()) != 0 {
		t.Error("found on disk, and still collected")
	}
	p.Gained(0)
	p.Gained(2)
	if n, bytes := p.Missing(); n != 0 || bytes != 0 {
		t.Error(n, bytes)
	}
	for i := range 3 {
		p.Forget(i)
	}
	if n, _ := p.Missing(); n != 2 {
		t.Error("a gap cannot be lost", n)
	}
	wantPieces(t, p.Pick(seed(1), 9, nil), 0, 2)
}

// A peer that says it has everything and leaves must not drive a count below zero, nor many peers above the top.
func TestAvailabilityHasBounds(t *testing.T) {
	p := fresh(2, 1)
	p.PeerLost(0)
	if p.Availability(0) != 0 {
		t.Error(p.Availability(0))
	}
	for range 1<<16 + 5 {
		p.PeerHas(0)
	}
	if p.Availability(0) != 1<<16-1 {
		t.Error(p.Availability(0))
	}
	p.PeerHas(1)
	wantPieces(t, p.Pick(seed(1), 2, nil), 1, 0)
}

// steady picks, receives and hashes blocks for ever.
type steady struct {
	p   *Picker
	v   View
	out []Block
}

func newSteady(pieces, blocks int) *steady {
	p := fresh(pieces, blocks)
	for i := range pieces {
		for range i % 50 {
			p.PeerHas(i)
		}
	}
	return &steady{p: p, v: View{Peer: 1, Fast: true}}
}

func (s *steady) blocks(n int) {
	for n > 0 {
		s.out = s.p.Pick(&s.v, min(n, 16), s.out[:0])
		for _, b := range s.out {
			n--
			if s.p.Arrived(b, 1).Complete {
				s.p.Passed(int(b.Piece))
				s.p.Forget(int(b.Piece)) // so that the work never ends
			}
		}
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	s := newSteady(2000, 16)
	s.blocks(2 * 2000 * 16)
	if n := testing.AllocsPerRun(100, func() { s.blocks(160) }); n != 0 {
		t.Errorf("%v allocations for 160 blocks", n)
	}
}

func BenchmarkBlock(b *testing.B) {
	s := newSteady(10000, 64)
	s.blocks(10000)
	b.ReportAllocs()
	b.ResetTimer()
	s.blocks(b.N)
}

func BenchmarkHave(b *testing.B) {
	p := fresh(10000, 64)
	for i := 0; b.Loop(); i++ {
		p.PeerHas(i % 10000)
		if i%3 != 0 {
			p.PeerLost(i % 10000)
		}
	}
}
