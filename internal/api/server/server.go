// Package server serves a node's own REST API, its events and its web UI, and guards what is mounted beside them.
//
// A request passes these, in order: the proxy's word, if the proxy is trusted (proxy.go); the security headers; the list of host names against
// DNS rebinding; the check against forged requests of other sites (guard.go); who asks (auth.go); then its handler.
package server

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"shoal/internal/accounts"
	"shoal/internal/api"
	"shoal/internal/logring"
)

// Config is what the server stands on. Library, Accounts and Log are needed; what else is nil is not served.
type Config struct {
	Library   Library
	Accounts  *accounts.Accounts
	Settings  Settings
	Documents Documents
	Doctor    func(context.Context) []api.Check
	Log       *logring.Ring
	Logger    *slog.Logger // nil: none
	Version   string
	Access    Access

	Web       fs.FS // the web UI
	Stream    http.Handler
	StreamURL func(id string, index int, path string) string // path below /stream/ at which Stream serves a file, "" for none
	Metrics   http.Handler
	Health    http.Handler // answers /healthz, which needs no login; nil: who answers is well
	// Each is told who asks by accounts.FromContext, which may be nobody.
	QBittorrent, Transmission http.Handler
}

// Access says from where the server may be used, and what of the machine it shows. It may change while the server runs.
type Access struct {
	Names          []string       // host names by which it is reached, beside localhost and addresses
	BasePath       string         // below which all is served, "/shoal"
	TrustedProxies []netip.Prefix // whose X-Forwarded headers count
	Roots          []string       // folders that may be looked into; absolute
	OpenMetrics    bool           // metrics without a login

	NoQBittorrent, NoTransmission bool // do not answer as these
}

// Server serves. Its methods may be called from any goroutine.
type Server struct {
	Config
	api     huma.API
	access  atomic.Pointer[access]
	static  *static
	streams streams
	lists   lists
	counts  counts
	csrf    *http.CrossOriginProtection
	handler http.Handler
	tick    time.Duration // between events
	done    chan struct{} // closed when the server stops
	stopped atomic.Bool

	headerTimeout, eventDeadline time.Duration
	connections                  atomic.Int64
	maxConnections               int64
}

// New returns a server that serves nothing yet.
func New(c Config) (*Server, error) {
	if c.Library == nil || c.Accounts == nil || c.Log == nil {
		return nil, errors.New("the server needs a library, accounts and a log")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{Config: c, csrf: http.NewCrossOriginProtection(), tick: time.Second, done: make(chan struct{}),
		headerTimeout: headerTimeout, eventDeadline: eventDeadline, maxConnections: maxConnections}
	if err := s.SetAccess(c.Access); err != nil {
		return nil, err
	}
	s.streams.kicked = make(chan struct{})
	s.handler = s.routes()
	return s, nil
}

// routes mounts everything behind the guards.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	s.mountAPI(mux)
	health := s.Health
	if health == nil {
		health = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	}
	mux.Handle("GET /healthz", limited(health))
	if s.Metrics != nil {
		mux.Handle("GET /metrics", limited(s.needMetrics(s.Metrics)))
	}
	if s.Stream != nil {
		mux.Handle("/stream/", patient(s.Stream)) // its URLs are secrets
	}
	if s.QBittorrent != nil {
		mux.Handle("/api/v2/", limited(s.unless(func(a *access) bool { return a.NoQBittorrent }, compressed(s.QBittorrent))))
	}
	if s.Transmission != nil {
		mux.Handle("/transmission/", limited(s.unless(func(a *access) bool { return a.NoTransmission }, compressed(s.Transmission))))
	}
	if s.Web != nil {
		s.static = &static{files: s.Web}
		mux.Handle("/", limited(s.static))
	}
	return s.proxied(s.guarded(s.identified(s.counted(mux))))
}

// unless serves nothing while off says so.
func (s *Server) unless(off func(*access) bool, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if off(s.access.Load()) {
			problem(w, http.StatusNotFound, "this API is off: see the settings")
			return
		}
		h.ServeHTTP(w, r)
	})
}

// Bounds of a connection.
const (
	headerTimeout = 10 * time.Second
	bodyTimeout   = 5 * time.Minute  // of a request with a body
	writeTimeout  = 2 * time.Minute  // of an answer that is not a stream
	idleTimeout   = 90 * time.Second // between requests
	stallTimeout  = 15 * time.Minute // of a stream that its client does not read, as when a player pauses; it asks again then
	maxHeader     = 64 << 10         // bytes

	maxConnections = 4096 // at a time; more are closed at once
)

// Serve serves what comes by a listener until Stop. It returns nil then.
func (s *Server) Serve(l net.Listener) error { return s.serve(l, s.handler) }

// ServeLocal serves whoever could connect to l as admin: for a socket in a folder that only its owner may enter.
func (s *Server) ServeLocal(l net.Listener) error { return s.serve(l, s.local(s.handler)) }

func (s *Server) serve(l net.Listener, h http.Handler) error {
	hs := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: s.headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ConnState:         s.count,
		ErrorLog:          slog.NewLogLogger(s.Logger.Handler(), slog.LevelDebug),
	}
	go func() {
		<-s.done
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		if hs.Shutdown(ctx) != nil {
			hs.Close()
		}
	}()
	err := hs.Serve(l)
	if s.stopped.Load() {
		return nil
	}
	return err
}

// count closes connections that are too many, before anything is read from them.
func (s *Server) count(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if s.connections.Add(1) > s.maxConnections {
			c.Close()
		}
	case http.StateClosed, http.StateHijacked:
		s.connections.Add(-1)
	}
}

// Stop ends every stream and listener. What is being answered has three seconds.
func (s *Server) Stop() {
	if !s.stopped.Swap(true) {
		close(s.done)
	}
}

// Handler serves requests that come by other listeners than Serve's.
func (s *Server) Handler() http.Handler { return s.handler }

// limited bounds how long a request and its answer may take.
func limited(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		now := time.Now()
		_ = c.SetReadDeadline(now.Add(bodyTimeout))
		_ = c.SetWriteDeadline(now.Add(bodyTimeout + writeTimeout))
		r.Body = http.MaxBytesReader(w, r.Body, maxUpload)
		h.ServeHTTP(w, r)
	})
}

// patient bounds how long a client of a stream may take for each part of it.
func patient(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(&patientWriter{w, http.NewResponseController(w)}, r)
	})
}

type patientWriter struct {
	http.ResponseWriter
	conn *http.ResponseController
}

// Unwrap is for http.ResponseController.
func (p *patientWriter) Unwrap() http.ResponseWriter { return p.ResponseWriter }

func (p *patientWriter) Write(b []byte) (int, error) {
	_ = p.conn.SetWriteDeadline(time.Now().Add(stallTimeout))
	return p.ResponseWriter.Write(b)
}
