package table

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"shoal/internal/dht/krpc"
)

// check reports what must hold of a node at all times.
func (c *Core) check(t *testing.T) {
	t.Helper()
	n := 0
	for i, b := range c.table.buckets {
		n += len(b.nodes)
		if len(b.nodes) > widestBucket || len(b.spares) > maxSpares {
			t.Fatalf("bucket %d has %d nodes, %d spares", i, len(b.nodes), len(b.spares))
		}
		for _, e := range b.nodes {
			if p := krpc.Prefix(c.self, e.ID); p != i && !(p > i && i == len(c.table.buckets)-1) || e.ID == c.self {
				t.Fatalf("bucket %d has a node with %d bits of ours", i, p)
			}
			if e.Addr.Addr().Is4() == c.cfg.IPv6 {
				t.Fatalf("%v is of the other family", e.Addr)
			}
		}
	}
	if n != c.table.count {
		t.Fatalf("%d nodes, counted %d", n, c.table.count)
	}
	seen := map[netip.Addr]bool{}
	for e := range c.table.all() {
		if ip := e.Addr.Addr(); !krpc.Local(ip) {
			if seen[ip] {
				t.Fatalf("%v is there twice", ip)
			}
			seen[ip] = true
		}
	}
	if len(c.pending) > maxPending || len(c.join.contacts) > maxContacts {
		t.Fatalf("%d queries, %d contacts", len(c.pending), len(c.join.contacts))
	}
	flying, late := 0, 0
	for _, l := range c.lookups {
		if len(l.candidates) > maxCandidates {
			t.Fatalf("%d candidates", len(l.candidates))
		}
		for i, x := range l.candidates {
			switch x.phase {
			case asked:
				flying++
			case slow:
				late++
			}
			if i > 0 && l.candidates[i-1].ID != (krpc.ID{}) && !krpc.Closer(l.Target, l.candidates[i-1].ID, x.ID) {
				t.Fatal("candidates out of order")
			}
		}
		flying, late = flying-l.flying, late-l.late
	}
	if flying != 0 || late != 0 {
		t.Fatalf("%d queries and %d slow ones more than counted", flying, late)
	}
	if c.store.count > maxPeers || len(c.store.sets) > maxKeys || len(c.items.held) > maxItems {
		t.Fatal("the store is too full")
	}
}

// script feeds a node with what bytes say: answers to its queries that are right in form, queries, garbage, and time.
type script struct {
	t    *testing.T
	data []byte
	c    *Core
	now  time.Duration
	out  Out
	sent []sentQuery
}

type sentQuery struct {
	m  krpc.Message
	to netip.AddrPort
}

func (s *script) byte() byte {
	if len(s.data) == 0 {
		return 0
	}
	b := s.data[0]
	s.data = s.data[1:]
	return b
}

func (s *script) addr() netip.AddrPort {
	b := s.byte()
	first := [...]byte{20, 21, 10, 127, 0, 224, 99, 255, 30, 31, 32, 33, 34, 35, 36, 37}[b%16]
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{first, b >> 6, s.byte(), s.byte()}), uint16(b)*7)
}

func (s *script) id() (id krpc.ID) {
	switch s.byte() % 4 {
	case 0:
		id = s.c.self
	case 1:
		return keyX
	}
	id[s.byte()%4] ^= s.byte()
	id[19] = s.byte()
	return id
}

// collect looks at what the node has sent.
func (s *script) collect() {
	s.out.Each(func(b []byte, to netip.AddrPort) {
		var m krpc.Message
		if err := krpc.Decode(slices.Clone(b), &m); err != nil || len(b) > maxDatagram {
			s.t.Fatalf("sent %q: %v", b, err)
		}
		if m.Kind == krpc.Query {
			if !usable(to) {
				s.t.Fatalf("asked %v", to)
			}
			s.sent = append(s.sent, sentQuery{m, to})
		}
	})
	s.out.Reset()
	if len(s.sent) > 200 {
		s.sent = s.sent[100:]
	}
	s.c.check(s.t)
}

// answer has one of the nodes that were asked answer.
func (s *script) answer() {
	if len(s.sent) == 0 {
		return
	}
	i := int(s.byte()) % len(s.sent)
	q := s.sent[i]
	s.sent = slices.Delete(s.sent, i, i+1)
	m := krpc.Message{Kind: krpc.Response, TID: q.m.TID, ID: s.id(), Token: []byte{1}, IP: netip.MustParseAddrPort("20.9.9.9:1")}
	if s.byte()%8 == 0 {
		m.IP = s.addr()
	}
	for range s.byte() % 12 {
		m.Nodes = krpc.AppendNode(m.Nodes, krpc.Node{ID: s.id(), Addr: s.addr()})
	}
	if s.byte()%8 == 0 {
		m.Kind = krpc.Error
	}
	s.c.Receive(s.now, m.Append(nil), q.to, &s.out)
}

func (s *script) step() {
	switch s.byte() % 8 {
	case 0:
		s.now += time.Duration(s.byte()) * time.Second
	case 1:
		s.now = max(s.now, s.c.Next())
	case 2:
		s.c.Add(s.now, s.addr())
	case 3, 4:
		s.answer()
	case 5:
		n := min(int(s.byte()), len(s.data))
		s.c.Receive(s.now, s.data[:n], s.addr(), &s.out)
	case 6:
		m := krpc.Message{Kind: krpc.Query, TID: []byte("x"), Method: krpc.Method(s.byte() % 8), ID: s.id(), Target: s.id(), Port: 9, Value: []byte("i1e")}
		m.Token = []byte{s.byte()}
		from := s.addr()
		if s.byte()%2 == 0 {
			if m.Method == krpc.Put {
				m.Target = krpc.Immutable(m.Value)
			}
			t := s.c.tokens.issue(s.now, from.Addr(), m.Target)
			m.Token = t[:]
		}
		s.c.Receive(s.now, m.Append(nil), from, &s.out)
	case 7:
		l := &Lookup{Target: s.id(), Ask: krpc.Message{Method: krpc.GetPeers}, Seeds: []krpc.Node{{Addr: netip.MustParseAddrPort("20.1.1.1:1")}}}
		if s.byte()%2 == 0 {
			l.Write = func(m *krpc.Message, _ int64) bool {
				m.Method, m.Target, m.Port = krpc.AnnouncePeer, l.Target, 7
				return true
			}
		}
		if len(s.c.lookups) < 5 {
			s.c.Start(s.now, l, &s.out)
		} else {
			s.c.Stop(s.c.lookups[int(s.byte())%5])
		}
	}
	s.c.Tick(s.now, &s.out)
	s.c.NeedsRouters()
	s.collect()
}

func run(t *testing.T, data []byte) {
	s := &script{t: t, data: data[:min(len(data), 12000)], now: time.Second, c: New(Config{Rand: rand.New(rand.NewPCG(1, 1))})}
	s.c.Begin(s.now, nil, &s.out)
	for len(s.data) > 0 {
		s.step()
	}
	// Whatever was done: if nobody answers any more, all look-ups end.
	for range 2000 {
		s.now = max(s.now, s.c.Next())
		s.c.Tick(s.now, &s.out)
		s.collect()
		if s.now > 0 && len(s.c.lookups) == 0 && len(s.c.pending) == 0 {
			return
		}
	}
	t.Fatalf("%d look-ups and %d queries do not end", len(s.c.lookups), len(s.c.pending))
}

func FuzzCore(f *testing.F) {
	for n := range 20 {
		f.Add(randomScript(uint64(n), 200*(n+1)))
	}
	f.Fuzz(run)
}

func randomScript(seed uint64, size int) []byte {
	r := rand.New(rand.NewPCG(5, seed))
	var b []byte
	for len(b) < size {
		b = binary.LittleEndian.AppendUint64(b, r.Uint64())
	}
	return b
}

func TestRandomScripts(t *testing.T) {
	n := 100
	if race {
		n = 20
	}
	for i := range n {
		run(t, randomScript(uint64(1000+i), 12000))
	}
}
