package table

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"shoal/internal/dht/krpc"
)

func addr(a, b, c, d byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{a, b, c, d}), 6881)
}

// far returns an id that shares no bit with the zero id.
func far(n byte) krpc.ID { return krpc.ID{0x80, 19: n} }

func TestTableTakesFewOfOneSubnet(t *testing.T) {
	tab := newTable(krpc.ID{})
	for i := range byte(10) {
		tab.answered(1, krpc.Node{ID: far(i), Addr: addr(20, 1, 1, i)}, time.Millisecond)
	}
	if tab.Len() != perSubnet {
		t.Errorf("%d of one subnet", tab.Len())
	}
	if tab.answered(1, krpc.Node{ID: far(20), Addr: netip.AddrPortFrom(addr(20, 1, 1, 0).Addr(), 7)}, 0) {
		t.Error("two of one address")
	}
	if !tab.answered(1, krpc.Node{ID: far(21), Addr: addr(20, 1, 1, 0)}, 0) || tab.find(krpc.Node{ID: far(0), Addr: addr(20, 1, 1, 0)}) != nil {
		t.Error("one that has another id now is there twice, or not at all")
	}
	for i := range byte(10) {
		tab.answered(1, krpc.Node{ID: far(30 + i), Addr: netip.AddrPortFrom(addr(127, 0, 0, 1).Addr(), uint16(i)+1)}, 0)
	}
	if tab.Len() != perSubnet+10 {
		t.Errorf("%d, though a local network is not limited", tab.Len())
	}
	if tab.answered(1, krpc.Node{Addr: addr(20, 2, 1, 1)}, 0) {
		t.Error("takes our own id")
	}
}

func TestFullBucketsPreferTheOldAndTheSecure(t *testing.T) {
	tab := newTable(krpc.ID{})
	r := rand.New(rand.NewPCG(1, 1))
	add := func(id krpc.ID, a netip.AddrPort) bool { return tab.answered(1, krpc.Node{ID: id, Addr: a}, 0) }
	tab.answered(1, krpc.Node{ID: krpc.ID{0x40}, Addr: addr(90, 1, 1, 1)}, 0)
	var insecure []krpc.Node
	for i := range byte(widestBucket) {
		n := krpc.Node{ID: far(i), Addr: addr(20, i, 1, 1)}
		if !add(n.ID, n.Addr) {
			t.Fatalf("no room for %d", i)
		}
		insecure = append(insecure, n)
	}
	if add(far(99), addr(21, 1, 1, 1)) {
		t.Error("a newcomer takes the place of one that answers")
	}
	secure := krpc.Node{Addr: addr(22, 1, 1, 1)}
	for secure.ID = krpc.SecureID(secure.Addr.Addr(), r); secure.ID[0] < 0x80; secure.Addr = addr(22, byte(r.IntN(200)), 1, 1) {
		secure.ID = krpc.SecureID(secure.Addr.Addr(), r)
	}
	for !secure.ID.Secure(secure.Addr.Addr()) || secure.ID[0] < 0x80 {
		secure.Addr = addr(22, byte(r.IntN(200)), byte(r.IntN(200)), 1)
		secure.ID = krpc.SecureID(secure.Addr.Addr(), r)
	}
	if !add(secure.ID, secure.Addr) || tab.Len() != widestBucket+1 {
		t.Error("one whose id fits does not take the place of one whose id does not")
	}
	left := slices.DeleteFunc(insecure, func(n krpc.Node) bool { return tab.find(n) == nil })
	tab.failed(left[0])
	tab.failed(left[0])
	if !add(far(98), addr(21, 2, 1, 1)) || tab.find(left[0]) != nil {
		t.Error("one that does not answer keeps its place")
	}
	tab.failed(left[1])
	if tab.answered(2, left[1], 0); tab.find(left[1]).fails != 0 {
		t.Error("an answer does not make up for what was lost")
	}
	for range badAfter {
		tab.failed(left[1])
	}
	if tab.find(left[1]) != nil {
		t.Error("one that does not answer is kept for good")
	}
}

// Who is behind a NAT may answer only those whom it has asked. Its answer says little so soon after its query.
func TestAskersHaveToSettle(t *testing.T) {
	tab := newTable(krpc.ID{})
	for i := range byte(eagerBelow) {
		tab.answered(1, krpc.Node{ID: krpc.ID{i << 4, 1}, Addr: addr(20, i, 1, 1)}, 0)
	}
	now := time.Hour
	asker, named := krpc.Node{ID: far(1), Addr: addr(30, 1, 1, 1)}, krpc.Node{ID: far(2), Addr: addr(31, 1, 1, 1)}
	tab.heard(now, asker, true)
	tab.heard(now, named, false)
	if n, ok := tab.candidate(now); !ok || n != named {
		t.Errorf("%v, %v", n, ok)
	}
	if n, ok := tab.candidate(now + settle - 1); ok {
		t.Errorf("%v is tried at once", n)
	}
	if n, ok := tab.candidate(now + settle); !ok || n != asker {
		t.Errorf("%v, %v", n, ok)
	}
}

// closest is right whatever the table looks like.
func TestClosest(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for range 50 {
		tab := newTable(krpc.RandomID(krpc.ID{}, 0, r))
		for range r.IntN(400) {
			id := krpc.RandomID(tab.self, r.IntN(20), r)
			tab.answered(1, krpc.Node{ID: id, Addr: addr(byte(20+r.IntN(60)), byte(r.Uint32()), byte(r.Uint32()), 1)}, 0)
		}
		var all []krpc.Node
		for e := range tab.all() {
			all = append(all, e.Node)
		}
		for range 20 {
			target := krpc.RandomID(tab.self, r.IntN(20), r)
			slices.SortFunc(all, func(a, b krpc.Node) int {
				if krpc.Closer(target, a.ID, b.ID) {
					return -1
				}
				return 1
			})
			if got := tab.closest(nil, target, K, func(*entry) bool { return true }); !slices.Equal(got, all[:min(K, len(all))]) {
				t.Fatalf("%v, want %v", got, all[:min(K, len(all))])
			}
		}
	}
}

// What one says about our address counts little, and what several of one network say counts once.
func TestVotes(t *testing.T) {
	c := New(Config{Rand: rand.New(rand.NewPCG(3, 3))})
	said := addr(40, 1, 2, 3)
	for i := range byte(100) {
		c.vote(time.Hour, said, addr(50, 1, 1, i).Addr())
		c.vote(time.Hour, addr(41, 1, 1, i), addr(51, i, 1, 1).Addr())
	}
	if c.identity.external.IsValid() || len(c.identity.votes) > maxVotes {
		t.Errorf("%+v", c.identity)
	}
	old := c.self
	for i := range byte(maxVotes) {
		c.vote(time.Hour, said, addr(60, i, 1, 1).Addr())
	}
	if c.identity.external != said.Addr() || c.self == old || !c.self.Secure(said.Addr()) {
		t.Errorf("%+v, id %v", c.identity, c.self)
	}
	first := c.self
	for i := range byte(maxVotes) {
		c.vote(time.Hour+time.Minute, addr(42, 1, 1, 1), addr(61, i, 1, 1).Addr())
	}
	if c.self != first {
		t.Error("the id changes every minute")
	}
}

func TestTimeoutsFollowRoundTrips(t *testing.T) {
	var r roundTrips
	random := rand.New(rand.NewPCG(4, 4))
	for _, ms := range []int{200, 20, 1000, 50} {
		for range 500 {
			r.add(time.Duration(ms/2+random.IntN(ms)) * time.Millisecond)
		}
		want := time.Duration(ms) * time.Millisecond * 14 / 10 // nine of ten are below
		if r.q < want*7/10 || r.q > want*13/10 {
			t.Errorf("round trips about %d ms: estimated %v, want %v", ms, r.q, want)
		}
		if r.slow(0) > 2*r.q+minSlow || r.dead() < minDead || r.dead() > maxDead {
			t.Errorf("slow %v, dead %v", r.slow(0), r.dead())
		}
	}
}
