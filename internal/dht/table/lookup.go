package table

import (
	"net/netip"
	"slices"
	"time"

	"shoal/internal/dht/krpc"
)

const (
	alpha         = 6                // queries of one look-up under way that are not slow
	maxCandidates = 100              // of one look-up
	perTeller     = 3                // of these, of nodes that one other has named
	maxInsecure   = 3 * K            // of the candidates, whose ids do not fit their addresses
	discredit     = 4                // nodes named by one other that do not answer, while none does, until the rest is not asked
	patience      = 20 * time.Second // how long a look-up waits for the first answer
	impatience    = 3 * time.Second  // likewise, if nobody has been met for long
	maxWrites     = K + K/2          // nodes at which something is stored
)

// Lookup looks for the nodes closest to a target, and asks each on the way. It is made with what is exported, and then the Core's.
//
// It goes on until the K closest that answered are known whose ids fit their addresses (BEP 42). Others are asked as well, but only up to
// K of them, so that made-up ids near the target do not crowd out the rest. Nobody's word is relied on alone: of what one node names, no
// more is asked once several did not answer and none did.
type Lookup struct {
	Target krpc.ID
	Ask    krpc.Message                               // Method, and what else the queries carry
	Adjust func(m *krpc.Message, to netip.AddrPort)   // may change the query to one node; may be nil
	Seeds  []krpc.Node                                // to begin with, beside those of the table; their ids may be zero
	Answer func(m *krpc.Message, from netip.AddrPort) // called with each answer; m is valid during the call
	Write  func(m *krpc.Message, seq int64) bool      // fills in the query that is sent to each of the closest nodes in the end, of which seq is that of the item that it holds, -1 for none; false: no query
	Done   func(r Result)                             // called once

	started    time.Duration
	until      time.Duration // it waits for the first answer
	candidates []candidate   // closest first
	tellers    []teller      // the first stands for our own table
	flying     int           // queries under way that are not slow
	late       int           // slow ones
	writing    int
	result     Result
	ended      bool
}

// Result is how a look-up ended.
type Result struct {
	Answered int           // nodes that answered
	Asked    int           // queries
	Closest  []krpc.Node   // those that answered and are closest, closest first
	Written  int           // nodes that took what was written
	Code     int64         // of an error that one gave instead (BEP 44), 0 if none did
	Took     time.Duration // without the writing
}

type phase uint8

const (
	known phase = iota
	asked
	slow
	answered
	failed
)

// candidate is a node that a look-up has heard of.
type candidate struct {
	krpc.Node
	phase  phase
	secure bool
	by     [2]int16 // indices of those who named it first; 0 is our own table, -1 nobody
	token  []byte
	seq    int64 // of what it holds (BEP 44), -1 if nothing
}

// teller counts what became of the secure nodes that one node named.
type teller struct{ flying, answered, slow, failed int }

// Start begins a look-up. out takes its first queries.
func (c *Core) Start(now time.Duration, l *Lookup, out *Out) {
	c.out = out
	c.start(now, l)
}

func (c *Core) start(now time.Duration, l *Lookup) {
	l.started, l.until = now, now+patience
	if c.table.Len() == 0 && now-c.join.began > patience {
		l.until = now + impatience // so that those that wait their turn are not held up
	}
	l.tellers = append(l.tellers, teller{})
	l.Ask.Target = l.Target
	c.lookups = append(c.lookups, l)
	for _, n := range l.Seeds {
		l.add(n, 0)
	}
	l.Seeds = nil
	near := c.table.mixed(nil, l.Target, 2*K, func(e *entry) bool { return e.fails < 2 })
	for _, n := range near {
		l.add(n, 0)
	}
	if l.Answer != nil {
		if m, ok := c.own(&l.Ask); ok {
			l.Answer(&m, ourselves)
		}
	}
	c.wakeAt(l.until)
	l.step(c, now)
}

// ourselves is whom an answer is from that nobody sent.
var ourselves = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)

// own answers a query of ours from what we keep for others: in a small network that may be all there is.
func (c *Core) own(q *krpc.Message) (m krpc.Message, ok bool) {
	m = krpc.Message{Kind: krpc.Response, ID: c.self}
	set, it := c.store.sets[q.Target], c.items.held[q.Target]
	switch {
	case q.Method == krpc.GetPeers && set != nil:
		m.Values = set.pick(nil, maxSet*len("18:")+maxSet*18, q.NoSeed, c.cfg.Rand)
		m.HasValues = true
		if q.Scrape {
			m.SeedFilter, m.PeerFilter = set.filters()
		}
	case q.Method == krpc.Get && it != nil:
		m.Value = it.value
		if it.mutable {
			m.HasSeq, m.Seq, m.Key, m.Sig = true, it.seq, it.key[:], it.sig[:]
		}
	default:
		return m, false
	}
	return m, true
}

// Stop ends a look-up without calling Done.
func (c *Core) Stop(l *Lookup) {
	l.ended = true
	c.drop(l)
}

// Idle reports whether a look-up waits because it knows nobody to ask.
func (c *Core) Idle(l *Lookup) bool {
	return !l.ended && l.flying == 0 && l.late == 0 && l.writing == 0 && l.result.Answered == 0
}

func (c *Core) drop(l *Lookup) {
	c.lookups = slices.DeleteFunc(c.lookups, func(o *Lookup) bool { return o == l })
}

// welcome lets look-ups that know nobody begin with a node that is new in the table.
func (c *Core) welcome(now time.Duration, n krpc.Node) {
	for _, l := range slices.Clone(c.lookups) {
		if l.flying == 0 && l.late == 0 && l.result.Answered == 0 {
			l.add(n, 0)
			l.step(c, now)
		}
	}
	if c.table.Len() == 1 {
		c.join.self = 0
		c.join.next = now
	}
}

// add takes note of a node that teller has named.
func (l *Lookup) add(n krpc.Node, teller int) {
	at, found := slices.BinarySearchFunc(l.candidates, n.ID, func(x candidate, id krpc.ID) int {
		switch {
		case x.ID == id:
			return 0
		case x.ID == krpc.ID{}, id != krpc.ID{} && krpc.Closer(l.Target, x.ID, id):
			return -1 // those whose ids are not known yet come first
		}
		return 1
	})
	if found && n.ID != (krpc.ID{}) || l.known(n) {
		if found && l.candidates[at].Node == n {
			l.candidates[at].back(teller)
		}
		return
	}
	if len(l.candidates) == maxCandidates {
		i := l.least()
		if i < 0 || i == maxCandidates-1 && at == maxCandidates {
			return
		}
		l.candidates = slices.Delete(l.candidates, i, i+1)
		if i < at {
			at--
		}
	}
	x := candidate{Node: n, by: [2]int16{int16(teller), -1}, secure: n.ID.Secure(n.Addr.Addr()), seq: -1}
	l.candidates = slices.Insert(l.candidates, at, x)
}

// back notes that another node has named the candidate too.
func (x *candidate) back(teller int) {
	if x.phase == known && x.by[1] < 0 && int(x.by[0]) != teller {
		x.by[1] = int16(teller)
	}
}

// count calls f with the tellers of a secure candidate.
func (l *Lookup) count(x *candidate, f func(t *teller)) {
	for _, i := range x.by {
		if i > 0 && x.secure {
			f(&l.tellers[i])
		}
	}
}

// least returns the candidate that matters least of those not asked yet: one too many of the insecure, one that is not to be trusted, or
// the farthest; or one that has failed. It is -1 if there is none to give up.
func (l *Lookup) least() int {
	far, insecure, farInsecure := -1, 0, -1
	for i := range slices.Backward(l.candidates) {
		x := &l.candidates[i]
		if x.phase == failed || x.phase == known && !l.trusted(x) {
			return i
		}
		if !x.secure {
			insecure++
		}
		if x.phase == known {
			far = max(far, i)
			if !x.secure {
				farInsecure = max(farInsecure, i)
			}
		}
	}
	if insecure > maxInsecure && farInsecure >= 0 {
		return farInsecure
	}
	return far
}

// known reports whether the address is a candidate's already.
func (l *Lookup) known(n krpc.Node) bool {
	local := krpc.Local(n.Addr.Addr())
	return slices.ContainsFunc(l.candidates, func(x candidate) bool {
		return x.Addr == n.Addr || !local && x.Addr.Addr() == n.Addr.Addr()
	})
}

// trusted reports whether a candidate may be asked: one of those who named it has not named too many that do not answer.
func (l *Lookup) trusted(x *candidate) bool {
	for _, i := range x.by {
		if i < 0 {
			continue
		}
		if t := &l.tellers[i]; i == 0 || t.answered > 0 || t.failed+t.slow < discredit {
			return true
		}
	}
	return false
}

// crowded reports whether enough of what each that named a candidate has named is being asked now.
func (l *Lookup) crowded(x *candidate) bool {
	for _, i := range x.by {
		if i == 0 || i > 0 && l.tellers[i].flying < perTeller {
			return false
		}
	}
	return true
}

// head calls visit with the candidates that matter, closest first: until K secure ones, and between them up to K others. Those that are
// slow, have failed or are not to be trusted do not count. Of one subnet, few count.
func (l *Lookup) head(visit func(x *candidate)) {
	var subnets [2 * K]netip.Addr
	secure, other := 0, 0
	for i := range l.candidates {
		x := &l.candidates[i]
		if x.phase == failed || x.phase == slow || x.phase == known && !l.trusted(x) || !x.secure && other == K {
			continue
		}
		if ip := x.Addr.Addr(); !krpc.Local(ip) {
			net, same := subnet(ip), 0
			for _, s := range subnets[:secure+other] {
				if s == net {
					same++
				}
			}
			if same >= perSubnet {
				continue
			}
			subnets[secure+other] = net
		}
		if x.secure {
			secure++
		} else {
			other++
		}
		visit(x)
		if secure == K || secure+other == len(subnets) {
			return
		}
	}
}

// step asks whom there is to ask, or ends the look-up.
func (l *Lookup) step(c *Core, now time.Duration) {
	if l.ended || l.writing > 0 {
		return
	}
	open := 0
	l.head(func(x *candidate) {
		switch x.phase {
		case known:
			open++
			if l.flying < alpha && !l.crowded(x) {
				l.ask(c, now, x)
			}
		case asked:
			open++
		}
	})
	switch {
	case open > 0, l.late > 0 && l.result.Answered < K:
	case l.result.Answered > 0, now >= l.until:
		l.finish(c, now)
	}
}

func (l *Lookup) ask(c *Core, now time.Duration, x *candidate) {
	m := l.Ask
	c.wantBoth(&m)
	if l.Adjust != nil {
		l.Adjust(&m, x.Addr)
	}
	if c.ask(now, x.Node, &m, l) {
		x.phase = asked
		l.flying++
		l.count(x, func(t *teller) { t.flying++ })
		l.result.Asked++
	}
}

// check ends a look-up that has waited in vain.
func (l *Lookup) check(c *Core, now time.Duration) {
	if now < l.until {
		c.wakeAt(l.until)
	} else {
		l.step(c, now)
	}
}

func (l *Lookup) find(n krpc.Node) *candidate {
	i := slices.IndexFunc(l.candidates, func(x candidate) bool { return x.Node == n })
	if i < 0 {
		return nil
	}
	return &l.candidates[i]
}

// leave notes that a query is not under way any more.
func (l *Lookup) leave(x *candidate) {
	if x.phase == asked {
		l.flying--
		l.count(x, func(t *teller) { t.flying-- })
	} else {
		l.late--
		l.count(x, func(t *teller) { t.slow-- })
	}
}

// slow implements asker.
func (l *Lookup) slow(c *Core, now time.Duration, q *query) {
	if x := l.find(q.node); x != nil && !l.ended {
		l.leave(x)
		l.late++
		x.phase = slow
		l.count(x, func(t *teller) { t.slow++ })
		l.step(c, now)
	}
}

// failed implements asker.
func (l *Lookup) failed(c *Core, now time.Duration, q *query) {
	if x := l.find(q.node); x != nil && !l.ended {
		l.leave(x)
		l.lose(x)
		l.step(c, now)
	}
}

func (l *Lookup) lose(x *candidate) {
	x.phase = failed
	l.count(x, func(t *teller) { t.failed++ })
}

// answered implements asker.
func (l *Lookup) answered(c *Core, now time.Duration, q *query, m *krpc.Message) {
	x := l.find(q.node)
	if x == nil || l.ended {
		return
	}
	l.leave(x)
	if m.Kind != krpc.Response || m.ID == c.self {
		l.lose(x)
		l.step(c, now)
		return
	}
	if x.ID != m.ID {
		x = l.rename(x, m.ID)
	}
	if x != nil {
		l.take(c, now, x, m)
	}
	l.step(c, now)
}

// rename gives a candidate the id that it really has.
func (l *Lookup) rename(x *candidate, id krpc.ID) *candidate {
	n := krpc.Node{ID: id, Addr: x.Addr}
	if x.ID != (krpc.ID{}) {
		l.count(x, func(t *teller) { t.failed++ })
	}
	l.candidates = slices.DeleteFunc(l.candidates, func(o candidate) bool { return o.Node == x.Node })
	l.add(n, 0)
	return l.find(n)
}

// take learns from an answer.
func (l *Lookup) take(c *Core, now time.Duration, x *candidate, m *krpc.Message) {
	x.phase = answered
	x.token = append([]byte(nil), m.Token[:min(len(m.Token), maxToken)]...)
	if m.HasSeq {
		x.seq = m.Seq
	}
	l.count(x, func(t *teller) { t.answered++ })
	l.result.Answered++
	from := x.Addr
	l.tellers = append(l.tellers, teller{})
	for n := range c.told(m) {
		if c.plausible(n, from.Addr()) {
			l.add(n, len(l.tellers)-1)
			c.table.heard(now, n, false)
		}
	}
	if l.Answer != nil {
		l.Answer(m, from)
	}
}

// finish ends the asking, and writes if there is something to write.
func (l *Lookup) finish(c *Core, now time.Duration) {
	l.result.Took = now - l.started
	var targets []candidate
	l.head(func(x *candidate) {
		if x.phase == answered {
			l.result.Closest = append(l.result.Closest, x.Node)
			targets = append(targets, *x)
		}
	})
	if l.Write != nil {
		slices.SortStableFunc(targets, func(a, b candidate) int { // BEP 42: those whose ids fit come first
			switch {
			case a.secure == b.secure:
				return 0
			case a.secure:
				return -1
			}
			return 1
		})
		for _, x := range targets {
			if l.writing == maxWrites || len(x.token) == 0 {
				continue
			}
			w := &writer{l: l, m: krpc.Message{Token: x.token}}
			if l.Write(&w.m, x.seq) && c.ask(now, x.Node, &w.m, w) {
				l.writing++
			}
		}
	}
	if l.writing == 0 {
		l.end(c)
	}
}

func (l *Lookup) end(c *Core) {
	l.ended = true
	c.drop(l)
	if l.Done != nil {
		l.Done(l.result)
	}
}

// writer is the asker of a node at which a look-up stores something. What is lost is sent once more.
type writer struct {
	l     *Lookup
	m     krpc.Message
	again bool
}

func (w *writer) done(c *Core) {
	if w.l.writing--; w.l.writing == 0 && !w.l.ended {
		w.l.end(c)
	}
}

// answered implements asker.
func (w *writer) answered(c *Core, _ time.Duration, _ *query, m *krpc.Message) {
	if m.Kind == krpc.Response {
		w.l.result.Written++
	} else {
		w.l.result.Code = m.Code
	}
	w.done(c)
}

// slow implements asker.
func (w *writer) slow(*Core, time.Duration, *query) {}

// failed implements asker.
func (w *writer) failed(c *Core, now time.Duration, q *query) {
	if !w.again && !w.l.ended {
		w.again = true
		if c.ask(now, q.node, &w.m, w) {
			return
		}
	}
	w.done(c)
}
