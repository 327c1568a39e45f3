package server

import (
	"bytes"
	"encoding/binary"
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"shoal/internal/ident"
)

// desk is a server without sockets.
type desk struct {
	*Server
	r   *responder
	now time.Duration
}

func newDesk(c Config) *desk {
	if c.Interval == 0 {
		c.Interval = DefaultInterval
	}
	c.Torrents, c.Peers, c.Rate = max(c.Torrents, 100), max(c.Peers, 1000), max(c.Rate, 1_000_000)
	s := newServer(c)
	return &desk{s, s.newResponder(s.count()), 0}
}

func (k *desk) ask(from string, b []byte) []byte {
	return k.r.answer(nil, netip.MustParseAddrPort(from), b, k.now)
}

// announced is the answer to an announce, which follows a connect.
type announced struct {
	interval, leeches, seeds uint32
	peers                    []netip.AddrPort // sorted
	refusal                  string
}

func (k *desk) announce(t *testing.T, from string, name ident.V1, left uint64, e event, want int32) announced {
	t.Helper()
	ap := netip.MustParseAddrPort(from)
	id := k.ask(from, packet(protocolID, actConnect, 99))
	if len(id) != 16 || binary.BigEndian.Uint64(id) != 99 {
		t.Fatalf("a connect is answered with %x", id)
	}
	b := k.ask(from, announcePacket(binary.BigEndian.Uint64(id[8:]), name, left, e, want, ap.Port()))
	if len(b) < 8 || binary.BigEndian.Uint32(b[4:]) != 7 {
		t.Fatalf("an announce is answered with %x", b)
	}
	if binary.BigEndian.Uint32(b) == uint32(actError) {
		return announced{refusal: string(b[8:])}
	}
	size := 6
	if ap.Addr().Is6() {
		size = 18
	}
	if binary.BigEndian.Uint32(b) != uint32(actAnnounce) || len(b) > maxAnswer || (len(b)-20)%size != 0 {
		t.Fatalf("an announce is answered with %d bytes: %x", len(b), b)
	}
	a := announced{binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:]), binary.BigEndian.Uint32(b[16:]), nil, ""}
	for b = b[20:]; len(b) > 0; b = b[size:] {
		addr, _ := netip.AddrFromSlice(b[:size-2])
		a.peers = append(a.peers, netip.AddrPortFrom(addr, binary.BigEndian.Uint16(b[size-2:])))
	}
	slices.SortFunc(a.peers, netip.AddrPort.Compare)
	return a
}

func (a *announced) expect(t *testing.T, seeds, leeches uint32, peers ...string) {
	t.Helper()
	var got []string
	for _, p := range a.peers {
		got = append(got, p.String())
	}
	if a.seeds != seeds || a.leeches != leeches || !slices.Equal(got, peers) || a.refusal != "" {
		t.Errorf("%d seeds, %d leeches, %v, %q; want %d, %d, %v", a.seeds, a.leeches, got, a.refusal, seeds, leeches, peers)
	}
}

var nameA, nameB = ident.V1{1}, ident.V1{2}

func TestAnnounceCourse(t *testing.T) {
	k := newDesk(Config{})
	const one, two, three, six = "8.0.0.1:1", "8.0.0.2:2", "8.0.0.3:3", "[2001:db8::6]:6"
	a := k.announce(t, one, nameA, 0, started, -1)
	a.expect(t, 1, 0)
	if a.interval < 1800 || a.interval > 1800+225 {
		t.Errorf("interval %d", a.interval)
	}
	a = k.announce(t, two, nameA, 5, started, -1)
	a.expect(t, 1, 1, one)
	a = k.announce(t, three, nameA, 5, started, -1)
	a.expect(t, 1, 2, one, two)
	a = k.announce(t, one, nameA, 0, none, -1) // a seed is told no seeds
	a.expect(t, 1, 2, two, three)
	a = k.announce(t, two, nameA, 0, completed, -1)
	a.expect(t, 2, 1, three)
	a = k.announce(t, two, nameA, 0, completed, -1) // said twice, counted once
	a.expect(t, 2, 1, three)
	a = k.announce(t, three, nameA, 5, paused, -1) // a partial seed wants no seeds
	a.expect(t, 2, 1)
	a = k.announce(t, six, nameA, 5, started, -1) // counts are of both families, addresses of one
	a.expect(t, 2, 2)
	a = k.announce(t, one, nameB, 5, none, -1)
	a.expect(t, 0, 1)
	a = k.announce(t, one, nameA, 0, stopped, -1)
	a.expect(t, 1, 2)
	a = k.announce(t, one, ident.V1{9}, 0, stopped, -1) // of what was never known
	a.expect(t, 0, 0)
	if got := k.table.scrape(nameA, k.tick(0)); got != (counts{1, 2, 1}) {
		t.Errorf("%+v", got)
	}
	st := k.Stats()
	if st.Torrents != 2 || st.Peers != 4 || st.Seeds != 1 || st.Announces != 11 || st.Connects != 11 {
		t.Errorf("%+v", st)
	}
}

func TestAnnounceLimits(t *testing.T) {
	k := newDesk(Config{})
	for n := range 1000 {
		k.announce(t, netip.AddrPortFrom(netip.AddrFrom4([4]byte{8, 0, byte(n >> 8), byte(n)}), 6881).String(), nameA, 1, none, 0)
		k.announce(t, netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 6: byte(n >> 8), 7: byte(n), 15: 1}), 6881).String(), nameA, 1, none, 0)
	}
	for want, got := range map[int32][2]int{0: {0, 0}, 1: {1, 1}, 30: {30, 30}, -1: {50, 50}, 200: {200, 76}, 5000: {200, 76}, math.MaxInt32: {200, 76}, math.MinInt32: {50, 50}} {
		a4 := k.announce(t, "8.1.0.0:1", nameA, 1, none, want)
		a6 := k.announce(t, "[2001:0:0:ffff::1]:1", nameA, 1, none, want)
		if len(a4.peers) != got[0] || len(a6.peers) != got[1] {
			t.Errorf("who wants %d gets %d and %d, want %v", want, len(a4.peers), len(a6.peers), got)
		}
	}
}

// A torrent has room for so many peers; who comes later is served but not told.
func TestBounds(t *testing.T) {
	k := newDesk(Config{Torrents: 100, Peers: 1000})
	for n := range 1500 {
		k.announce(t, netip.AddrPortFrom(netip.AddrFrom4([4]byte{8, 0, byte(n >> 8), byte(n)}), 6881).String(), nameA, 1, none, 0)
	}
	if a := k.announce(t, "8.1.0.0:1", nameA, 1, none, 10); len(a.peers) != 10 || a.leeches != 1000 {
		t.Errorf("%d peers of %d", len(a.peers), a.leeches)
	}
	if st := k.Stats(); st.Torrents != 1 || st.Peers != 1000 {
		t.Errorf("%+v", st)
	}
	k = newDesk(Config{})
	for port := range uint16(200) { // of one host
		a := k.announce(t, netip.AddrPortFrom(netip.AddrFrom4([4]byte{8, 0, 0, 1}), 1+port).String(), nameA, 1, none, 0)
		b := k.announce(t, netip.AddrPortFrom(netip.AddrFrom16([16]byte{0: 0x20, 15: byte(port)}), 1+port).String(), nameA, 1, none, 0)
		if many := port >= maxSameHost; (a.refusal == errSameHost.Error()) != many || (b.refusal == errSameHost.Error()) != many {
			t.Errorf("peer %d of a host: %q, %q", port, a.refusal, b.refusal)
		}
	}
}

// However many torrents a few hosts make up, those that have peers stay, and new ones find room.
func TestTooManyTorrents(t *testing.T) {
	k := newDesk(Config{Torrents: 5000})
	busy := func(n int) ident.V1 { return ident.V1{0: 1, 18: byte(n >> 8), 19: byte(n)} }
	for n := range 2500 {
		k.announce(t, "8.0.0.1:1", busy(n), 1, none, 0)
		k.announce(t, "8.0.0.2:2", busy(n), 1, none, 0)
	}
	refused := 0
	for n := range 20_000 {
		if a := k.announce(t, "8.0.0.3:3", ident.V1{0: 2, 1: byte(n), 2: byte(n >> 8)}, 1, none, 0); a.refusal == errFull.Error() {
			refused++
		}
	}
	st := k.Stats()
	if st.Torrents > 5000 || st.Torrents < 4900 || st.Peers != 5000+st.Torrents-2500 || st.Refused != uint64(refused) {
		t.Errorf("%+v, %d refused", st, refused)
	}
	if refused > 5000 { // where a shard has nothing to give
		t.Errorf("%d are refused", refused)
	}
	for n := range 2500 {
		if got := k.table.scrape(busy(n), 0); got.leeches != 2 {
			t.Fatalf("torrent %d has %d peers left", n, got.leeches)
		}
	}
}

// Who takes no connections is served and not told.
func TestPortZero(t *testing.T) {
	k := newDesk(Config{})
	k.announce(t, "8.0.0.1:1", nameA, 1, none, -1)
	a := k.announce(t, "8.0.0.2:0", nameA, 1, none, -1)
	a.expect(t, 0, 1, "8.0.0.1:1")
}

func TestExpiry(t *testing.T) {
	k := newDesk(Config{Interval: 10 * time.Minute})
	k.announce(t, "8.0.0.1:1", nameA, 1, none, -1)
	k.announce(t, "8.0.0.1:1", nameB, 1, none, -1)
	k.now = 20 * time.Minute
	a := k.announce(t, "8.0.0.2:2", nameA, 1, none, -1)
	a.expect(t, 0, 2, "8.0.0.1:1")
	k.now = 24 * time.Minute // more than 2.25 intervals after the first
	a = k.announce(t, "8.0.0.3:3", nameA, 1, none, -1)
	a.expect(t, 0, 2, "8.0.0.2:2")
	sweep := func(want int) {
		t.Helper()
		for i := range shards {
			k.table.sweep(i, k.tick(k.now))
		}
		if st := k.Stats(); st.Torrents != want || st.Peers != 2*want {
			t.Errorf("after %v: %d torrents with %d peers", k.now, st.Torrents, st.Peers)
		}
	}
	sweep(1)
	k.now = 60 * time.Minute
	sweep(0)
}

// Addresses of this machine and of private networks are told where they help only.
func TestNothingLeaks(t *testing.T) {
	k := newDesk(Config{})
	const here, home, world = "127.0.0.1:1", "192.168.1.2:2", "8.0.0.3:3"
	for _, from := range []string{here, home, world} {
		k.announce(t, from, nameA, 1, none, -1)
	}
	for from, want := range map[string][]string{"8.0.0.4:4": {world}, "10.0.0.4:4": {world, home}, "127.0.0.9:4": {world, here, home}} {
		a := k.announce(t, from, nameA, 1, none, -1)
		a.expect(t, 0, 4, want...)
		k.announce(t, from, nameA, 1, stopped, -1)
	}
}

func TestTrustAddress(t *testing.T) {
	for _, trust := range []bool{false, true} {
		for from, may := range map[string]bool{"127.0.0.1:1": true, "10.0.0.1:1": true, "8.0.0.1:1": false} {
			k := newDesk(Config{TrustAddress: trust})
			addr := netip.MustParseAddrPort(from)
			b := announcePacket(k.ids.make(addr.Addr(), 0), nameA, 1, none, -1, 1)
			copy(b[84:], []byte{9, 9, 9, 9})
			k.ask(from, b)
			a := k.announce(t, "127.0.0.9:5", nameA, 1, none, -1)
			want := from
			if trust && may {
				want = "9.9.9.9:1"
			}
			a.expect(t, 0, 2, want)
		}
	}
}

// What is no request, or proves nothing, gets no answer, so that nobody gains by forging addresses.
func TestNoAnswer(t *testing.T) {
	k := newDesk(Config{})
	const from = "8.0.0.1:1"
	id := k.ids.make(netip.MustParseAddr("8.0.0.1"), 0)
	other := k.ids.make(netip.MustParseAddr("8.0.0.2"), 0)
	good := announcePacket(id, nameA, 1, none, -1, 1)
	for name, b := range map[string][]byte{
		"nothing": nil, "short": good[:15], "short announce": good[:97], "wrong protocol": packet(protocolID+1, actConnect, 1),
		"announce without an id": announcePacket(0, nameA, 1, none, -1, 1), "id of another": announcePacket(other, nameA, 1, none, -1, 1),
		"protocol id as id": announcePacket(protocolID, nameA, 1, none, -1, 1), "unknown action": packet(id, 4, 1), "error": packet(id, actError, 1, 'x'),
		"scrape without an id": packet(1, actScrape, 1, nameA[:]...),
	} {
		if got := k.ask(from, b); len(got) > 0 {
			t.Errorf("%s: answered with %x", name, got)
		}
	}
	if st := k.Stats(); st.Peers != 0 || st.Forged != 4 || st.Broken != 6 {
		t.Errorf("%+v", st)
	}
	if got := k.ask(from, append(slices.Clone(good), 2, 9, '/', 'a', 'n')); len(got) != 20 { // BEP 41, cut off
		t.Errorf("an announce with URL data is answered with %x", got)
	}
}

func TestScrapeUDP(t *testing.T) {
	k := newDesk(Config{})
	k.announce(t, "8.0.0.1:1", nameB, 0, completed, -1)
	k.announce(t, "8.0.0.2:1", nameB, 1, none, -1)
	id := k.ids.make(netip.MustParseAddr("8.0.0.1"), 0)
	got := k.ask("8.0.0.1:1", packet(id, actScrape, 5, slices.Concat(nameA[:], nameB[:], nameA[:7])...))
	want := []byte{0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1}
	if !bytes.Equal(got, want) {
		t.Errorf("%x\nwant\n%x", got, want)
	}
	if got := k.ask("8.0.0.1:1", packet(id, actScrape, 5, make([]byte, 20*100)...)); len(got) != 8+12*maxScrape {
		t.Errorf("a scrape of 100 names is answered with %d bytes", len(got))
	}
}

func TestAccess(t *testing.T) {
	k := newDesk(Config{Access: Access{Allow: List{nameA: {}}}})
	if a := k.announce(t, "8.0.0.1:1", nameB, 1, none, -1); a.refusal != errNotAllowed.Error() {
		t.Errorf("%+v", a)
	}
	a := k.announce(t, "8.0.0.1:1", nameA, 1, none, -1)
	a.expect(t, 0, 1)
	k.SetAccess(Access{Deny: List{nameA: {}}})
	if a := k.announce(t, "8.0.0.1:1", nameA, 1, none, -1); a.refusal != errNotAllowed.Error() {
		t.Errorf("%+v", a)
	}
	a = k.announce(t, "8.0.0.1:1", nameA, 1, stopped, -1) // who goes may say so
	a.expect(t, 0, 0)
	if st := k.Stats(); !st.Open || st.Refused != 2 {
		t.Errorf("%+v", st)
	}
}

// A flood of one host is cut to what it may have and leaves others alone.
func TestFlood(t *testing.T) {
	k := newDesk(Config{Torrents: 1000})
	k.limiter = newLimiter(50, 1000)
	id := k.ids.make(netip.MustParseAddr("8.0.0.1"), 0)
	answers := 0
	for n := range 50_000 {
		if len(k.ask("8.0.0.1:1", announcePacket(id, ident.V1{byte(n)}, 1, none, math.MinInt32, 1))) > 0 {
			answers++
		}
	}
	if st := k.Stats(); answers != 1000 || st.Limited != 49_000 {
		t.Errorf("%d are answered, %+v", answers, st)
	}
	a := k.announce(t, "8.0.0.2:1", ident.V1{0, 1}, 1, none, -1)
	a.expect(t, 0, 1)
}

// An announce, a connect and a scrape allocate nothing once their torrent is known.
func TestAnnounceNoAllocations(t *testing.T) {
	k := newDesk(Config{})
	for n := range 300 {
		k.announce(t, netip.AddrPortFrom(netip.AddrFrom4([4]byte{8, 0, byte(n >> 8), byte(n)}), 6881).String(), nameA, uint64(n%2), none, 0)
	}
	from, six := netip.MustParseAddrPort("8.0.0.7:6881"), netip.MustParseAddrPort("[2001:db8::7]:6881")
	out := make([]byte, 0, maxAnswer)
	requests := [][]byte{
		packet(protocolID, actConnect, 1), announcePacket(k.ids.make(from.Addr(), 0), nameA, 1, none, 200, 6881),
		packet(k.ids.make(from.Addr(), 0), actScrape, 1, nameA[:]...), announcePacket(1, nameA, 1, none, 200, 6881),
	}
	requestSix := announcePacket(k.ids.make(six.Addr(), 0), nameA, 1, none, 200, 6881)
	if n := testing.AllocsPerRun(100, func() {
		for _, b := range requests {
			k.r.answer(out, from, b, 0)
		}
		k.r.answer(out, six, requestSix, 0)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzUDP gives a tracker whatever may come. An answer is never longer than maxAnswer, nor, without a valid id, than the request.
func FuzzUDP(f *testing.F) {
	k := newDesk(Config{Torrents: 100, Peers: 1000})
	from := netip.MustParseAddrPort("8.0.0.1:1")
	id := k.ids.make(from.Addr(), 0)
	f.Add(packet(protocolID, actConnect, 1), false)
	f.Add(announcePacket(0, nameA, 1, started, math.MaxInt32, 1), true)
	f.Add(announcePacket(0, nameA, 0, stopped, -5, 0), true)
	f.Add(packet(0, actScrape, 1, slices.Concat(nameA[:], nameB[:])...), true)
	f.Add(packet(0, actError, 1), true)
	f.Add([]byte{1}, false)
	f.Fuzz(func(t *testing.T, b []byte, valid bool) {
		if valid && len(b) >= 8 {
			b = slices.Clone(b)
			binary.BigEndian.PutUint64(b, id)
		}
		got := k.r.answer(nil, from, b, 0)
		if len(got) > maxAnswer || !valid && len(got) > len(b) {
			t.Fatalf("%d bytes are answered with %d", len(b), len(got))
		}
		if len(got) > 0 && !bytes.Equal(got[4:8], b[12:16]) {
			t.Fatal("another transaction id")
		}
	})
}
