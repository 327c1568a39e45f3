package server

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"shoal/internal/accounts"
)

// caller sends requests to a server's handler as one user.
type caller struct {
	t     testing.TB
	h     http.Handler
	token string
}

const password = "correct horse"

// as returns a caller with a token of a new user.
func as(t testing.TB, s *Server, role accounts.Role) *caller {
	t.Helper()
	name := string(role) + "-user"
	if err := s.Accounts.AddUser(t.Context(), name, password, role); err != nil {
		t.Fatal(err)
	}
	secret, _, err := s.Accounts.AddToken(t.Context(), name, "test", role.Scopes(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return &caller{t, s.Handler(), secret}
}

func nobody(t testing.TB, s *Server) *caller { return &caller{t, s.Handler(), ""} }

func (c *caller) request(method, path string, body any) *http.Request {
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		r = strings.NewReader(b)
	default:
		j, err := json.Marshal(b)
		if err != nil {
			c.t.Fatal(err)
		}
		r = bytes.NewReader(j)
	}
	q := httptest.NewRequest(method, path, r)
	q.Host, q.RemoteAddr = "localhost:7462", "127.0.0.1:1234"
	if body != nil {
		q.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		q.Header.Set("Authorization", "Bearer "+c.token)
	}
	return q
}

func (c *caller) send(q *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	c.h.ServeHTTP(w, q)
	return w
}

// do sends a request below /api/v1 and wants a status.
func (c *caller) do(want int, method, path string, body any) *httptest.ResponseRecorder {
	c.t.Helper()
	w := c.send(c.request(method, prefix+path, body))
	if w.Code != want {
		c.t.Fatalf("%s %s: %d, want %d: %.500s", method, path, w.Code, want, w.Body)
	}
	return w
}

func (c *caller) get(path string, into any) {
	c.t.Helper()
	w := c.do(200, "GET", path, nil)
	if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
		c.t.Fatalf("%s: %v: %.500s", path, err, w.Body)
	}
}

// listen serves s on loopback and returns its address.
func listen(t testing.TB, s *Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// event is one of a stream.
type event struct{ name, data string }

// subscribe opens a stream of events.
func subscribe(t testing.TB, address, token, query string) (next func() event, end func()) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+address+prefix+"/events?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+token)
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	if r.StatusCode != 200 || r.Header.Get("Content-Type") != "text/event-stream" {
		b, _ := io.ReadAll(r.Body)
		t.Fatalf("%d %s", r.StatusCode, b)
	}
	t.Cleanup(func() { r.Body.Close() })
	lines := bufio.NewReaderSize(r.Body, 1<<20)
	return func() (e event) {
		t.Helper()
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			line = strings.TrimSuffix(line, "\n")
			if name, ok := strings.CutPrefix(line, "event: "); ok {
				e.name = name
			} else if data, ok := strings.CutPrefix(line, "data: "); ok {
				e.data = data
			} else if line == "" && e.name != "" {
				return e
			}
		}
	}, func() { r.Body.Close() }
}

func quick(s *Server) { s.tick = 5 * time.Millisecond }
