package lsd

import (
	"slices"
	"testing"
	"time"

	"shoal/internal/ident"
)

func TestSchedule(t *testing.T) {
	now := time.Unix(1e9, 0)
	var s schedule
	if at, ok := s.at(now); ok || s.due(now, 9) != nil {
		t.Error("empty, but due at", at)
	}
	s.add(name(1), now.Add(2*time.Second))
	s.add(name(2), now.Add(time.Second)) // sooner: both go then
	s.add(name(2), now.Add(time.Hour))
	if at, ok := s.at(now); !ok || at != now.Add(time.Second) || s.due(now, 9) != nil {
		t.Error(at, ok)
	}
	now = now.Add(time.Second)
	if got := s.due(now, 9); !slices.Equal(got, []ident.V1{name(1), name(2)}) {
		t.Error(got)
	}
	s.remove(name(1))
	s.add(name(1), now)
	if got := s.due(now, 9); !slices.Equal(got, []ident.V1{name(1), name(2)}) {
		t.Error(got)
	}
	s.remove(name(1))
	s.add(name(3), now)
	got := s.due(now, 1)
	if !slices.Equal(got, []ident.V1{name(2)}) {
		t.Error(got)
	}
	s.sent(now, got)
	if got = s.due(now, 9); !slices.Equal(got, []ident.V1{name(3)}) {
		t.Error(got)
	}
	s.sent(now, got)
	for i := range 4 { // three more at once, and then one a minute
		s.add(name(9), now)
		if i < 3 {
			s.sent(now, s.due(now, 9))
		}
	}
	if at, ok := s.at(now); !ok || at != now.Add(shortest) || s.due(now, 9) != nil {
		t.Error(at, ok)
	}
	now = now.Add(time.Hour)
	s.sent(now, s.due(now, 9))
	for range 1000 {
		s.add(name(5), now)
		s.remove(name(5))
	}
	if len(s.order) > 2*maxNames {
		t.Errorf("%d names are remembered", len(s.order))
	}
	if s.credit != burst-1 {
		t.Errorf("after an hour %d are left", s.credit)
	}
}

// BenchmarkSchedule sends one announce while 10,000 torrents wait for their turn.
func BenchmarkSchedule(b *testing.B) {
	now := time.Unix(1e9, 0)
	var s schedule
	for i := range 10000 {
		s.add(name(i), now)
	}
	for b.Loop() {
		now = now.Add(shortest)
		names := s.due(now, 25)
		s.sent(now, names)
		for _, n := range names {
			s.add(n, now)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	m := message{port: 6881, cookie: "0123456789abcdef"}
	for i := range 25 {
		m.names = append(m.names, name(i))
	}
	text, _ := m.bytes(groups[1].String())
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
