package server

import (
	"net/http"
	"strings"
	"sync"
)

// Count is how many requests to one of the APIs were answered with a code.
type Count struct {
	API  string // shoal, qbittorrent, transmission, stream, metrics, health, web
	Code int
	N    int64
}

// counts counts answers.
type counts struct {
	mu sync.Mutex
	n  map[Count]int64 // by API and code; N is 0
}

// Counts returns how requests were answered since the server was made.
func (s *Server) Counts() []Count {
	s.counts.mu.Lock()
	defer s.counts.mu.Unlock()
	var out []Count
	for c, n := range s.counts.n {
		c.N = n
		out = append(out, c)
	}
	return out
}

// Streams returns how many clients are told of changes as they happen.
func (s *Server) Streams() int { return s.streams.open() }

// counted counts answers.
func (s *Server) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &coded{ResponseWriter: w, code: http.StatusOK}
		api := apiOf(r.URL.Path)
		defer func() {
			s.counts.mu.Lock()
			defer s.counts.mu.Unlock()
			if s.counts.n == nil {
				s.counts.n = map[Count]int64{}
			}
			s.counts.n[Count{API: api, Code: c.code}]++
		}()
		h.ServeHTTP(c, r)
	})
}

// apiOf tells which API a path is of.
func apiOf(path string) string {
	for _, p := range []struct{ prefix, api string }{
		{prefix + "/", "shoal"}, {"/api/v2/", "qbittorrent"}, {"/transmission/", "transmission"}, {"/stream/", "stream"}, {"/metrics", "metrics"}, {"/healthz", "health"},
	} {
		if strings.HasPrefix(path, p.prefix) {
			return p.api
		}
	}
	return "web"
}

// coded notes the code of an answer.
type coded struct {
	http.ResponseWriter
	code int
}

func (c *coded) WriteHeader(code int) {
	if code >= 200 {
		c.code = code
	}
	c.ResponseWriter.WriteHeader(code)
}

// Unwrap is for http.ResponseController.
func (c *coded) Unwrap() http.ResponseWriter { return c.ResponseWriter }
