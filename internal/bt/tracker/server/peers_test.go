package server

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
)

func nth(n int) end4 {
	return toEnd4(netip.AddrFrom4([4]byte{11, byte(n >> 16), byte(n >> 8), byte(n)}), 6881)
}

// check fails the test where a list contradicts itself.
func check[E endpoint[E]](t *testing.T, l *list[E]) {
	t.Helper()
	if l.seeds < 0 || l.seeds > len(l.peers) {
		t.Fatalf("%d seeds of %d", l.seeds, len(l.peers))
	}
	if l.index == nil {
		if len(l.peers) > maxScan {
			t.Fatalf("%d peers without an index", len(l.peers))
		}
		return
	}
	if len(l.index) != len(l.peers) {
		t.Fatalf("%d in the index of %d", len(l.index), len(l.peers))
	}
	for i := range l.peers {
		if at, ok := l.index[l.peers[i].end]; !ok || int(at) != i {
			t.Fatalf("peer %d is at %d, %v", i, at, ok)
		}
	}
}

// A list does as a map would, whatever comes, with and without an index.
func TestListModel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	type state struct {
		seed bool
		seen tick
	}
	var l list[end4]
	model := map[end4]state{}
	now := tick(0)
	for step := range 20_000 {
		pool := 40
		if step/2000%2 == 1 {
			pool = 600
		}
		e := nth(r.IntN(pool))
		i := l.find(e)
		if _, ok := model[e]; ok != (i >= 0) {
			t.Fatalf("step %d: found at %d, in the model: %v", step, i, ok)
		}
		switch {
		case r.IntN(3) == 0 && i >= 0:
			l.remove(i)
			delete(model, e)
		default:
			if i < 0 {
				i = l.add(e)
			}
			seed := r.IntN(2) == 0
			l.peers[i].seen = now
			l.mark(i, seed)
			model[e] = state{seed, now}
		}
		if step%30 == 0 {
			now++
			l.expire(now)
			for e, s := range model {
				if now-s.seen > lifeTicks {
					delete(model, e)
				}
			}
		}
		if step%16 == 0 {
			check(t, &l)
			if len(l.peers) != len(model) {
				t.Fatalf("step %d: %d peers, want %d", step, len(l.peers), len(model))
			}
			for i := range l.peers {
				if s, ok := model[l.peers[i].end]; !ok || s.seed != (i < l.seeds) || s.seen != l.peers[i].seen {
					t.Fatalf("step %d: peer %d is %v, want %v, %v", step, i, l.peers[i], s, ok)
				}
			}
		}
	}
	for len(l.peers) > 0 {
		l.remove(r.IntN(len(l.peers)))
	}
	if check(t, &l); cap(l.peers) > 16 {
		t.Errorf("room for %d peers is kept for none", cap(l.peers))
	}
}

// everyone returns a list of n peers, of which the first are seeds.
func everyone(n, seeds int) *list[end4] {
	l := &list[end4]{}
	for i := range n {
		l.mark(l.add(nth(i)), i < seeds)
	}
	return l
}

// split returns the peers of an answer, and fails the test if one comes twice.
func split(t *testing.T, b []byte) map[int]bool {
	t.Helper()
	got := map[int]bool{}
	for ; len(b) >= 6; b = b[6:] {
		n := int(binary.BigEndian.Uint32(b)) & 0xffffff
		if got[n] {
			t.Fatalf("peer %d comes twice", n)
		}
		got[n] = true
	}
	if len(b) > 0 {
		t.Fatal("a peer is cut off")
	}
	return got
}

func TestAppendSome(t *testing.T) {
	for _, c := range []struct {
		name                    string
		peers, seeds, want, get int
		asker                   asker[end4]
	}{
		{"nobody", 0, 0, 50, 0, asker[end4]{}},
		{"none wanted", 30, 3, 0, 0, asker[end4]{}},
		{"all", 30, 3, 50, 30, asker[end4]{}},
		{"all but itself", 30, 3, 50, 29, asker[end4]{end: nth(5)}},
		{"as many as wanted", 30, 3, 30, 30, asker[end4]{}},
		{"some", 1000, 100, 50, 50, asker[end4]{}},
		{"some, itself known", 1000, 100, 50, 50, asker[end4]{end: nth(5)}},
		{"seeds do not want seeds", 30, 20, 50, 10, asker[end4]{seed: true}},
		{"some leeches", 1000, 500, 50, 50, asker[end4]{seed: true}},
		{"seeds alone", 30, 30, 50, 0, asker[end4]{seed: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, r := everyone(c.peers, c.seeds), random(1)
			for range 20 {
				got := split(t, l.appendSome(nil, c.want, &c.asker, &r))
				if len(got) != c.get {
					t.Fatalf("%d peers, want %d", len(got), c.get)
				}
				for n := range got {
					if c.asker.seed && n < c.seeds || nth(n) == c.asker.end || n >= c.peers {
						t.Errorf("peer %d is told", n)
					}
				}
			}
		})
	}
}

// Everybody has the same chance.
func TestAppendSomeIsFair(t *testing.T) {
	const peers, rounds, want = 130, 20_000, 50
	l, r := everyone(peers, 20), random(7)
	var times [peers]int
	var b []byte
	for range rounds {
		b = l.appendSome(b[:0], want, &asker[end4]{}, &r)
		for n := range split(t, b) {
			times[n]++
		}
	}
	for n, got := range times { // runs are of 2 or 3 peers, so chances differ by as much
		if share := float64(got) / rounds; share < 0.3 || share > 0.55 {
			t.Errorf("peer %d is told in %.2f of the answers, want about %.2f", n, share, float64(want)/peers)
		}
	}
}

// What reaches less far than the asker is not told, and others are told in its place.
func TestScopes(t *testing.T) {
	for addr, want := range map[string]scope{
		"8.8.8.8": public, "2001:4860::1": public, "10.0.0.1": private, "192.168.1.1": private, "172.16.0.1": private, "100.64.0.1": private,
		"169.254.1.1": private, "fe80::1": private, "fd00::1": private, "127.0.0.1": loopback, "127.9.9.9": loopback, "::1": loopback,
	} {
		if got := scopeOf(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s has scope %d, want %d", addr, got, want)
		}
	}
	l, r := everyone(600, 0), random(3)
	for i := range l.peers {
		l.peers[i].scope = scope(i % 3)
	}
	for s := public; s <= loopback; s++ {
		got := split(t, l.appendSome(nil, 100, &asker[end4]{scope: s}, &r))
		if len(got) != 100 {
			t.Errorf("scope %d is told of %d", s, len(got))
		}
		for n := range got {
			if scope(n%3) > s {
				t.Errorf("scope %d is told of scope %d", s, n%3)
			}
		}
	}
}

func TestTickExpiry(t *testing.T) {
	for seen := range 256 {
		for age := -20; age < 200; age++ {
			if got := tick(seen).expired(tick(seen + age)); got != (age > lifeTicks) {
				t.Fatalf("age %d: expired is %v", age, got)
			}
		}
	}
}
