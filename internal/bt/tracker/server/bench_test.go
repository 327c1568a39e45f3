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

// BenchmarkHostile is what it costs to be asked by those who mean no good, and, for comparison, by a peer of the same swarm of
// 10,000.
func BenchmarkHostile(b *testing.B) {
	s := newServer(Config{Interval: DefaultInterval, Torrents: 10, Peers: DefaultPeers, Rate: 1_000_000})
	r := s.newResponder(s.count())
	name := ident.V1{1}
	var out [maxAnswer]byte
	ask := func(from netip.AddrPort, request []byte) int {
		return len(r.answer(out[:0], from, request, time.Second))
	}
	for n := range 10_000 {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{8, 1, byte(n >> 8), byte(n)}), 6881)
		ask(from, announcePacket(s.ids.make(from.Addr(), 0), name, uint64(n%2), none, 0, 6881))
	}
	from := netip.MustParseAddrPort("8.1.0.7:6881")
	id := s.ids.make(from.Addr(), 0)
	for _, c := range []struct {
		name    string
		request []byte
		answer  int // bytes
		flood   bool
	}{
		{"announce", announcePacket(id, name, 1, none, 50, 6881), 20 + 50*6, false},
		{"numwant 2^31", announcePacket(id, name, 1, none, -1<<31, 6881), 20 + defaultWant*6, false},
		{"numwant 2^31-1", announcePacket(id, name, 1, none, 1<<31-1, 6881), 20 + maxWant*6, false},
		{"forged id", announcePacket(id^1<<20, name, 1, none, 50, 6881), 0, false},
		{"connect", packet(protocolID, actConnect, 1), 16, false},
		{"flood", announcePacket(id, name, 1, none, 50, 6881), 0, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			if s.limiter = newLimiter(1_000_000, 400_000_000); c.flood {
				s.limiter = newLimiter(1, 1)
				s.limiter.allow(from.Addr(), time.Second, 1)
			}
			b.ReportAllocs()
			for b.Loop() {
				if n := ask(from, c.request); n != c.answer {
					b.Fatalf("%d bytes", n)
				}
			}
		})
	}
}

// BenchmarkAnnounceHTTP is the tracker's own share of an HTTP announce, net/http aside.
func BenchmarkAnnounceHTTP(b *testing.B) {
	s := newServer(Config{Interval: DefaultInterval, Torrents: 10, Peers: DefaultPeers, Rate: 1_000_000})
	r := s.newResponder(s.count())
	for n := range uint16(200) {
		from := netip.AddrFrom4([4]byte{8, 1, 0, byte(n)})
		r.answer(nil, netip.AddrPortFrom(from, 6881), announcePacket(s.ids.make(from, 0), ident.V1{1}, 1, none, 0, 6881), 0)
	}
	query := queryOf(ident.V1{1}, "&port=6881&uploaded=0&downloaded=0&left=5&numwant=50&key=1&compact=1&supportcrypto=1&event=started")
	from := netip.MustParseAddr("8.1.0.7")
	b.ReportAllocs()
	for b.Loop() {
		r.out = r.announceHTTP(r.out[:0], query, from, time.Second)
	}
}
