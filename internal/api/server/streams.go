package server

import (
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"shoal/internal/accounts"
	"shoal/internal/library"
)

// Bounds of streams of events. Each costs a goroutine, its window, and a look at the list each second.
const (
	maxStreams    = 500
	maxPerLogin   = 20
	tryAgainAfter = "30" // seconds
)

// streams counts those that are open.
type streams struct {
	mu     sync.Mutex
	all    int
	by     map[string]int
	kicked chan struct{} // closed when there may be news before the next tick
}

// take takes a place, or tells to come back later.
func (s *streams) take(who accounts.Identity) (release func(), err error) {
	key := who.Name // a user's browsers and programs together
	if who.Token != "" {
		key = "token " + who.Token
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by == nil {
		s.by = map[string]int{}
	}
	if s.all >= maxStreams || s.by[key] >= maxPerLogin {
		return nil, huma.ErrorWithHeaders(huma.Error503ServiceUnavailable("there are too many streams of events: close some"),
			http.Header{"Retry-After": {tryAgainAfter}, "Connection": {"close"}})
	}
	s.all++
	s.by[key]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		if s.by[key]--; s.by[key] == 0 {
			delete(s.by, key)
		}
	}, nil
}

// open returns how many are.
func (s *streams) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}

// kick wakes every stream: somebody has done something, and wants to see it.
func (s *streams) kick() {
	s.mu.Lock()
	close(s.kicked)
	s.kicked = make(chan struct{})
	s.mu.Unlock()
}

func (s *streams) news() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kicked
}

// lists shares what the library answers among streams that ask for the same at the same time, and has it asked by one at a time: streams may
// so be late when there are many, and never take more than a core from the torrents.
type lists struct {
	mu    sync.Mutex
	known map[string]listed
}

type listed struct {
	page library.Page
	at   time.Time
}

// maxLists is how many answers are kept, each for half of a tick.
const maxLists = 64

func (l *lists) get(s *Server, key string, q library.Query) (library.Page, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	revision := s.Library.Revision()
	if p, ok := l.known[key]; ok && p.page.Revision == revision && time.Since(p.at) < s.tick/2 {
		return p.page, nil
	}
	p, err := s.List(q)
	if err != nil {
		return p, err
	}
	if l.known == nil || len(l.known) >= maxLists {
		l.known = map[string]listed{}
	}
	l.known[key] = listed{p, time.Now()}
	return p, nil
}
