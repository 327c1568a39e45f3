package server

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"shoal/internal/ident"
)

// packet makes a request of BEP 15.
func packet(id uint64, act action, tx uint32, rest ...byte) []byte {
	b := binary.BigEndian.AppendUint64(nil, id)
	b = binary.BigEndian.AppendUint32(b, uint32(act))
	return append(binary.BigEndian.AppendUint32(b, tx), rest...)
}

// announcePacket makes an announce of a peer that lacks left bytes.
func announcePacket(id uint64, name ident.V1, left uint64, e event, want int32, port uint16) []byte {
	b := packet(id, actAnnounce, 7, name[:]...)
	b = append(b, make([]byte, announceLen-len(b))...)
	binary.BigEndian.PutUint64(b[64:], left)
	binary.BigEndian.PutUint32(b[80:], uint32(e))
	binary.BigEndian.PutUint32(b[92:], uint32(want))
	binary.BigEndian.PutUint16(b[96:], port)
	return b
}

// BenchmarkAnnounce is the tracker's own share of a UDP announce: of a random peer of a random one of 100,000 torrents of ten peers.
func BenchmarkAnnounce(b *testing.B) {
	const torrents, each = 100_000, 10
	s := newServer(Config{Interval: DefaultInterval, Torrents: torrents, Peers: DefaultPeers, Rate: 1_000_000})
	r := s.newResponder(s.count())
	from := netip.MustParseAddrPort("192.0.2.7:6881")
	id := s.ids.make(from.Addr(), 0)
	names := make([]ident.V1, torrents)
	var out [maxAnswer]byte
	for i := range names {
		binary.BigEndian.PutUint64(names[i][:], rand.Uint64())
		for port := range uint16(each) {
			r.answer(out[:0], from, announcePacket(id, names[i], uint64(port/2), none, 50, 1+port), 0)
		}
	}
	request := announcePacket(id, names[0], 1, none, 50, 1)
	b.ReportAllocs()
	for b.Loop() {
		copy(request[16:], names[rand.IntN(torrents)][:])
		request[97] = byte(1 + rand.IntN(each))
		if n := len(r.answer(out[:0], from, request, time.Second)); n < 20+6*7 {
			b.Fatal(n)
		}
	}
}
