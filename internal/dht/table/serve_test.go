package table

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"shoal/internal/dht/krpc"
)

// asked is one node, and what it answers.
type askedNode struct {
	*Core
	t   testing.TB
	now time.Duration
	out Out
}

func newAsked(t testing.TB, cfg Config) *askedNode {
	if cfg.Rand == nil {
		cfg.Rand = rand.New(rand.NewPCG(7, 8))
	}
	n := &askedNode{Core: New(cfg), t: t, now: time.Hour}
	n.Begin(n.now, nil, &n.out)
	return n
}

var (
	alice = netip.MustParseAddrPort("21.22.23.24:1000")
	bob   = netip.MustParseAddrPort("31.32.33.34:2000")
	keyX  = krpc.ID{1, 2, 3}
)

// ask sends a query and returns the answer to it, of kind 0 if there is none, and its length.
func (n *askedNode) query(from netip.AddrPort, m krpc.Message) (krpc.Message, int) {
	n.t.Helper()
	m.Kind, m.TID = krpc.Query, []byte("tt")
	if m.ID == (krpc.ID{}) {
		m.ID = krpc.SecureID(from.Addr(), n.cfg.Rand)
	}
	n.out.Reset()
	n.Receive(n.now, m.Append(nil), from, &n.out)
	var r krpc.Message
	size := 0
	n.out.Each(func(b []byte, to netip.AddrPort) {
		if to != from {
			n.t.Errorf("asked by %v, answered %v", from, to)
		}
		if err := krpc.Decode(slices.Clone(b), &r); err != nil {
			n.t.Error(err)
		}
		size = len(b)
	})
	if n.out.Len() > 1 {
		n.t.Errorf("%d answers", n.out.Len())
	}
	return r, size
}

func (n *askedNode) token(from netip.AddrPort, key krpc.ID) []byte {
	n.t.Helper()
	r, _ := n.query(from, krpc.Message{Method: krpc.GetPeers, Target: key})
	if len(r.Token) == 0 {
		n.t.Fatalf("no token: %+v", r)
	}
	return r.Token
}

func TestAnnouncesNeedATokenOfTheirAddress(t *testing.T) {
	n := newAsked(t, Config{})
	token := n.token(alice, keyX)
	announce := func(from netip.AddrPort, token []byte, key krpc.ID) int64 {
		r, _ := n.query(from, krpc.Message{Method: krpc.AnnouncePeer, Target: key, Port: 5000, Token: token})
		return r.Code
	}
	for _, c := range []struct {
		name  string
		from  netip.AddrPort
		token []byte
		key   krpc.ID
		after time.Duration
		want  int64
	}{
		{"another address", bob, token, keyX, 0, krpc.ProtocolError},
		{"another key", alice, token, krpc.ID{9}, 0, krpc.ProtocolError},
		{"no token", alice, nil, keyX, 0, krpc.ProtocolError},
		{"an empty token", alice, []byte{}, keyX, 0, krpc.ProtocolError},
		{"the first secret's zero value", alice, make([]byte, 8), keyX, 0, krpc.ProtocolError},
		{"its own", alice, token, keyX, 0, 0},
		{"another port of the address", netip.AddrPortFrom(alice.Addr(), 9), token, keyX, 0, 0},
		{"after nine minutes", alice, token, keyX, 9 * time.Minute, 0},
		{"after eleven more", alice, token, keyX, 11 * time.Minute, krpc.ProtocolError},
	} {
		n.now += c.after
		if got := announce(c.from, c.token, c.key); got != c.want {
			t.Errorf("%s: code %d, want %d", c.name, got, c.want)
		}
	}
	if s := n.Status(); s.Infohashes != 1 || s.Peers != 1 {
		t.Errorf("%+v", s)
	}
}

func TestPeersAreKeptAndForgotten(t *testing.T) {
	n := newAsked(t, Config{})
	announce := func(m krpc.Message) {
		m.Method, m.Target, m.Token = krpc.AnnouncePeer, keyX, n.token(alice, keyX)
		if r, _ := n.query(alice, m); r.Kind != krpc.Response {
			t.Fatalf("%+v", r)
		}
	}
	values := func(m krpc.Message) []netip.AddrPort {
		m.Method, m.Target = krpc.GetPeers, keyX
		r, _ := n.query(bob, m)
		return slices.Collect(r.EachPeer())
	}
	announce(krpc.Message{Port: 5000})
	announce(krpc.Message{Port: 5001}) // the same address again (BEP 33)
	if got := values(krpc.Message{}); len(got) != 1 || got[0] != netip.AddrPortFrom(alice.Addr(), 5001) {
		t.Errorf("%v", got)
	}
	announce(krpc.Message{Port: 1, ImpliedPort: true, Seed: true})
	if got := values(krpc.Message{}); len(got) != 1 || got[0] != alice {
		t.Errorf("with the implied port: %v", got)
	}
	if got := values(krpc.Message{NoSeed: true}); len(got) != 0 {
		t.Errorf("without seeds: %v", got)
	}
	r, _ := n.query(bob, krpc.Message{Method: krpc.GetPeers, Target: keyX, Scrape: true})
	if r.SeedFilter == nil || r.PeerFilter == nil || !r.SeedFilter.Has(alice.Addr()) || *r.PeerFilter != (krpc.Filter{}) {
		t.Errorf("scrape: %+v", r)
	}
	r, _ = n.query(bob, krpc.Message{Method: krpc.SampleInfohashes, Target: krpc.ID{5}})
	if !r.HasSamples || r.Num != 1 || !bytes.Equal(r.Samples, keyX[:]) || r.Interval <= 0 || r.Interval > 21600 {
		t.Errorf("samples: %+v", r)
	}
	for range 50 {
		n.now += time.Minute
		n.Tick(n.now, &n.out)
	}
	if got := values(krpc.Message{}); len(got) != 0 {
		t.Errorf("after 50 minutes: %v", got)
	}
}

func TestItemsAreChecked(t *testing.T) {
	n := newAsked(t, Config{})
	public, private, _ := ed25519.GenerateKey(bytes.NewReader(make([]byte, 64)))
	long := []byte(fmt.Sprintf("1000:%01000d", 0))
	put := func(salt string, seq int64, value string, change func(m *krpc.Message)) int64 {
		key := krpc.Mutable(public, []byte(salt))
		r, _ := n.query(alice, krpc.Message{Method: krpc.Get, Target: key})
		m := krpc.Message{Method: krpc.Put, Key: public, Salt: []byte(salt), HasSeq: true, Seq: seq, Value: []byte(value), Token: r.Token}
		m.Sig = krpc.Sign(private, m.Salt, seq, m.Value)
		if change != nil {
			change(&m)
		}
		n.now += time.Second
		r, _ = n.query(alice, m)
		return r.Code
	}
	for _, c := range []struct {
		name, salt string
		seq        int64
		value      string
		change     func(m *krpc.Message)
		want       int64
	}{
		{"the first", "", 5, "1:a", nil, 0},
		{"the same again", "", 5, "1:a", nil, 0},
		{"another of the same number", "", 5, "1:b", nil, krpc.SeqLessThanHeld},
		{"an older one", "", 4, "1:b", nil, krpc.SeqLessThanHeld},
		{"cas of another", "", 6, "1:b", func(m *krpc.Message) { m.HasCAS, m.CAS = true, 4 }, krpc.CASMismatch},
		{"cas", "", 6, "1:b", func(m *krpc.Message) { m.HasCAS, m.CAS = true, 5 }, 0},
		{"cas of nothing", "new", 6, "1:b", func(m *krpc.Message) { m.HasCAS, m.CAS = true, 5 }, 0},
		{"a false signature", "", 7, "1:b", func(m *krpc.Message) { m.Sig = make([]byte, 64) }, krpc.InvalidSig},
		{"no signature", "", 7, "1:b", func(m *krpc.Message) { m.Sig = nil }, krpc.ProtocolError},
		{"a negative number", "", -1, "1:b", nil, krpc.ProtocolError},
		{"no token", "", 7, "1:b", func(m *krpc.Message) { m.Token = nil }, krpc.ProtocolError},
		{"a long value", "", 7, string(long), nil, krpc.ValueTooBig},
		{"an unsorted value", "", 7, "d1:bi1e1:ai2ee", nil, krpc.ProtocolError},
		{"a long salt", string(make([]byte, 65)), 7, "1:b", nil, krpc.SaltTooBig},
	} {
		if got := put(c.salt, c.seq, c.value, c.change); got != c.want {
			t.Errorf("%s: code %d, want %d", c.name, got, c.want)
		}
	}
	key := krpc.Mutable(public, nil)
	r, _ := n.query(bob, krpc.Message{Method: krpc.Get, Target: key})
	if string(r.Value) != "1:b" || r.Seq != 6 || !krpc.Verify(r.Key, nil, r.Seq, r.Value, r.Sig) {
		t.Errorf("%+v", r)
	}
	r, _ = n.query(bob, krpc.Message{Method: krpc.Get, Target: key, HasSeq: true, Seq: 6})
	if r.Value != nil || r.Key != nil || !r.HasSeq || r.Seq != 6 {
		t.Errorf("who has it is sent %+v", r)
	}
	plain := krpc.Immutable([]byte("i7e"))
	n.query(alice, krpc.Message{Method: krpc.Put, Value: []byte("i7e"), Token: n.token(alice, plain)})
	if r, _ = n.query(bob, krpc.Message{Method: krpc.Get, Target: plain}); string(r.Value) != "i7e" || r.HasSeq {
		t.Errorf("%+v", r)
	}
	for range 125 {
		n.now += time.Minute
		n.Tick(n.now, &n.out)
	}
	if s := n.Status(); s.Items != 0 {
		t.Errorf("after two hours: %+v", s)
	}
}

func TestOddQueries(t *testing.T) {
	n := newAsked(t, Config{})
	for _, c := range []struct {
		name string
		m    krpc.Message
		want int64
	}{
		{"a method of the future", krpc.Message{Name: []byte("dance")}, krpc.MethodUnknown},
		{"one with a target", krpc.Message{Name: []byte("dance"), HasTarget: true}, 0},
		{"a port of zero", krpc.Message{Method: krpc.AnnouncePeer, Target: keyX, Token: n.token(alice, keyX)}, krpc.ProtocolError},
		{"nothing to put", krpc.Message{Method: krpc.Put}, krpc.ProtocolError},
	} {
		if r, _ := n.query(alice, c.m); r.Code != c.want || r.Kind == 0 {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
	// What answers nothing that we asked is not believed.
	m := krpc.Message{Kind: krpc.Response, TID: []byte("abcd"), ID: keyX}
	n.out.Reset()
	n.Receive(n.now, m.Append(nil), bob, &n.out)
	if n.table.Len() != 0 || n.out.Len() != 0 || n.stats.Rejected != 1 {
		t.Errorf("%+v", n.Status())
	}
}

func TestReadOnly(t *testing.T) {
	n := newAsked(t, Config{ReadOnly: true})
	if r, _ := n.query(alice, krpc.Message{Method: krpc.Ping}); r.Kind != 0 {
		t.Errorf("answered %+v", r)
	}
	n.out.Reset()
	n.Add(n.now, bob)
	n.Tick(n.now, &n.out)
	n.out.Each(func(b []byte, to netip.AddrPort) {
		var m krpc.Message
		if krpc.Decode(b, &m) != nil || !m.ReadOnly {
			t.Errorf("asked %q", b)
		}
	})
	if n.out.Len() == 0 {
		t.Error("asks nobody")
	}
	// And those who are, are not kept.
	n = newAsked(t, Config{})
	n.query(alice, krpc.Message{Method: krpc.Ping, ReadOnly: true})
	if len(n.table.buckets[0].spares) != 0 {
		t.Error("a read-only node is a candidate")
	}
	n.query(alice, krpc.Message{Method: krpc.Ping})
	if len(n.table.buckets[0].spares) != 1 {
		t.Error("an ordinary node is none")
	}
}

// populate fills the table and the store of a node.
func (n *askedNode) populate(peers int) {
	r := n.cfg.Rand
	for i := range 300 {
		a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{20 + byte(i/250), byte(r.Uint32()), byte(r.Uint32()), byte(1 + i%250)}), 6881)
		n.table.answered(n.now, krpc.Node{ID: krpc.SecureID(a.Addr(), r), Addr: a}, 50*time.Millisecond)
	}
	for i := range peers {
		a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{90, 1, byte(i >> 8), byte(i)}), 6881)
		n.store.add(n.now, n.self, keyX, a, i%3 == 0, r)
	}
}

// No answer is longer than BEP 32 allows, and nobody who has not shown to be at an address has much more sent there than he sent.
func TestAnswersAreBounded(t *testing.T) {
	n := newAsked(t, Config{})
	n.populate(450)
	stranger := netip.MustParseAddrPort("41.1.1.1:1")
	query := krpc.Message{Kind: krpc.Query, TID: []byte("tt"), Method: krpc.GetPeers, Target: keyX}
	sent := len(query.Append(nil))
	if _, size := n.query(stranger, query); size > 550 || size < 400 {
		t.Errorf("%d bytes are answered with %d", sent, size)
	}
	// BEP 33: the filters come whole, or not at all.
	if r, size := n.query(stranger, krpc.Message{Method: krpc.GetPeers, Target: keyX, Scrape: true}); size > krpc.MaxMessage || r.PeerFilter == nil {
		t.Errorf("a scrape is answered with %d bytes", size)
	}
	n.query(alice, krpc.Message{Method: krpc.AnnouncePeer, Target: keyX, Port: 1, Token: n.token(alice, keyX)})
	r, size := n.query(alice, krpc.Message{Method: krpc.GetPeers, Target: keyX, HasWant: true, Want4: true, Want6: true})
	if size > krpc.MaxMessage || size < 800 || len(slices.Collect(r.EachPeer())) < 50 {
		t.Errorf("who has shown his address is answered with %d bytes", size)
	}
	for range 100 {
		n.store.add(n.now, n.self, keyX, netip.AddrPortFrom(netip.AddrFrom4([4]byte{91, 1, 1, byte(n.cfg.Rand.IntN(256))}), 1), false, n.cfg.Rand)
	}
	if r, _ := n.query(alice, krpc.Message{Method: krpc.GetPeers, Target: keyX}); r.Token != nil {
		t.Error("a full set takes more (BEP 33)")
	}
}

func TestAnswersAreLimited(t *testing.T) {
	n := newAsked(t, Config{})
	answered := 0
	for range 1000 {
		if r, _ := n.query(alice, krpc.Message{Method: krpc.Ping}); r.Kind != 0 {
			answered++
		}
	}
	if answered < burst/2 || answered > burst || n.stats.Dropped != int64(1000-answered) {
		t.Errorf("%d of 1000 answered at once, %d dropped", answered, n.stats.Dropped)
	}
	if r, _ := n.query(bob, krpc.Message{Method: krpc.Ping}); r.Kind == 0 {
		t.Error("others are not answered")
	}
	n.now += 10 * time.Second
	if r, _ := n.query(alice, krpc.Message{Method: krpc.Ping}); r.Kind == 0 {
		t.Error("not answered after ten seconds")
	}
	for range int(2 * burst) { // a local address has no limit of its own
		if r, _ := n.query(addr(192, 168, 1, 7), krpc.Message{Method: krpc.Ping}); r.Kind == 0 {
			t.Fatal("a local address is not answered")
		}
	}
	answered = 0
	for i := range 20000 {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{50, byte(i >> 16), byte(i >> 8), byte(i)}), 7)
		if r, _ := n.query(from, krpc.Message{Method: krpc.Ping}); r.Kind != 0 {
			answered++
		}
	}
	if answered > perSecond {
		t.Errorf("%d answered at once", answered)
	}
}

// Whatever is announced, what is kept is bounded.
func TestStoreIsBounded(t *testing.T) {
	n := newAsked(t, Config{})
	r := n.cfg.Rand
	near, popular := krpc.RandomID(n.self, 40, r), krpc.RandomID(n.self, 20, r)
	for i := range 20000 {
		key := krpc.RandomID(krpc.ID{}, 0, r)
		if i%4 == 0 {
			key = popular
		}
		a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{60, byte(i >> 16), byte(i >> 8), byte(i)}), 7)
		n.store.add(n.now, n.self, key, a, false, r)
		n.items.put(n.now, n.self, key, item{value: []byte("i1e")})
	}
	n.store.add(n.now, n.self, near, alice, false, r)
	n.items.put(n.now, n.self, near, item{value: []byte("i1e")})
	s := n.Status()
	if s.Infohashes > maxKeys || s.Peers > maxPeers || s.Items > maxItems || len(n.store.sets[popular].peers) != maxSet {
		t.Errorf("%+v", s)
	}
	if n.store.sets[near] == nil || n.items.held[near] == nil {
		t.Error("what is near to us is not kept")
	}
	keys, total, _ := n.store.samples(n.now, r)
	if len(keys) != 20*maxSamples || total != int64(s.Infohashes) {
		t.Errorf("%d bytes of samples, of %d", len(keys), total)
	}
}

// BenchmarkQueries answers get_peers of many askers with nodes and peers.
func BenchmarkQueries(b *testing.B) {
	n := newAsked(b, Config{})
	n.populate(100)
	var queries [][]byte
	var from []netip.AddrPort
	for i := range 1024 {
		a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{70, byte(i), byte(i >> 8), 1}), 9)
		m := krpc.Message{Kind: krpc.Query, TID: []byte("tt"), Method: krpc.GetPeers, ID: krpc.SecureID(a.Addr(), n.cfg.Rand), Target: keyX}
		if i%2 == 0 {
			m.Target = krpc.RandomID(krpc.ID{}, 0, n.cfg.Rand)
		}
		queries, from = append(queries, m.Append(nil)), append(from, a)
	}
	b.ReportAllocs()
	answers := 0
	for i := 0; b.Loop(); i++ {
		n.now += time.Millisecond / 2
		n.Receive(n.now, queries[i%1024], from[i%1024], &n.out)
		answers += n.out.Len()
		n.out.Reset()
	}
	b.ReportMetric(float64(answers)/b.Elapsed().Seconds(), "answers/s")
}
