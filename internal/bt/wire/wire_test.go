package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"shoal/internal/block"
	"shoal/internal/ident"
)

func TestHandshake(t *testing.T) {
	h := Handshake{OurReserved(BitExtended, BitFast, BitV2, BitDHT), ident.V1{1, 19: 2}, ident.NewPeerID("-SH0001-")}
	b := AppendHandshake(nil, h)
	if len(b) != 68 || HandshakeLen != 68 {
		t.Fatalf("handshake has %d bytes", len(b))
	}
	if want := "13426974546f7272656e742070726f746f636f6c" + "0000000000100015"; hex.EncodeToString(b[:28]) != want {
		t.Fatalf("begins %x, want %s", b[:28], want)
	}
	got, err := ParseHandshake(b)
	if err != nil || got != h {
		t.Fatalf("got %+v, %v", got, err)
	}
	for _, bad := range [][]byte{nil, b[:67], append(b[:68:68], 0), append([]byte{18}, b[1:]...), append([]byte("\x13bitTorrent"), b[11:]...)} {
		if _, err := ParseHandshake(bad); err != ErrHandshake {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestReserved(t *testing.T) {
	for _, c := range []struct {
		bit  int
		want Reserved
		has  func(Reserved) bool
	}{
		{BitExtended, Reserved{5: 0x10}, Reserved.Extended},
		{BitDHT, Reserved{7: 0x01}, Reserved.DHT},
		{BitFast, Reserved{7: 0x04}, Reserved.Fast},
		{BitV2, Reserved{7: 0x10}, Reserved.V2},
	} {
		r := OurReserved(c.bit)
		if r != c.want || !c.has(r) {
			t.Errorf("%#x: %v", c.bit, r)
		}
		for i := range r {
			r[i] = ^r[i]
		}
		if c.has(r) {
			t.Errorf("%#x: found where it is not", c.bit)
		}
	}
}

// sample is one message in Go and on the wire.
type sample struct {
	m    Message
	wire []byte
}

var someRange = HashRange{[32]byte{0xaa, 31: 0xbb}, 1, 2, 4, 3}

func samples() []sample {
	bits := bytes.Repeat([]byte{0xa5}, 10000)
	hashes := bytes.Repeat([]byte{7}, 32*6)
	return []sample{
		{Message{ID: KeepAlive}, AppendKeepAlive(nil)},
		{Message{ID: Choke}, AppendChoke(nil)},
		{Message{ID: Unchoke}, AppendUnchoke(nil)},
		{Message{ID: Interested}, AppendInterested(nil)},
		{Message{ID: NotInterested}, AppendNotInterested(nil)},
		{Message{ID: Have, Piece: 0x01020304}, AppendHave(nil, 0x01020304)},
		{Message{ID: Bitfield, Payload: []byte{0x80}}, AppendBitfield(nil, []byte{0x80})},
		{Message{ID: Bitfield, Payload: bits}, AppendBitfield(nil, bits)},
		{Message{ID: Bitfield, Payload: []byte{}}, AppendBitfield(nil, nil)},
		{Message{ID: Request, Piece: 1, Begin: 2, Length: 3}, AppendRequest(nil, 1, 2, 3)},
		{Message{ID: Cancel, Piece: 1, Begin: 2, Length: 3}, AppendCancel(nil, 1, 2, 3)},
		{Message{ID: Reject, Piece: 1, Begin: 2, Length: 3}, AppendReject(nil, 1, 2, 3)},
		{Message{ID: Port, Port: 6881}, AppendPort(nil, 6881)},
		{Message{ID: Suggest, Piece: 9}, AppendSuggest(nil, 9)},
		{Message{ID: HaveAll}, AppendHaveAll(nil)},
		{Message{ID: HaveNone}, AppendHaveNone(nil)},
		{Message{ID: AllowedFast, Piece: 9}, AppendAllowedFast(nil, 9)},
		{Message{ID: Extended, Ext: 3, Payload: []byte("de")}, AppendExtended(nil, 3, []byte("de"))},
		{Message{ID: Extended, Ext: 0, Payload: []byte{}}, AppendExtended(nil, 0, nil)},
		{Message{ID: HashRequest, Hashes: someRange}, AppendHashRequest(nil, someRange)},
		{Message{ID: HashReject, Hashes: someRange}, AppendHashReject(nil, someRange)},
		{Message{ID: Hashes, Hashes: someRange, Payload: hashes}, AppendHashes(nil, someRange, hashes)},
	}
}

func pieceMessage(piece, begin uint32, payload []byte) []byte {
	return append(AppendPieceHeader(nil, piece, begin, len(payload)), payload...)
}

func TestWireForm(t *testing.T) {
	for _, c := range []struct {
		got  []byte
		want string
	}{
		{AppendKeepAlive(nil), "00000000"},
		{AppendChoke(nil), "0000000100"},
		{AppendUnchoke(nil), "0000000101"},
		{AppendInterested(nil), "0000000102"},
		{AppendNotInterested(nil), "0000000103"},
		{AppendHave(nil, 258), "000000050400000102"},
		{AppendBitfield(nil, []byte{0xf0, 0x80}), "0000000305f080"},
		{AppendRequest(nil, 1, 2, 16384), "0000000d06000000010000000200004000"},
		{AppendPieceHeader(nil, 1, 2, 16384), "00004009070000000100000002"},
		{AppendCancel(nil, 1, 2, 16384), "0000000d08000000010000000200004000"},
		{AppendPort(nil, 0x1ae1), "00000003091ae1"},
		{AppendSuggest(nil, 1), "000000050d00000001"},
		{AppendHaveAll(nil), "000000010e"},
		{AppendHaveNone(nil), "000000010f"},
		{AppendReject(nil, 1, 2, 16384), "0000000d10000000010000000200004000"},
		{AppendAllowedFast(nil, 1), "000000051100000001"},
		{AppendExtended(nil, 2, []byte("de")), "0000000414026465"},
		{AppendHashRequest(nil, someRange), "0000003115aa" + strings.Repeat("00", 30) + "bb00000001000000020000000400000003"},
		{AppendHashReject(nil, someRange), "0000003117aa" + strings.Repeat("00", 30) + "bb00000001000000020000000400000003"},
		{AppendHashes(nil, someRange, []byte{1, 2})[:5], "0000003316"},
	} {
		if hex.EncodeToString(c.got) != c.want {
			t.Errorf("got %x, want %s", c.got, c.want)
		}
	}
}

func same(t *testing.T, got, want Message) {
	t.Helper()
	if got.ID != want.ID || got.Piece != want.Piece || got.Begin != want.Begin || got.Length != want.Length ||
		got.Ext != want.Ext || got.Port != want.Port || got.Hashes != want.Hashes || !bytes.Equal(got.Payload, want.Payload) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

// drips are ways in which the same bytes can arrive.
var drips = map[string]func(io.Reader) io.Reader{
	"whole": func(r io.Reader) io.Reader { return r }, "bytes": iotest.OneByteReader,
	"half": iotest.HalfReader, "data with EOF": iotest.DataErrReader,
}

func TestRoundTrip(t *testing.T) {
	long := make([]byte, block.Size)
	for i := range long {
		long[i] = byte(i * 7)
	}
	all := samples()
	for _, p := range [][]byte{long, long[:1], long[:20], long[:5000]} {
		all = append(all, sample{Message{ID: Piece, Piece: 5, Begin: 6, Length: uint32(len(p)), Payload: p}, pieceMessage(5, 6, p)})
	}
	all = append(all, all...) // a small message behind a long one, too
	var stream []byte
	for _, s := range all {
		stream = append(stream, s.wire...)
		stream = append(stream, 0, 0, 0, 3, 99, 1, 2) // an unknown message
	}
	for name, drip := range drips {
		t.Run(name, func(t *testing.T) {
			pool := block.NewPool(0)
			d := NewDecoder(drip(bytes.NewReader(stream)), pool.TryGet, DefaultLimits)
			for i, s := range all {
				var m Message
				if err := d.Next(&m); err != nil {
					t.Fatalf("message %d: %v", i, err)
				}
				if m.ID == Piece {
					m.Payload = m.Block.Bytes()
				}
				same(t, m, s.m)
				m.Block.Release()
				if i%3 == 0 {
					d.Idle()
				}
			}
			if err := d.Next(&Message{}); err != io.EOF {
				t.Fatal(err)
			}
			if n, _, _ := pool.Lent(); n != 0 {
				t.Fatalf("%d blocks are lent", n)
			}
		})
	}
}

func TestTruncated(t *testing.T) {
	all := append(samples(), sample{Message{ID: Piece}, pieceMessage(1, 2, make([]byte, 9000))})
	for _, s := range all {
		for _, n := range []int{1, 4, 5, 6, 13, 20, 52, len(s.wire) - 1} {
			if n >= len(s.wire) {
				continue
			}
			pool := block.NewPool(0)
			d := NewDecoder(bytes.NewReader(s.wire[:n]), pool.TryGet, DefaultLimits)
			m := Message{ID: Have}
			if err := d.Next(&m); err != io.ErrUnexpectedEOF {
				t.Errorf("%v cut to %d bytes: %v", s.m.ID, n, err)
			}
			if m.ID != 0 || m.Block != nil {
				t.Errorf("%v cut to %d bytes leaves %+v", s.m.ID, n, m)
			}
			if n, _, _ := pool.Lent(); n != 0 {
				t.Errorf("%v: a block is lost", s.m.ID)
			}
		}
	}
}

func TestViolations(t *testing.T) {
	long := HashRange{Length: MaxHashes, ProofLayers: maxProof + 1}
	limits := Limits{Bitfield: 10, Extended: 20}
	for name, c := range map[string]struct {
		wire []byte
		id   ID
		bep  int
	}{
		"long choke":         {[]byte{0, 0, 0, 2, 0, 0}, Choke, 3},
		"long have all":      {[]byte{0, 0, 0, 2, 14, 0}, HaveAll, 6},
		"short have":         {[]byte{0, 0, 0, 4, 4, 0, 0, 0}, Have, 3},
		"short suggest":      {[]byte{0, 0, 0, 4, 13, 0, 0, 0}, Suggest, 6},
		"long allowed fast":  {[]byte{0, 0, 0, 6, 17, 0, 0, 0, 0, 0}, AllowedFast, 6},
		"short request":      {[]byte{0, 0, 0, 12, 6}, Request, 3},
		"long cancel":        {[]byte{0, 0, 0, 14, 8}, Cancel, 3},
		"short reject":       {[]byte{0, 0, 0, 12, 16}, Reject, 6},
		"long port":          {[]byte{0, 0, 0, 4, 9}, Port, 5},
		"piece, no begin":    {[]byte{0, 0, 0, 8, 7}, Piece, 3},
		"empty piece":        {AppendPieceHeader(nil, 0, 0, 0), Piece, 3},
		"long piece":         {AppendPieceHeader(nil, 0, 0, block.Size+1), Piece, 3},
		"endless piece":      {[]byte{255, 255, 255, 255, 7}, Piece, 3},
		"long bitfield":      {AppendBitfield(nil, make([]byte, 11)), Bitfield, 3},
		"extended, no id":    {[]byte{0, 0, 0, 1, 20}, Extended, 10},
		"long extended":      {AppendExtended(nil, 1, make([]byte, 21)), Extended, 10},
		"short hash request": {[]byte{0, 0, 0, 48, 21}, HashRequest, 52},
		"long hash reject":   {AppendHashes(nil, someRange, make([]byte, 32)), Hashes, 52},
		"short hashes":       {[]byte{0, 0, 0, 48, 22}, Hashes, 52},
		"hashes too few":     {AppendHashes(nil, someRange, make([]byte, 32*3)), Hashes, 52},
		"hashes too many":    {AppendHashes(nil, someRange, make([]byte, 32*8)), Hashes, 52},
		"hash cut":           {AppendHashes(nil, someRange, make([]byte, 32*5+1)), Hashes, 52},
		"hashes too long":    {AppendHashes(nil, long, make([]byte, 32*(MaxHashes+maxProof+1))), Hashes, 52},
		"hashes, overflow":   {AppendHashes(nil, HashRange{Length: 1 << 31, ProofLayers: 1 << 31}, make([]byte, 32)), Hashes, 52},
		"long unknown":       {[]byte{0, 0, 0, 22, 77}, 77, 3},
		"unknown 255":        {[]byte{0, 0, 0, 22, 255}, KeepAlive, 3},
	} {
		t.Run(name, func(t *testing.T) {
			d := NewDecoder(bytes.NewReader(c.wire), func() *block.Block { t.Error("asked for a block"); return nil }, limits)
			err := d.Next(&Message{})
			var p *ProtocolError
			if !errors.As(err, &p) || p.ID != c.id || p.BEP != c.bep || !strings.Contains(err.Error(), p.What) {
				t.Fatalf("got %v (%#v)", err, p)
			}
			if again := d.Next(&Message{}); again != err {
				t.Fatalf("then %v", again)
			}
		})
	}
}

func TestLimitsAreInclusive(t *testing.T) {
	stream := AppendBitfield(nil, make([]byte, 10))
	stream = AppendExtended(stream, 1, make([]byte, 20))
	stream = append(stream, append([]byte{0, 0, 0, 21, 77}, make([]byte, 20)...)...)
	stream = AppendBitfield(stream, make([]byte, 3))
	stream = AppendBitfield(stream, make([]byte, 4))
	d := NewDecoder(bytes.NewReader(stream), nil, Limits{Bitfield: 10, Extended: 20})
	for range 2 {
		if err := d.Next(&Message{}); err != nil {
			t.Fatal(err)
		}
	}
	d.Limit(Limits{Bitfield: 3, Extended: 20})
	if err := d.Next(&Message{}); err != nil {
		t.Fatal(err)
	}
	var p *ProtocolError
	if err := d.Next(&Message{}); !errors.As(err, &p) {
		t.Fatal(err)
	}
}

func TestNoBlock(t *testing.T) {
	d := NewDecoder(bytes.NewReader(pieceMessage(0, 0, make([]byte, 9))), func() *block.Block { return nil }, DefaultLimits)
	if err := d.Next(&Message{}); err != ErrClosing {
		t.Fatal(err)
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

func TestNoProgress(t *testing.T) {
	if err := NewDecoder(stuck{}, nil, DefaultLimits).Next(&Message{}); err != io.ErrNoProgress {
		t.Fatal(err)
	}
}

func TestBufferedAndIdle(t *testing.T) {
	r := bytes.NewReader(bytes.Repeat(AppendHave(nil, 1), 100))
	d := NewDecoder(r, nil, DefaultLimits)
	for i := range 100 {
		if err := d.Next(&Message{}); err != nil {
			t.Fatal(err)
		}
		if unread := 9 * (99 - i); d.Buffered()+r.Len() != unread {
			t.Fatalf("%d buffered and %d to read after %d messages", d.Buffered(), r.Len(), i+1)
		}
		if d.Idle(); d.Buffered()+r.Len() != 9*(99-i) {
			t.Fatal("Idle has lost bytes")
		}
		if i == 50 && d.large == nil {
			t.Fatal("a busy connection has no large buffer")
		}
	}
	if d.large != nil {
		t.Fatal("an idle connection holds a buffer")
	}
}

// loop serves the same bytes again and again.
type loop struct {
	b []byte
	i int
}

func (l *loop) Read(p []byte) (int, error) {
	n := copy(p, l.b[l.i:])
	l.i = (l.i + n) % len(l.b)
	return n, nil
}

func TestNoAllocations(t *testing.T) {
	stream := AppendHave(nil, 1)
	stream = AppendRequest(stream, 1, 2, 3)
	stream = append(stream, pieceMessage(1, 0, make([]byte, block.Size))...)
	stream = AppendBitfield(stream, make([]byte, 3*bufferSize))
	pool := block.NewPool(0)
	d := NewDecoder(&loop{b: stream}, pool.TryGet, DefaultLimits)
	var m Message
	if n := testing.AllocsPerRun(1000, func() {
		for range 4 {
			if err := d.Next(&m); err != nil {
				t.Fatal(err)
			}
			m.Block.Release()
		}
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
	out := make([]byte, 0, 100)
	if n := testing.AllocsPerRun(100, func() {
		out = AppendPieceHeader(AppendRequest(AppendHave(out[:0], 1), 1, 2, 3), 1, 2, 3)
	}); n != 0 {
		t.Fatalf("%v allocations to append", n)
	}
}

// TestSlowBitfieldHoldsLittle checks that memory follows what arrives, not what is announced.
func TestSlowBitfieldHoldsLittle(t *testing.T) {
	d := NewDecoder(bytes.NewReader(AppendBitfield(nil, make([]byte, 512<<10))[:10000]), nil, DefaultLimits)
	if err := d.Next(&Message{}); err != io.ErrUnexpectedEOF {
		t.Fatal(err)
	}
	if cap(d.body) > 40000 {
		t.Fatalf("holds %d bytes", cap(d.body))
	}
}

func FuzzDecoder(f *testing.F) {
	for _, s := range samples() {
		f.Add(s.wire)
	}
	f.Add(pieceMessage(1, 2, []byte("payload")))
	f.Add([]byte{0, 0, 0, 3, 99, 1, 2, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		pool := block.NewPool(0)
		d := NewDecoder(bytes.NewReader(b), pool.TryGet, Limits{Bitfield: 8192, Extended: 8192})
		var seen []Message
		for {
			var m Message
			if d.Next(&m) != nil {
				break
			}
			m.Payload = bytes.Clone(m.Payload)
			if m.ID == Piece {
				m.Payload = bytes.Clone(m.Block.Bytes())
				m.Block.Release()
				m.Block = nil
			}
			seen = append(seen, m)
			d.Idle()
		}
		if n, _, _ := pool.Lent(); n != 0 {
			t.Fatalf("%d blocks are lent", n)
		}
		var again []byte
		for _, m := range seen {
			again = encode(again, m)
		}
		d = NewDecoder(iotest.HalfReader(bytes.NewReader(again)), pool.TryGet, DefaultLimits)
		for _, want := range seen {
			var m Message
			if err := d.Next(&m); err != nil {
				t.Fatal(err)
			}
			if m.ID == Piece {
				m.Payload = m.Block.Bytes()
			}
			same(t, m, want)
			m.Block.Release()
		}
		if err := d.Next(&Message{}); err != io.EOF {
			t.Fatal(err)
		}
	})
}

func encode(dst []byte, m Message) []byte {
	switch m.ID {
	case KeepAlive:
		return AppendKeepAlive(dst)
	case Choke, Unchoke, Interested, NotInterested, HaveAll, HaveNone:
		return header(dst, m.ID, 0)
	case Have, Suggest, AllowedFast:
		return appendPiece(dst, m.ID, m.Piece)
	case Request, Cancel, Reject:
		return appendBlock(dst, m.ID, m.Piece, m.Begin, m.Length)
	case Bitfield:
		return AppendBitfield(dst, m.Payload)
	case Piece:
		return append(AppendPieceHeader(dst, m.Piece, m.Begin, len(m.Payload)), m.Payload...)
	case Port:
		return AppendPort(dst, m.Port)
	case Extended:
		return AppendExtended(dst, m.Ext, m.Payload)
	}
	return appendHashRange(dst, m.ID, m.Hashes, m.Payload)
}

func BenchmarkPieces(b *testing.B) {
	pool := block.NewPool(0)
	d := NewDecoder(&loop{b: pieceMessage(1, 0, make([]byte, block.Size))}, pool.TryGet, DefaultLimits)
	b.SetBytes(block.Size)
	b.ReportAllocs()
	var m Message
	for b.Loop() {
		if err := d.Next(&m); err != nil {
			b.Fatal(err)
		}
		m.Block.Release()
	}
}
