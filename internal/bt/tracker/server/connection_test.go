package server

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// The vector of SipHash's authors: the key 00 01 … 0f and the input 00 01 … 0e (appendix A of the paper).
func TestSipHash(t *testing.T) {
	s := newSIP(&idKey{0x0706050403020100, 0x0f0e0d0c0b0a0908})
	s.word(0x0706050403020100)
	if got := s.sum(0x0f0e0d0c0b0a0908); got != 0xa129ca6149be45e5 {
		t.Errorf("%#x", got)
	}
}

func TestConnectionID(t *testing.T) {
	k, other := newIDKey(), newIDKey()
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	for _, begin := range []time.Duration{0, 59 * time.Second, time.Minute, 200 * time.Second, 1000 * time.Hour} {
		id := k.make(a, begin)
		for age := time.Duration(0); age < 20*time.Minute; age += 7 * time.Second {
			got := k.valid(id, a, begin+age)
			if age <= 2*time.Minute && !got || age > 3*time.Minute && got {
				t.Errorf("an id of %v is valid after %v: %v", begin, age, got)
			}
		}
		if k.valid(id, b, begin) || other.valid(id, a, begin) || k.valid(id^1<<40, a, begin) || k.valid(id^1, a, begin) {
			t.Error("a wrong id is valid")
		}
		if begin > 0 && k.valid(id, a, begin-time.Minute) && begin >= time.Hour {
			t.Error("an id is valid before it was made")
		}
	}
	for range 10_000 { // and before the first minutes are over
		if k.valid(rand.Uint64(), a, 0) {
			t.Error("a random id is valid")
		}
	}
}

func TestLimiter(t *testing.T) {
	l := newLimiter(10, 100)
	flood, quiet := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	now := time.Hour
	passed := 0
	for range 10_000 {
		if l.allow(flood, now, 1) {
			passed++
		}
	}
	if passed != 100 {
		t.Errorf("%d pass at once, want 100", passed)
	}
	for range 100 { // 10 s with a flood of 1,000 a second
		now += 100 * time.Millisecond
		for range 100 {
			if l.allow(flood, now, 1) {
				passed++
			}
		}
		if !l.allow(quiet, now, 1) {
			t.Error("a quiet host is refused")
		}
	}
	if passed != 200 {
		t.Errorf("%d pass in ten seconds, want 200", passed)
	}
	six := netip.MustParseAddr("2001:db8::1")
	if !l.allow(six, now, 100) || l.allow(netip.MustParseAddr("2001:db8::ffff:1"), now, 1) || !l.allow(netip.MustParseAddr("2001:db8:0:1::1"), now, 1) {
		t.Error("IPv6 is not limited by /64")
	}
	if free := newLimiter(-1, -1); !free.allow(flood, now, 1<<30) {
		t.Error("there is a limit where none was wanted")
	}
}

// A flood from many addresses hardly touches others: with a fifth of the cells of both rows exhausted, about a 25th of the hosts.
func TestLimiterSharesCells(t *testing.T) {
	l := newLimiter(10, 10)
	for n := range limiterCells / 5 {
		l.allow(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), 0, 10)
	}
	refused := 0
	for n := range 10_000 {
		if !l.allow(netip.AddrFrom4([4]byte{11, byte(n >> 16), byte(n >> 8), byte(n)}), 0, 1) {
			refused++
		}
	}
	if refused > 600 {
		t.Errorf("%d of 10,000 are refused for others' floods", refused)
	}
}
