package peer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"shoal/internal/bitfield"
	"shoal/internal/block"
	"shoal/internal/bt/swarm"
	"shoal/internal/bt/wire"
	"shoal/internal/ident"
	"shoal/internal/layout"
	"shoal/internal/rate"
	"shoal/internal/simnet"
)

const (
	pieceLen = 64 << 10
	pieces   = 8
)

// pair is a Conn and the other end of its socket.
type pair struct {
	t     *testing.T
	c     *Conn
	other net.Conn
	pool  *block.Pool
	data  []byte
	dec   *wire.Decoder

	reading bool

	mu     sync.Mutex
	events []swarm.Event
	words  []string // that the other end has heard
	ended  bool     // the loop has
}

// connect runs a test with a connection in a bubble, with an upload limit in bytes/s unless it is 0.
func connect(t *testing.T, up int64, cfg Config, test func(p *pair)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		a, b := n.Host(netip.MustParseAddr("20.0.0.1"), simnet.Link{}), n.Host(netip.MustParseAddr("20.0.0.2"), simnet.Link{})
		ln, err := a.Listen(context.Background(), "tcp", ":1")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		p := &pair{t: t, pool: block.NewPool(0), data: make([]byte, pieces*pieceLen)}
		for i := range p.data {
			p.data[i] = byte(i * i >> 7)
		}
		if p.other, err = b.Dial(context.Background(), "tcp", "20.0.0.1:1"); err != nil {
			t.Fatal(err)
		}
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if w, ok := cfg.Conn.(*patient); ok {
			w.Conn = c
		} else {
			cfg.Conn = c
		}
		p.dec = wire.NewDecoder(p.other, func() *block.Block { return p.pool.Get(nil) }, wire.DefaultLimits)
		cfg.ID, cfg.Post = 7, p.post
		if up != 0 {
			cfg.Up = rate.New(up, nil)
		}
		if cfg.Blocks == nil {
			cfg.Blocks = p.pool
		}
		p.c = New(cfg)
		have := bitfield.NewShared(pieces)
		for i := range pieces - 1 { // not the last
			have.Add(i)
		}
		p.c.SetContent(&Content{
			Layout: &layout.Layout{PieceLength: pieceLen, Size: pieces * pieceLen, Files: []layout.File{{Path: "x", Length: pieces * pieceLen}}},
			Have:   have,
			ReadAt: func(b []byte, off int64) error {
				if off >= 6*pieceLen {
					return errors.New("the disk is broken")
				}
				copy(b, p.data[off:])
				return nil
			},
		})
		p.c.Start()
		test(p)
		p.other.Close()
		p.c.Close(nil)
		synctest.Wait()
		for _, e := range p.take() {
			e.Block.Release()
		}
	})
}

func (p *pair) post(e ...swarm.Event) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return false
	}
	p.events = append(p.events, e...)
	return true
}

func (p *pair) take() []swarm.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.events
	p.events = nil
	return e
}

// send writes to the Conn, and waits until it has seen it.
func (p *pair) send(b []byte) {
	p.t.Helper()
	if _, err := p.other.Write(b); err != nil {
		p.t.Fatal(err)
	}
	time.Sleep(time.Millisecond)
}

func request(piece, block uint32) []byte {
	return wire.AppendRequest(nil, piece, block*16<<10, 16<<10)
}

// hears reads messages from the Conn for a while, and compares them with what is expected: "piece 0 16384" and so on.
func (p *pair) hears(d time.Duration, want ...string) {
	p.t.Helper()
	if got := p.heard(d); !slices.Equal(got, want) {
		p.t.Errorf("the peer heard\n  %q, want\n  %q", got, want)
	}
}

// hearsMixed is hears for messages of which it does not matter which comes first.
func (p *pair) hearsMixed(d time.Duration, want ...string) {
	p.t.Helper()
	got := p.heard(d)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		p.t.Errorf("the peer heard\n  %q, want\n  %q", got, want)
	}
}

// heard starts to read if nobody reads yet, waits, and returns what has come.
func (p *pair) heard(d time.Duration) (got []string) {
	if !p.reading {
		p.reading = true
		go p.read()
	}
	time.Sleep(d)
	p.mu.Lock()
	defer p.mu.Unlock()
	got, p.words = p.words, nil
	return got
}

func (p *pair) read() {
	var m wire.Message
	for p.dec.Next(&m) == nil {
		s := m.ID.String()
		switch m.ID {
		case wire.Piece:
			s += " " + at(m.Piece, m.Begin)
			if off := int(m.Piece)*pieceLen + int(m.Begin); !bytes.Equal(m.Block.Bytes(), p.data[off:off+m.Block.Len()]) {
				s += " with other bytes"
			}
			m.Block.Release()
		case wire.Reject:
			s += " " + at(m.Piece, m.Begin)
		}
		p.mu.Lock()
		p.words = append(p.words, s)
		p.mu.Unlock()
	}
}

func at(piece, begin uint32) string {
	return string(rune('0'+piece)) + "/" + string(rune('0'+begin/(16<<10)))
}

// left returns why the connection ended, and fails if that was not the last event.
func (p *pair) left() error {
	p.t.Helper()
	synctest.Wait()
	e := p.take()
	if len(e) == 0 || e[len(e)-1].Kind != swarm.Left || e[len(e)-1].Peer != 7 {
		p.t.Fatalf("the last event is not that it left: %v", e)
	}
	err, _ := e[len(e)-1].Arg.(error)
	return err
}

func TestServesWhileUnchoked(t *testing.T) {
	connect(t, 0, Config{Fast: true}, func(p *pair) {
		p.send(request(0, 0))
		p.hears(time.Second, "reject 0/0")
		p.c.Unchoke()
		p.c.Flush()
		p.send(slices.Concat(request(0, 0), request(0, 1), request(0, 2), request(3, 1), request(7, 0), request(8, 0)))
		p.hearsMixed(time.Second, "unchoke", "reject 7/0", "reject 8/0", "piece 0/0", "piece 0/1", "piece 0/2", "piece 3/1")
		if down, up := p.c.Totals(); down != 0 || up != 4*16<<10 {
			t.Errorf("the totals are %d and %d", down, up)
		}
		p.c.Choke()
		p.c.Flush()
		p.send(request(0, 0))
		p.hears(time.Second, "choke", "reject 0/0")
	})
}

func TestWithoutBEP6RefusalIsSilence(t *testing.T) {
	connect(t, 0, Config{}, func(p *pair) {
		p.send(request(0, 0))
		p.c.Unchoke()
		p.c.Flush()
		p.send(slices.Concat(request(7, 0), request(1, 1)))
		p.hears(time.Second, "unchoke", "piece 1/1")
	})
}

func TestAllowedFast(t *testing.T) {
	connect(t, 0, Config{Fast: true}, func(p *pair) {
		p.c.AllowFast([]uint32{2, 7})
		p.c.Flush()
		p.send(slices.Concat(request(2, 0), request(1, 0), request(7, 0)))
		p.hearsMixed(time.Second, "allowed fast", "allowed fast", "reject 1/0", "reject 7/0", "piece 2/0")
	})
}

// slow lets one block a second pass.
const slow = 16 << 10

func TestChokeAndCancelWhileBlocksWait(t *testing.T) {
	for name, test := range map[string]struct {
		fast bool
		do   func(p *pair)
		want []string
	}{
		"choke": {true, func(p *pair) { p.c.Choke(); p.c.Flush() },
			[]string{"allowed fast", "unchoke", "piece 0/0", "choke", "reject 0/1", "reject 1/0", "piece 2/0"}},
		"choke without BEP 6": {false, func(p *pair) { p.c.Choke(); p.c.Flush() },
			[]string{"allowed fast", "unchoke", "piece 0/0", "choke", "piece 2/0"}},
		"cancel": {true, func(p *pair) { p.send(wire.AppendCancel(nil, 0, 16<<10, 16<<10)) },
			[]string{"allowed fast", "unchoke", "piece 0/0", "reject 0/1", "piece 1/0", "piece 2/0"}},
		"cancel without BEP 6": {false, func(p *pair) { p.send(wire.AppendCancel(nil, 0, 16<<10, 16<<10)) },
			[]string{"allowed fast", "unchoke", "piece 0/0", "piece 1/0", "piece 2/0"}},
		"cancel of another": {true, func(p *pair) { p.send(wire.AppendCancel(nil, 0, 16<<10, 5)) },
			[]string{"allowed fast", "unchoke", "piece 0/0", "piece 0/1", "piece 1/0", "piece 2/0"}},
	} {
		t.Run(name, func(t *testing.T) {
			connect(t, slow, Config{Fast: test.fast}, func(p *pair) {
				p.c.AllowFast([]uint32{2})
				p.c.Unchoke()
				p.c.Flush()
				p.send(slices.Concat(request(0, 0), request(0, 1), request(1, 0), request(2, 0)))
				time.Sleep(1500 * time.Millisecond)
				test.do(p)
				p.hears(time.Minute, test.want...)
			})
		})
	}
}

func TestMessagesOvertakeBlocksThatWait(t *testing.T) {
	connect(t, slow, Config{Fast: true}, func(p *pair) {
		p.c.Unchoke()
		p.c.Flush()
		p.send(slices.Concat(request(0, 0), request(0, 1)))
		p.c.Queue(wire.AppendInterested)
		p.c.Flush()
		p.hears(500*time.Millisecond, "unchoke", "interested")
		p.hears(2*time.Second, "piece 0/0", "piece 0/1")
	})
}

func TestTheUploadLimitIsKept(t *testing.T) {
	connect(t, 100<<10, Config{Fast: true}, func(p *pair) {
		p.c.Unchoke()
		p.c.Flush()
		for range 60 {
			p.send(request(1, 2))
			p.send(wire.AppendRequest(nil, 2, 5, 100)) // small ones count as what they are
		}
		begun := time.Now()
		for _, up := p.c.Totals(); up < 60*(16<<10+100); _, up = p.c.Totals() {
			p.heard(10 * time.Millisecond)
		}
		if took := time.Since(begun); took < 9*time.Second || took > 10*time.Second {
			t.Errorf("966,040 bytes at 102,400 a second took %v", took)
		}
	})
}

// queued returns how many requests wait.
func (p *pair) queued() int {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	return len(p.c.uploads)
}

func TestTooManyRequests(t *testing.T) {
	for name, fast := range map[string]bool{"with BEP 6": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			connect(t, slow, Config{Fast: fast}, func(p *pair) {
				p.c.Unchoke()
				p.send(bytes.Repeat(request(0, 0), MaxRequests))
				if n := p.queued(); n != MaxRequests {
					t.Fatalf("%d requests are queued, want %d", n, MaxRequests)
				}
				p.send(bytes.Repeat(request(0, 1), 3))
				if !fast { // it is not listened to until half of them are served, or none is to be
					p.send(wire.AppendHave(nil, 3))
					if e := p.take(); len(e) != 0 || p.queued() != MaxRequests {
						t.Errorf("%d requests are queued, and %v was read", p.queued(), e)
					}
					p.heard(MaxRequests / 4 * time.Second) // one a second
					if in, _ := p.c.Quiet(time.Now()); in > 5*time.Second {
						t.Errorf("a peer that is served counts as silent for %v", in)
					}
					p.heard(MaxRequests / 4 * time.Second)
					if e := p.take(); len(e) != 1 || e[0].Kind != swarm.Have {
						t.Errorf("then %v was read", e)
					}
					p.send(bytes.Repeat(request(0, 1), MaxRequests))
					p.send(wire.AppendHave(nil, 4))
					if e := p.take(); len(e) != 0 {
						t.Errorf("%v was read", e)
					}
					p.c.Choke()
					synctest.Wait()
					if e := p.take(); len(e) != 1 || p.queued() != 0 {
						t.Errorf("%d requests are queued after a choke, and %v was read", p.queued(), e)
					}
					return
				}
				p.hears(500*time.Millisecond, "unchoke", "reject 0/1", "reject 0/1", "reject 0/1")
				if n := p.queued(); n != MaxRequests {
					t.Errorf("%d requests are queued, want %d", n, MaxRequests)
				}
			})
		})
	}
}

func TestTheSpanFollowsTheSpeed(t *testing.T) {
	connect(t, 0, Config{Fast: true}, func(p *pair) {
		span := func() int {
			p.c.mu.Lock()
			defer p.c.mu.Unlock()
			return p.c.span
		}
		p.c.Unchoke()
		for range 8 {
			p.send(slices.Concat(request(0, 0), request(0, 1), request(0, 2), request(0, 3)))
			p.heard(time.Second)
		}
		if span() != maxSpan {
			t.Errorf("on a quick connection the span is %d", span())
		}
		p.c.adapt(20 * time.Millisecond)
		if span() != maxSpan {
			t.Errorf("after a write of 20 ms the span is %d", span())
		}
		for range 9 {
			p.c.adapt(60 * time.Millisecond)
		}
		if span() != block.Size {
			t.Errorf("on a slow connection the span is %d", span())
		}
	})
}

func TestAnUnreadablePieceEndsTheConnection(t *testing.T) {
	connect(t, 0, Config{Fast: true}, func(p *pair) {
		p.c.Unchoke()
		p.send(request(6, 0))
		if err := p.left(); err == nil || !strings.Contains(err.Error(), "the disk is broken") {
			t.Errorf("it ended with %v", err)
		}
	})
}

func TestExtensionsOfThePeer(t *testing.T) {
	c := New(Config{})
	c.SetExtensions(map[string]uint8{wire.ExtPEX: 9, wire.ExtMetadata: 3, "": 5, "ut_comment": 4})
	c.SetExtensions(map[string]uint8{wire.ExtPEX: 0, wire.ExtDontHave: 7})
	for name, want := range map[string]uint8{wire.ExtPEX: 0, wire.ExtMetadata: 3, wire.ExtDontHave: 7, wire.ExtUploadOnly: 0, "ut_comment": 0, "": 0} {
		if got := c.Extension(name); got != want {
			t.Errorf("%q has id %d, want %d", name, got, want)
		}
	}
	if m := OurExtensions(true, false); len(m) != 3 || m[wire.ExtPEX] != 0 {
		t.Errorf("for a private torrent we offer %v", m)
	}
	if m := OurExtensions(false, false); len(m) != 6 || m[wire.ExtPEX] != idPEX {
		t.Errorf("we offer %v", m)
	}
}

func TestRequestsAreServedWhilePayloadIsSlow(t *testing.T) {
	connect(t, 0, Config{Fast: true}, func(p *pair) {
		p.c.Unchoke()
		p.send(wire.AppendPieceHeader(append(request(0, 0), request(0, 1)...), 3, 0, 16<<10))
		p.hears(time.Second, "unchoke", "piece 0/0", "piece 0/1")
	})
}

func TestEventsInOrder(t *testing.T) {
	connect(t, 0, Config{Fast: true}, func(p *pair) {
		b := append(wire.AppendBitfield(nil, []byte{0xf0}), wire.AppendUnchoke(nil)...)
		b = append(wire.AppendPieceHeader(b, 3, 16<<10, 16<<10), make([]byte, 16<<10)...)
		b = wire.AppendReject(wire.AppendHave(b, 5), 4, 16<<10, 16<<10)
		b = wire.AppendChoke(wire.AppendPort(wire.AppendKeepAlive(b), 99))
		p.send(b)
		p.other.Close()
		synctest.Wait()
		var got []swarm.EventKind
		for _, e := range p.take() {
			got = append(got, e.Kind)
			if e.Peer != 7 || e.Kind == swarm.Arrived && (e.Piece != 3 || e.Begin != 16<<10 || e.Block.Len() != 16<<10) || e.Kind == swarm.Rejected && (e.Piece != 4 || e.Begin != 16<<10) {
				t.Errorf("event %+v", e)
			}
			e.Block.Release()
		}
		if want := []swarm.EventKind{swarm.Bitfield, swarm.Unchoked, swarm.Arrived, swarm.Have, swarm.Rejected, swarm.Other, swarm.Choked, swarm.Left}; !slices.Equal(got, want) {
			t.Errorf("the events are %v, want %v", got, want)
		}
		if down, _ := p.c.Totals(); down != 16<<10 {
			t.Errorf("%d bytes received", down)
		}
	})
}

func TestAReaderWaitsForMemoryAndHandsOnWhatItHolds(t *testing.T) {
	connect(t, 0, Config{Fast: true, Blocks: block.NewPool(0)}, func(p *pair) {
		_, _, limit := p.c.cfg.Blocks.Lent()
		one := append(wire.AppendPieceHeader(nil, 0, 0, 16<<10), make([]byte, 16<<10)...)
		go p.other.Write(bytes.Repeat(one, limit+10)) // until the test closes it
		time.Sleep(time.Second)
		e := p.take()
		if len(e) != limit {
			t.Fatalf("%d blocks of %d were handed on", len(e), limit)
		}
		for _, e := range e {
			e.Block.Release()
		}
		time.Sleep(time.Second)
		if e := p.take(); len(e) != 10 {
			t.Errorf("then %d blocks came, not 10", len(e))
		} else {
			for _, e := range e {
				e.Block.Release()
			}
		}
		if n, _, _ := p.c.cfg.Blocks.Lent(); n != 0 {
			t.Errorf("%d blocks are lost", n)
		}
	})
}

func TestBlocksAreReleasedWhenTheLoopHasEnded(t *testing.T) {
	connect(t, 0, Config{Fast: true, Blocks: block.NewPool(0)}, func(p *pair) {
		p.mu.Lock()
		p.ended = true
		p.mu.Unlock()
		p.send(append(wire.AppendPieceHeader(nil, 0, 0, 16<<10), make([]byte, 16<<10)...))
		if n, _, _ := p.c.cfg.Blocks.Lent(); n != 0 {
			t.Errorf("%d blocks are lost", n)
		}
		select {
		case <-p.c.done:
		default:
			t.Error("the connection goes on")
		}
	})
}

// patient counts how often somebody waits on it with a small stack.
type patient struct {
	net.Conn
	waits atomic.Int32
}

func (p *patient) Wait() { p.waits.Add(1) } // Read waits well enough here

func TestAnIdlePeersReaderParks(t *testing.T) {
	idle := &patient{}
	connect(t, 0, Config{Fast: true, Conn: idle}, func(p *pair) {
		piece := append(wire.AppendPieceHeader(nil, 3, 0, 16<<10), make([]byte, 16<<10)...)
		for i, step := range []struct {
			send  []byte
			waits int32
		}{
			{nil, 1}, {wire.AppendHave(nil, 1), 2}, {wire.AppendKeepAlive(nil), 3},
			{piece, 3}, {piece, 3}, {request(0, 0), 3}, // it reads on: more is likely to come
			{wire.AppendHave(nil, 2), 4},
		} {
			p.send(step.send)
			synctest.Wait()
			if n := idle.waits.Load(); n != step.waits {
				t.Errorf("after step %d somebody has waited %d times, not %d", i, n, step.waits)
			}
		}
		for _, e := range p.take() {
			e.Block.Release()
		}
	})
}

func TestHandshakes(t *testing.T) {
	one, two, v2 := ident.PeerID{1}, ident.PeerID{2}, ident.V1{22}
	hs := func(name ident.V1, id ident.PeerID) wire.Handshake { return wire.Handshake{InfoHash: name, PeerID: id} }
	for name, test := range map[string]struct {
		answer  []byte
		upgrade ident.V1
		fails   bool
		is      error
	}{
		"right":                    {answer: wire.AppendHandshake(nil, hs(ident.V1{1}, two))},
		"upgraded to v2":           {answer: wire.AppendHandshake(nil, hs(v2, two)), upgrade: v2},
		"upgraded though it is v1": {answer: wire.AppendHandshake(nil, hs(v2, two)), fails: true},
		"ourselves":                {answer: wire.AppendHandshake(nil, hs(ident.V1{1}, one)), is: ErrSelf},
		"another protocol":         {answer: []byte("H"), is: wire.ErrHandshake},
		"almost":                   {answer: []byte("\x13BitTorrent Protocol"), is: wire.ErrHandshake},
		"cut short":                {answer: wire.AppendHandshake(nil, hs(v2, two))[:40], is: io.ErrUnexpectedEOF},
		"nothing":                  {is: io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := net.Pipe()
				go func() {
					h, err := Hear(b)
					if err != nil || h.InfoHash != (ident.V1{1}) || h.PeerID != one {
						t.Errorf("heard %v, %v", h, err)
					}
					b.Write(test.answer)
					b.Close()
				}()
				a.Write(wire.AppendHandshake(nil, hs(ident.V1{1}, one)))
				h, err := Greeted(a, hs(ident.V1{1}, one), test.upgrade)
				a.Close()
				if (err != nil) != (test.fails || test.is != nil) || test.is != nil && !errors.Is(err, test.is) {
					t.Errorf("%v, %v", h, err)
				}
			})
		})
	}
}
