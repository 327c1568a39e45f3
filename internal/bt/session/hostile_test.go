package session_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/session"
	"shoal/internal/bt/wire"
	"shoal/internal/ident"
)

// attack is something a hostile peer does to a session that has a part of the content.
type attack struct {
	do     func(a *attacker, victim *node) // after the handshakes, unless raw
	drops  time.Duration                   // how soon the victim ends the connection; 0: it does not
	raw    bool                            // do begins before the handshakes
	deaf   bool                            // the attacker never reads
	slow   bool                            // it does not know BEP 6
	magnet bool                            // the victim has no metadata yet
}

// sends is an attack of a few messages.
func sends(b ...[]byte) func(*attacker, *node) {
	return func(a *attacker, _ *node) {
		for _, m := range b {
			a.send(m)
		}
	}
}

// message is one with any id and body.
func message(id byte, body ...byte) []byte {
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(1+len(body))), id), body...)
}

func repeat(n int, b ...byte) []byte { return []byte(strings.Repeat(string(b), n)) }

func piece(piece, begin uint32, n int) []byte {
	return append(wire.AppendPieceHeader(nil, piece, begin, n), make([]byte, n)...)
}

func ext(id uint8, body string) []byte { return wire.AppendExtended(nil, id, []byte(body)) }

// The content has pieces of 32 KiB: 0 … 3 of the first file, whose last block has one byte, and 4 … 11 of the second.
const (
	firstLen  = 3*32<<10 + 1
	secondLen = 8 * 32 << 10
)

var attacks = map[string]attack{
	"another protocol":           {raw: true, do: sends([]byte("GET / HTTP/1.0\r\n\r\n")), drops: 21 * time.Second},
	"another protocol, long":     {raw: true, do: sends(repeat(5000, 'x')), drops: 21 * time.Second},
	"almost the protocol":        {raw: true, do: sends([]byte("\x13BitTorrent Protocol" + strings.Repeat("x", 48))), drops: 21 * time.Second},
	"a torrent that is not here": {raw: true, do: func(a *attacker, _ *node) { a.send(wire.AppendHandshake(nil, wire.Handshake{PeerID: a.id})) }, drops: time.Second},
	"silence":                    {raw: true, do: sends(), drops: 21 * time.Second},
	"a handshake that never ends": {raw: true, do: func(a *attacker, _ *node) {
		a.drip(a.handshake()[:60], time.Second)
	}, drops: time.Second},
	"half a handshake and close": {raw: true, do: func(a *attacker, _ *node) {
		a.send(a.handshake()[:30])
		a.conn.Close()
	}, drops: time.Second},
	"a handshake and close": {do: func(a *attacker, _ *node) { a.conn.Close() }, drops: time.Second},
	"the victim's own id": {raw: true, do: func(a *attacker, victim *node) {
		a.id = a.hello().PeerID
		a.conn.Close()
		a.dial(victim)
		a.send(a.handshake())
	}, drops: time.Second},
	"all in single bytes": {raw: true, do: func(a *attacker, _ *node) {
		all := append(a.handshake(), extHandshake(0)...)
		a.drip(append(all, wire.AppendInterested(nil)...), 20*time.Millisecond)
	}},
	"a message of 4 GiB":             {do: sends([]byte{0xff, 0xff, 0xff, 0xff, 0}), drops: time.Second},
	"a long extension message":       {do: sends([]byte{0x7f, 0, 0, 0, 20, 2}, repeat(1<<20, 0)), drops: 5 * time.Second},
	"a choke with a body":            {do: sends(message(0, 1)), drops: time.Second},
	"a have without a piece":         {do: sends(message(4)), drops: time.Second},
	"an unknown message":             {do: sends(message(99, 1, 2, 3), message(100))},
	"a long unknown message":         {do: sends([]byte{0x10, 0, 0, 0, 99}), drops: time.Second},
	"a bitfield too short":           {do: sends(wire.AppendBitfield(nil, []byte{0xff})), drops: time.Second},
	"a bitfield too long":            {do: sends(wire.AppendBitfield(nil, make([]byte, 3))), drops: time.Second},
	"a bitfield with spare bits":     {do: sends(wire.AppendBitfield(nil, []byte{0xff, 0xff})), drops: time.Second},
	"a bitfield of a megabyte":       {do: sends(wire.AppendBitfield(nil, make([]byte, 1<<20))), drops: 5 * time.Second},
	"have 12 of 12":                  {do: sends(wire.AppendHave(nil, 12)), drops: time.Second},
	"have 4 billion":                 {do: sends(wire.AppendHave(nil, 1<<32-1)), drops: time.Second},
	"does not have, out of range":    {do: sends(extHandshake(0), wire.AppendExtended(nil, 4, wire.AppendDontHave(nil, 1<<31)))},
	"suggests out of range":          {do: sends(wire.AppendSuggest(nil, 1<<31), wire.AppendAllowedFast(nil, 1<<31), wire.AppendAllowedFast(nil, 99))},
	"rejects what was not asked":     {do: sends(wire.AppendReject(nil, 1<<31, 7, 0), wire.AppendReject(nil, 5, 0, 16<<10))},
	"cancels what it did not ask":    {do: sends(wire.AppendCancel(nil, 1<<31, 1<<31, 1<<31))},
	"blocks that nobody asked for":   {do: sends(repeat(100, piece(3, 0, 1)...))},
	"too many such blocks":           {do: sends(repeat(3100, piece(3, 0, 1)...)), drops: 5 * time.Second},
	"false blocks of its own accord": {do: sends(piece(5, 0, 16<<10), piece(5, 16<<10, 16<<10))},
	"a block at an odd offset":       {do: sends(piece(5, 1, 16<<10)), drops: time.Second},
	"a block of odd length":          {do: sends(piece(5, 0, 100)), drops: time.Second},
	"a block out of range":           {do: sends(piece(1<<31, 0, 16<<10)), drops: time.Second},
	"a block behind its piece":       {do: sends(piece(5, 1<<31, 16<<10)), drops: time.Second},
	"a block too long":               {do: sends(wire.AppendPieceHeader(nil, 5, 0, 16<<10+1)), drops: time.Second},
	"an empty block":                 {do: sends(piece(5, 0, 0)), drops: time.Second},
	"half a block": {do: func(a *attacker, _ *node) {
		a.send(piece(5, 0, 16<<10)[:5000])
		a.conn.Close()
	}, drops: time.Second},
	"requests that make no sense": {do: sends(wire.AppendInterested(nil), wire.AppendRequest(nil, 1<<31, 0, 16<<10), wire.AppendRequest(nil, 0, 0, 0),
		wire.AppendRequest(nil, 0, 0, 1<<31), wire.AppendRequest(nil, 0, 1<<32-1, 16<<10), wire.AppendRequest(nil, 11, 0, 16<<10),
		wire.AppendRequest(nil, 3, 1, 1), wire.AppendRequest(nil, 0, 1, 32<<10))},
	"the same without BEP 6":       {slow: true, do: sends(wire.AppendRequest(nil, 1<<31, 0, 16<<10), wire.AppendRequest(nil, 0, 0, 1<<31))},
	"requests while choked":        {slow: true, do: sends(repeat(5000, wire.AppendRequest(nil, 0, 0, 16<<10)...))},
	"requests, never read":         {deaf: true, do: sends(wire.AppendInterested(nil), repeat(100_000, wire.AppendRequest(nil, 0, 0, 16<<10)...)), drops: time.Minute},
	"false requests, never read":   {deaf: true, do: sends(repeat(100_000, wire.AppendRequest(nil, 9, 0, 16<<10)...)), drops: time.Minute},
	"chokes and unchokes":          {do: sends(wire.AppendHaveAll(nil), repeat(5000, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1))},
	"interested and not":           {do: sends(repeat(5000, 0, 0, 0, 1, 2, 0, 0, 0, 1, 3))},
	"keep-alives only":             {do: func(a *attacker, _ *node) { a.drip(make([]byte, 4*20), 10*time.Second) }},
	"no word after the handshake":  {do: sends(), drops: 5 * time.Minute},
	"has all, twice and more":      {do: sends(wire.AppendHaveAll(nil), wire.AppendHaveAll(nil), wire.AppendHaveNone(nil), wire.AppendBitfield(nil, []byte{0xff, 0xf0}))},
	"has all without BEP 6":        {slow: true, do: sends(wire.AppendHaveAll(nil))},
	"has all, unchokes, is silent": {do: sends(wire.AppendHaveAll(nil), wire.AppendUnchoke(nil)), drops: 2 * time.Minute},

	"an extension message without id":   {do: sends(message(20)), drops: time.Second},
	"an extension handshake of garbage": {do: sends(ext(0, "d1:m")), drops: time.Second},
	"an empty extension handshake":      {do: sends(ext(0, "de"))},
	"an extension handshake of lies":    {do: sends(ext(0, "d1:md6:ut_pexi-5e11:ut_metadatai99999e1:xi1ee13:metadata_sizei-1e1:pi700000e4:reqqi-9e1:v3:\xff\x00\x01e"))},
	"an unknown extension":              {do: sends(extHandshake(0), ext(200, "x"))},
	"many extension handshakes":         {do: sends(repeat(2000, extHandshake(0)...))},
	"peers of garbage":                  {do: sends(extHandshake(0), ext(1, "d5:added7:")), drops: time.Second},
	"peers that cannot be":              {do: sends(extHandshake(0), ext(1, "d5:added19:\x7f\x00\x00\x01\x1a\xe1\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\x01e"))},
	"asks for absent metadata":          {do: sends(extHandshake(0), ext(2, "d8:msg_typei0e5:piecei999999ee"), ext(2, "d8:msg_typei0e5:piecei0ee"))},
	"metadata messages of garbage":      {do: sends(extHandshake(0), ext(2, "d8:msg_type")), drops: time.Second},
	"metadata that nobody asked for":    {do: sends(extHandshake(100), ext(2, "d8:msg_typei1e5:piecei0e10:total_sizei100ee"+strings.Repeat("x", 100)))},
	"hash requests of garbage": {do: sends(wire.AppendHashRequest(nil, wire.HashRange{Root: [32]byte{1}, BaseLayer: 1 << 31, Index: 1 << 31, Length: 1 << 31, ProofLayers: 1 << 31}),
		wire.AppendHashRequest(nil, wire.HashRange{}), wire.AppendHashReject(nil, wire.HashRange{}), wire.AppendHashes(nil, wire.HashRange{Length: 2}, make([]byte, 64)))},
	"a hash message cut short": {do: sends(message(21, 1, 2, 3)), drops: time.Second},

	"metadata of 1 EiB":            {magnet: true, do: sends(extHandshake(1 << 60))},
	"metadata of no bytes":         {magnet: true, do: sends(extHandshake(-1))},
	"metadata of 8 MB, and silent": {magnet: true, do: sends(extHandshake(8_000_000))},
	"pieces before the metadata": {magnet: true, do: sends(wire.AppendHave(nil, 1<<31), wire.AppendHave(nil, 3), piece(0, 0, 16<<10)),
		drops: time.Second},
	"a bitfield for another torrent": {magnet: true, do: sends(wire.AppendBitfield(nil, make([]byte, 100)))},
}

func TestHostilePeers(t *testing.T) {
	for name, at := range attacks {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(w *world) { w.suffer(&at) })
		})
	}
}

// suffer carries out an attack, and has an honest peer finish the victim's download afterwards.
func (w *world) suffer(at *attack) {
	c := makeContent(w.T, metainfo.CreateOptions{}, firstLen, secondLen)
	victim := w.node(dsl)
	victim.disk.Put(root+"/"+c.torrent.Info.Layout.Files[0].Path, c.data[0])
	spec := session.Spec{Torrent: c.torrent}
	if at.magnet {
		spec = session.Spec{InfoHash: c.torrent.Info.Hash}
	}
	tor := victim.add(spec)
	time.Sleep(time.Second)
	a := w.attacker(c)
	a.fast = !at.slow
	a.dial(victim)
	defer func() {
		a.close()
		if !at.deaf {
			<-a.gone
		}
	}()
	if !at.raw {
		a.hello()
	}
	if !at.deaf && !at.raw {
		a.drain()
	}
	at.do(a, victim)
	if at.deaf {
		time.Sleep(at.drops)
		if n := len(tor.Peers()); n != 0 {
			w.Errorf("the attacker is still connected after %v", at.drops)
		}
	} else {
		if at.raw {
			a.drain()
		}
		within := at.drops
		if within == 0 {
			within = 20 * time.Second
		}
		if dropped := a.dropped(within); dropped != (at.drops != 0) {
			w.Errorf("after %v the victim has hung up: %v", within, dropped)
		}
	}
	honest := w.node(dsl)
	honest.seed(c, session.Spec{Peers: addrs(victim)})
	victim.finish(tor, c, 2*time.Minute)
}

func TestMetadataOfLies(t *testing.T) {
	simulate(t, func(w *world) {
		c := makeContent(t, metainfo.CreateOptions{}, 1<<20)
		victim, honest := w.node(dsl), w.node(dsl)
		tor := victim.add(session.Spec{InfoHash: c.torrent.Info.Hash})
		a := w.attacker(c)
		a.dial(victim)
		defer a.close()
		a.hello()
		a.answer(func(m *wire.Message) []byte {
			if m.ID != wire.Extended || m.Ext != 2 {
				return nil
			}
			r, err := wire.ParseMetadataMessage(m.Payload)
			if err != nil || r.Type != wire.MetadataRequest {
				return nil
			}
			n := len(c.torrent.Info.Raw)
			d := wire.MetadataMessage{Type: wire.MetadataData, Piece: r.Piece, TotalSize: int64(n), Data: make([]byte, min(16<<10, n-r.Piece*16<<10))}
			return wire.AppendExtended(nil, 2, d.Append(nil))
		})
		a.send(extHandshake(int64(len(c.torrent.Info.Raw))))
		if !a.dropped(10 * time.Second) {
			t.Error("a peer that sent false metadata is still connected")
		}
		honest.seed(c, session.Spec{Peers: addrs(victim)})
		victim.finish(tor, c, time.Minute)
	})
}

func TestDialledPeersThatAreNone(t *testing.T) {
	for name, do := range map[string]func(a *attacker, c net.Conn){
		"closes":        func(*attacker, net.Conn) {},
		"is silent":     func(_ *attacker, c net.Conn) { time.Sleep(25 * time.Second) },
		"sends garbage": func(_ *attacker, c net.Conn) { c.Write(repeat(1000, 'x')) },
		"echoes":        func(_ *attacker, c net.Conn) { io.Copy(c, c) },
		"has another torrent": func(a *attacker, c net.Conn) {
			c.Write(wire.AppendHandshake(nil, wire.Handshake{InfoHash: ident.V1{1}, PeerID: a.id}))
		},
		"stops in its handshake": func(a *attacker, c net.Conn) {
			c.Write(a.handshake()[:50])
			time.Sleep(25 * time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(w *world) {
				c := makeContent(t, metainfo.CreateOptions{}, 1<<20)
				a, honest, victim := w.attacker(c), w.node(dsl), w.node(dsl)
				defer a.accept(func(c net.Conn) { do(a, c) })()
				tor := victim.add(session.Spec{Torrent: c.torrent, Peers: []netip.AddrPort{netip.AddrPortFrom(a.host.Addr(), 6881)}})
				time.Sleep(time.Minute)
				if n := len(tor.Peers()); n != 0 {
					t.Errorf("%d peers are connected", n)
				}
				honest.seed(c, session.Spec{Peers: addrs(victim)})
				victim.finish(tor, c, time.Minute)
			})
		})
	}
}

func TestOneLiarAmongTwenty(t *testing.T) {
	simulate(t, func(w *world) {
		c := makeContent(t, metainfo.CreateOptions{PieceLength: 64 << 10}, 4<<20)
		var honest []*node
		for range 19 {
			n := w.node(dsl)
			n.seed(c, session.Spec{Up: 50_000})
			honest = append(honest, n)
		}
		victim := w.node(dsl)
		tor := victim.leech(c, honest...)
		a := w.attacker(c)
		a.dial(victim)
		defer a.close()
		a.hello()
		a.answer(liar)
		a.send(append(wire.AppendHaveAll(nil), wire.AppendUnchoke(nil)...))
		victim.finish(tor, c, 3*time.Minute)
		if !a.dropped(time.Second) {
			t.Fatal("the liar is still connected")
		}
		if st := tor.Status().Swarm; st.FailedBytes == 0 {
			t.Error("the liar was never asked")
		}
		a.close()
		a.dial(victim)
		a.send(a.handshake())
		a.drain()
		if !a.dropped(time.Second) {
			t.Error("the liar may come back")
		}
		for _, p := range tor.Peers() {
			if p.Info.ID == a.id {
				t.Error(fmt.Sprint("the liar is back: ", p))
			}
		}
	})
}

func TestHashesOfLies(t *testing.T) {
	simulate(t, func(w *world) {
		c := makeContent(t, metainfo.CreateOptions{Version: metainfo.V2}, 1<<20)
		victim, honest := w.node(dsl), w.node(dsl)
		tor := victim.add(session.Spec{InfoHash: c.torrent.Info.Hash})
		a := w.attacker(c)
		a.dial(victim)
		defer a.close()
		a.hello()
		a.answer(func(m *wire.Message) []byte {
			switch {
			case m.ID == wire.Extended && m.Ext == 2: // the metadata is true
				r, _ := wire.ParseMetadataMessage(m.Payload)
				raw := c.torrent.Info.Raw
				d := wire.MetadataMessage{Type: wire.MetadataData, Piece: r.Piece, TotalSize: int64(len(raw)), Data: raw}
				return wire.AppendExtended(nil, 2, d.Append(nil))
			case m.ID == wire.HashRequest:
				return wire.AppendHashes(nil, m.Hashes, make([]byte, 32*m.Hashes.Length))
			}
			return nil
		})
		a.send(extHandshake(int64(len(c.torrent.Info.Raw))))
		if !a.dropped(10 * time.Second) {
			t.Error("a peer that sent false hashes is still connected")
		}
		select {
		case <-tor.Known():
			t.Error("the torrent goes on without its hashes")
		default:
		}
		honest.seed(c, session.Spec{Peers: addrs(victim)})
		victim.finish(tor, c, time.Minute)
	})
}
