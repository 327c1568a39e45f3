package bitfield

import (
	"errors"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		n    int
		wire []byte
		err  error
	}{
		{0, nil, nil}, {1, []byte{0x80}, nil}, {8, []byte{0xff}, nil}, {9, []byte{0xff, 0x80}, nil},
		{9, []byte{0xff}, ErrLength}, {9, []byte{0xff, 0x80, 0}, ErrLength}, {9, []byte{0xff, 0xc0}, ErrSpare}, {1, []byte{1}, ErrSpare},
	} {
		s, err := Parse(c.n, c.wire)
		if !errors.Is(err, c.err) {
			t.Errorf("Parse(%d, %x) = %v, want %v", c.n, c.wire, err, c.err)
		}
		if err == nil && !s.All() {
			t.Errorf("Parse(%d, %x) holds %d", c.n, c.wire, s.Count())
		}
	}
}

func TestSetAndShared(t *testing.T) {
	const n = 77
	s, sh := New(n), NewShared(n)
	for i := 0; i < n; i += 3 {
		s.Add(i)
		sh.Add(i)
		sh.Add(i)
	}
	s.Remove(3)
	sh.Remove(3)
	sh.Remove(4)
	snap := sh.Snapshot()
	if string(snap.Bytes()) != string(s.Bytes()) || snap.Count() != s.Count() || sh.Count() != s.Count() || s.Count() != 25 {
		t.Fatalf("%x %d, %x %d %d", s.Bytes(), s.Count(), snap.Bytes(), snap.Count(), sh.Count())
	}
	if s.Has(-1) || s.Has(n) || sh.Has(-1) || sh.Has(n) || s.Has(3) || !s.Has(6) {
		t.Fatal("Has")
	}
	c := s.Clone()
	c.Fill()
	if !c.All() || s.All() {
		t.Fatal("Fill or Clone")
	}
	if p, err := Parse(n, c.Bytes()); err != nil || !p.All() {
		t.Fatal("Fill sets spare bits", err)
	}
}
