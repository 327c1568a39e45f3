package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"shoal/internal/ident"
)

// event is what an announce tells about the torrent's course; the values are those of BEP 15.
type event uint32

const (
	none event = iota
	completed
	started
	stopped
	paused // a partial seed (BEP 21): it wants no more than it has
)

// announce is one announce, over whichever protocol it came.
type announce struct {
	name  ident.V1
	addr  netip.Addr // of the peer; IPv4 is never mapped into IPv6
	port  uint16     // 0: the peer takes no connections, and is not told to others
	event event
	left  bool // it lacks something
	want  int  // addresses
}

// wantsNoSeeds reports whether seeds are of no use to the asker.
func (a *announce) wantsNoSeeds() bool { return !a.left || a.event == paused }

// reply is what an announce is answered with. Its buffers are used again.
type reply struct {
	counts
	v4, v6 []byte // peers, compact
	both   bool   // peers of both families are wanted, not only those of the asker's
	random random
}

// counts are the peers of a swarm.
type counts struct{ seeds, leeches, downloads uint32 }

// swarm is the peers of one torrent.
type swarm struct {
	v4        list[end4]
	v6        list[end6]
	downloads uint32 // that were completed while the swarm was known
	seen      tick   // the last announce
	swept     tick   // when expired peers were last looked for
}

func (s *swarm) counts() counts {
	seeds := s.v4.seeds + s.v6.seeds
	return counts{uint32(seeds), uint32(len(s.v4.peers) + len(s.v6.peers) - seeds), s.downloads}
}

// expire takes out the peers whose lifetime is over, once a tick.
func (s *swarm) expire(now tick) {
	if s.swept != now {
		s.swept = now
		s.v4.expire(now)
		s.v6.expire(now)
	}
}

// shards is how many parts the torrents are in, each with a lock of its own.
const shards = 1024

// shard is one part of the torrents.
type shard struct {
	mu           sync.Mutex
	swarms       map[ident.V1]*swarm
	peers, seeds int
	_            [32]byte // to a cache line
}

// bounds are what memory is bounded by.
type bounds struct {
	torrents int // known at a time
	peers    int // of a torrent, in each address family
	sameHost int // peers of a torrent that one address, or one IPv6 /64, may be
}

// table is all that the tracker remembers.
type table struct {
	bounds   bounds
	key      uint64 // so that nobody chooses a torrent's shard
	torrents atomic.Int64
	shards   [shards]shard
}

// Refusals of announces.
var (
	errFull     = errors.New("this tracker can take no more torrents")
	errSameHost = errors.New("too many peers of this torrent at your address")
)

func newTable(b bounds) *table {
	t := &table{bounds: b, key: rand.Uint64()}
	for i := range t.shards {
		t.shards[i].swarms = map[ident.V1]*swarm{}
	}
	return t
}

func (t *table) shard(name ident.V1) *shard {
	return &t.shards[((binary.LittleEndian.Uint64(name[:])^t.key)*0x9e3779b97f4a7c15)>>54]
}

// announce notes a peer and fills r with others.
func (t *table) announce(a *announce, now tick, r *reply) error {
	sh := t.shard(a.name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	r.v4, r.v6 = r.v4[:0], r.v6[:0]
	s := sh.swarms[a.name]
	if s == nil {
		if r.counts = (counts{}); a.event == stopped || a.port == 0 {
			return nil
		}
		if t.torrents.Load() >= int64(t.bounds.torrents) && !t.evict(sh) {
			return errFull
		}
		t.torrents.Add(1)
		s = &swarm{swept: now}
		sh.swarms[a.name] = s
	}
	before := s.counts()
	s.expire(now)
	s.seen = now
	var err error
	want := max(0, a.want)
	if a.addr.Is4() {
		e := toEnd4(a.addr, a.port)
		if err = note(t, s, &s.v4, e, a, now); err == nil && a.event != stopped {
			r.v4 = s.v4.appendSome(r.v4, want, &asker[end4]{e, scopeOf(a.addr), a.wantsNoSeeds()}, &r.random)
			if r.both {
				r.v6 = s.v6.appendSome(r.v6, want-len(r.v4)/len(end4{}), &asker[end6]{scope: scopeOf(a.addr), seed: a.wantsNoSeeds()}, &r.random)
			}
		}
	} else {
		e := toEnd6(a.addr, a.port)
		if err = note(t, s, &s.v6, e, a, now); err == nil && a.event != stopped {
			r.v6 = s.v6.appendSome(r.v6, want, &asker[end6]{e, scopeOf(a.addr), a.wantsNoSeeds()}, &r.random)
			if r.both {
				r.v4 = s.v4.appendSome(r.v4, want-len(r.v6)/len(end6{}), &asker[end4]{scope: scopeOf(a.addr), seed: a.wantsNoSeeds()}, &r.random)
			}
		}
	}
	r.counts = s.counts()
	sh.changed(before, r.counts)
	return err
}

// evict makes room for a torrent in a shard, whose lock the caller holds: a torrent of at most one peer goes, so that names which a few
// hosts make up cannot fill the table, and a real one that goes so is back with its peer's next announce. It looks at a few
// torrents only, which the map's random order chooses.
func (t *table) evict(sh *shard) bool {
	tries := evictTries
	for name, s := range sh.swarms {
		if c := s.counts(); c.seeds+c.leeches <= 1 {
			sh.changed(c, counts{})
			delete(sh.swarms, name)
			t.torrents.Add(-1)
			return true
		}
		if tries--; tries == 0 {
			break
		}
	}
	return false
}

const evictTries = 16

// note writes down what an announce tells of its peer.
func note[E endpoint[E]](t *table, s *swarm, l *list[E], e E, a *announce, now tick) error {
	i := l.find(e)
	switch {
	case a.event == stopped:
		if i >= 0 {
			l.remove(i)
		}
		return nil
	case a.port == 0:
		return nil
	}
	if i < 0 {
		if l.crowd(e, t.bounds.sameHost) >= t.bounds.sameHost {
			return errSameHost
		}
		if len(l.peers) >= t.bounds.peers {
			return nil // it is served all the same
		}
		i = l.add(e)
	}
	if a.event == completed && !a.left && i >= l.seeds {
		s.downloads++
	}
	l.peers[i].seen, l.peers[i].scope = now, scopeOf(a.addr)
	l.mark(i, !a.left)
	return nil
}

// changed keeps the shard's sums. The caller holds its lock.
func (sh *shard) changed(before, after counts) {
	sh.seeds += int(after.seeds) - int(before.seeds)
	sh.peers += int(after.seeds+after.leeches) - int(before.seeds+before.leeches)
}

// scrape returns the counts of a swarm, zeros if it is not known.
func (t *table) scrape(name ident.V1, now tick) counts {
	sh := t.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s := sh.swarms[name]
	if s == nil {
		return counts{}
	}
	before := s.counts()
	s.expire(now)
	after := s.counts()
	sh.changed(before, after)
	return after
}

// sweep forgets what has expired in one shard. Every shard must be swept a few times in a lifetime.
func (t *table) sweep(i int, now tick) {
	sh := &t.shards[i]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for name, s := range sh.swarms {
		before := s.counts()
		s.expire(now)
		after := s.counts()
		sh.changed(before, after)
		if after.seeds+after.leeches == 0 && s.seen.expired(now) {
			delete(sh.swarms, name)
			t.torrents.Add(-1)
		}
	}
}

// appendAll appends the counts of all swarms that have peers (BEP 48). It holds up one shard at a time.
func (t *table) appendAll(b []byte) []byte {
	type file struct {
		name ident.V1
		counts
	}
	var files []file
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.Lock()
		for name, s := range sh.swarms {
			if c := s.counts(); c.seeds+c.leeches > 0 {
				files = append(files, file{name, c})
			}
		}
		sh.mu.Unlock()
	}
	slices.SortFunc(files, func(a, b file) int { return bytes.Compare(a.name[:], b.name[:]) })
	b = append(b, "d5:filesd"...)
	for i := range files {
		b = appendFile(b, files[i].name, files[i].counts)
	}
	return append(b, 'e', 'e')
}

// totals returns how many torrents, peers and seeds are known.
func (t *table) totals() (torrents, peers, seeds int) {
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.Lock()
		peers += sh.peers
		seeds += sh.seeds
		sh.mu.Unlock()
	}
	return int(t.torrents.Load()), peers, seeds
}
