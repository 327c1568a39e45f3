package table

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"shoal/internal/dht/krpc"
)

const (
	maxKeys     = 2000             // infohashes that a node keeps peers of
	maxPeers    = 12000            // peers of all of them
	maxSet      = 500              // peers of one
	peerLife    = 45 * time.Minute // how long a peer is kept after it was announced; they are every 15 to 30 minutes
	sampleLife  = 10 * time.Minute // how long a sample stays the same (BEP 51)
	maxItems    = 400
	itemLife    = 2 * time.Hour // BEP 44
	sweepPeriod = time.Minute
)

// peer is one that was announced.
type peer struct {
	addr netip.AddrPort
	seed bool
	at   time.Duration
}

// peerSet is the peers of one infohash.
type peerSet struct{ peers []peer }

func (s *peerSet) full() bool { return len(s.peers) >= maxSet }

// peerStore keeps peers for others.
type peerStore struct {
	sets    map[krpc.ID]*peerSet
	count   int
	far     farthest[*peerSet]
	sample  []byte
	sampled time.Duration // 0 if there is no sample
}

// add keeps a peer of key. A public address is kept once for each key (BEP 33).
func (s *peerStore) add(now time.Duration, self, key krpc.ID, addr netip.AddrPort, seed bool, r *rand.Rand) {
	p := peer{addr, seed, now}
	set := s.sets[key]
	if set != nil {
		local := krpc.Local(addr.Addr())
		i := slices.IndexFunc(set.peers, func(o peer) bool { return o.addr == addr || !local && o.addr.Addr() == addr.Addr() })
		if i < 0 && set.full() {
			i = r.IntN(len(set.peers))
		}
		if i >= 0 {
			set.peers[i] = p
			return
		}
	}
	if (set == nil && len(s.sets) >= maxKeys || s.count >= maxPeers) && !s.evict(self, key) {
		return
	}
	if set == nil {
		if s.sets == nil {
			s.sets = map[krpc.ID]*peerSet{}
		}
		set = &peerSet{}
		s.sets[key] = set
		s.far.added(self, key)
	}
	set.peers = append(set.peers, p)
	s.count++
}

// evict gives up the key that is farthest from us, if key is closer: it is others' to keep.
func (s *peerStore) evict(self, key krpc.ID) bool {
	worst, ok := s.far.beyond(s.sets, self, key)
	if ok {
		s.count -= len(s.sets[worst].peers)
		delete(s.sets, worst)
	}
	return ok
}

// farthest remembers which key of a map is farthest from us, so that a flood of keys that are farther costs nothing.
type farthest[T any] struct{ key krpc.ID }

func (f *farthest[T]) added(self, key krpc.ID) {
	if krpc.Closer(self, f.key, key) {
		f.key = key
	}
}

// beyond returns the farthest key of the map, and whether it is farther from us than key.
func (f *farthest[T]) beyond(held map[krpc.ID]T, self, key krpc.ID) (krpc.ID, bool) {
	if _, ok := held[f.key]; !ok {
		f.key = self
		for k := range held {
			if krpc.Closer(self, f.key, k) {
				f.key = k
			}
		}
	}
	return f.key, krpc.Closer(self, key, f.key)
}

// sweep forgets peers that were not announced again.
func (s *peerStore) sweep(now time.Duration) {
	s.count = 0
	for key, set := range s.sets {
		set.peers = slices.DeleteFunc(set.peers, func(p peer) bool { return now-p.at > peerLife })
		if len(set.peers) == 0 {
			delete(s.sets, key)
		}
		s.count += len(set.peers)
	}
}

// pick appends to dst random peers, each as an item of "values", of at most room bytes.
func (s *peerSet) pick(dst []byte, room int, noSeed bool, r *rand.Rand) []byte {
	all := s.peers
	for i := range all {
		j := i + r.IntN(len(all)-i)
		all[i], all[j] = all[j], all[i]
		if noSeed && all[i].seed {
			continue
		}
		before := len(dst)
		dst = krpc.AppendPeer(dst, all[i].addr)
		if len(dst) > room {
			return dst[:before]
		}
	}
	return dst
}

// filters returns the sets of seeds and of other peers (BEP 33).
func (s *peerSet) filters() (seeds, peers *krpc.Filter) {
	seeds, peers = new(krpc.Filter), new(krpc.Filter)
	for _, p := range s.peers {
		if p.seed {
			seeds.Add(p.addr.Addr())
		} else {
			peers.Add(p.addr.Addr())
		}
	}
	return seeds, peers
}

// samples returns some keys, one after another, how many there are, and after how many seconds others are returned (BEP 51).
func (s *peerStore) samples(now time.Duration, r *rand.Rand) (keys []byte, n, interval int64) {
	if s.sampled == 0 || now-s.sampled >= sampleLife {
		s.sample, s.sampled = s.sample[:0], max(now, 1)
		seen := 0
		for key := range s.sets {
			seen++
			if seen <= maxSamples {
				s.sample = append(s.sample, key[:]...)
			} else if i := r.IntN(seen); i < maxSamples {
				copy(s.sample[i*len(key):], key[:])
			}
		}
	}
	return s.sample, int64(len(s.sets)), int64((s.sampled + sampleLife - now + time.Second - 1) / time.Second)
}

// item is what BEP 44 has nodes keep for others.
type item struct {
	value   []byte
	mutable bool
	key     [32]byte
	sig     [64]byte
	seq     int64
	at      time.Duration
}

type itemStore struct {
	held map[krpc.ID]*item
	far  farthest[*item]
}

// put keeps an item that was checked.
func (s *itemStore) put(now time.Duration, self, key krpc.ID, it item) {
	if s.held[key] == nil && len(s.held) >= maxItems {
		worst, ok := s.far.beyond(s.held, self, key)
		if !ok {
			return
		}
		delete(s.held, worst)
	}
	if s.held == nil {
		s.held = map[krpc.ID]*item{}
	}
	it.at = now
	s.held[key] = &it
	s.far.added(self, key)
}

func (s *itemStore) sweep(now time.Duration) {
	for key, it := range s.held {
		if now-it.at > itemLife {
			delete(s.held, key)
		}
	}
}
