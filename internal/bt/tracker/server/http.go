package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"shoal/internal/bencode"
	"shoal/internal/ident"
)

// Bounds of HTTP.
const (
	maxConns    = 4096 // connections at a time
	maxConnsOne = 256  // of one IPv4 address or IPv6 /64
	maxHeader   = 8 << 10

	headerTime = 5 * time.Second // for a request to come
	answerTime = 10 * time.Second
	idleTime   = 30 * time.Second // between requests on one connection
	goodbye    = time.Second      // for answers under way when the server closes
)

func (s *Server) listenHTTP(ctx context.Context, addr string) error {
	l, err := s.cfg.Network.Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	s.listener = &gate{Listener: l, room: make(chan struct{}, maxConns), closed: s.closed, hosts: map[netip.Addr]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /announce", s.serve((*responder).announceHTTP))
	mux.HandleFunc("GET /scrape", s.serve((*responder).scrapeHTTP))
	mux.HandleFunc("GET /stats", s.serveStats)
	mux.HandleFunc("GET /metrics", s.serveMetrics)
	s.web = &http.Server{
		Handler: mux, ReadHeaderTimeout: headerTime, ReadTimeout: headerTime, WriteTimeout: answerTime, IdleTimeout: idleTime,
		MaxHeaderBytes: maxHeader, ErrorLog: log.New(io.Discard, "", 0), // it is of what strangers send
	}
	return nil
}

func (s *Server) closeHTTP() error {
	ctx, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	err := s.web.Shutdown(ctx)
	if err != nil {
		err = s.web.Close()
	}
	if bad := s.listener.Close(); !errors.Is(bad, net.ErrClosed) { // it was not yet served
		err = errors.Join(err, bad)
	}
	return err
}

// serve makes a handler of a method that appends the answer to a request.
func (s *Server) serve(answer func(r *responder, b []byte, query string, from netip.Addr, now time.Duration) []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) {
		from, err := netip.ParseAddrPort(q.RemoteAddr)
		if err != nil {
			http.Error(w, "who are you?", http.StatusBadRequest)
			return
		}
		r := s.responders.Get().(*responder)
		defer s.responders.Put(r)
		addr := from.Addr().Unmap().WithZone("")
		now := time.Since(s.start)
		if !s.limiter.allow(addr, now, 1) {
			r.limited.Add(1)
			r.out = appendRefusal(r.out[:0], "you ask too often", time.Minute)
		} else {
			r.out = answer(r, r.out[:0], q.URL.RawQuery, addr, now)
		}
		w.Header()["Content-Type"] = plainText
		_, _ = w.Write(r.out) // the client may be gone
		if cap(r.out) > maxKept {
			r.out = nil
		}
	}
}

// maxKept is the longest buffer that is kept for another answer. Only scrapes are longer.
const maxKept = 16 << 10

var plainText = []string{"text/plain"}

// appendRefusal appends a failure and the time after which to ask again (BEP 31).
func appendRefusal(b []byte, reason string, retry time.Duration) []byte {
	b = append(b, "d14:failure reason"...)
	b = bencode.AppendString(b, reason)
	b = append(b, "8:retry in"...)
	b = bencode.AppendInt(b, int64(math.Ceil(retry.Minutes())))
	return append(b, 'e')
}

func (r *responder) announceHTTP(b []byte, query string, from netip.Addr, now time.Duration) []byte {
	a, err := parseWebAnnounce(query)
	if err != nil {
		r.broken.Add(1)
		return appendRefusal(b, err.Error(), r.cfg.Interval)
	}
	a.addr = r.address(from, a.own)
	r.reply.both = true
	if err := r.announce(&a.announce, now); err != nil {
		return appendRefusal(b, err.Error(), r.cfg.Interval)
	}
	interval := r.interval()
	b = append(b, "d8:complete"...)
	b = bencode.AppendInt(b, int64(r.reply.seeds))
	b = append(b, "10:downloaded"...)
	b = bencode.AppendInt(b, int64(r.reply.downloads))
	b = append(b, "11:external ip"...) // BEP 24
	b = bencode.AppendBytes(b, from.AsSlice())
	b = append(b, "10:incomplete"...)
	b = bencode.AppendInt(b, int64(r.reply.leeches))
	b = append(b, "8:interval"...)
	b = bencode.AppendInt(b, int64(interval))
	b = append(b, "12:min interval"...)
	b = bencode.AppendInt(b, int64(interval+1)/2)
	b = append(b, "5:peers"...)
	if !a.compact {
		b = append(b, 'l')
		b = appendDicts(b, r.reply.v4, len(end4{}))
		b = appendDicts(b, r.reply.v6, len(end6{}))
		return append(b, 'e', 'e')
	}
	b = bencode.AppendBytes(b, r.reply.v4)
	if len(r.reply.v6) > 0 {
		b = append(b, "6:peers6"...) // BEP 7
		b = bencode.AppendBytes(b, r.reply.v6)
	}
	return append(b, 'e')
}

// appendDicts appends compact peers in the original form (BEP 3), without the ids, which nobody needs and which would be most of
// the tracker's memory.
func appendDicts(b, compact []byte, size int) []byte {
	for ; len(compact) >= size; compact = compact[size:] {
		addr, _ := netip.AddrFromSlice(compact[:size-2])
		b = append(b, "d2:ip"...)
		b = bencode.AppendString(b, addr.String())
		b = append(b, "4:port"...)
		b = bencode.AppendInt(b, int64(compact[size-2])<<8|int64(compact[size-1]))
		b = append(b, 'e')
	}
	return b
}

// fullScrapeCost is how many requests a scrape of everything counts for.
const fullScrapeCost = 1000

func (r *responder) scrapeHTTP(b []byte, query string, from netip.Addr, now time.Duration) []byte {
	r.scrapes.Add(1)
	names, err := parseWebScrape(query)
	switch {
	case err != nil:
		r.broken.Add(1)
		return appendRefusal(b, err.Error(), r.cfg.Interval)
	case len(names) > 0:
		slices.SortFunc(names, func(a, b ident.V1) int { return bytes.Compare(a[:], b[:]) })
		names = slices.Compact(names)
		b = append(b, "d5:filesd"...)
		for _, name := range names {
			b = appendFile(b, name, r.scrape(name, now))
		}
		return append(b, 'e', 'e')
	case !r.cfg.FullScrape:
		return appendRefusal(b, "name the torrents to scrape", r.cfg.Interval)
	case !r.limiter.allow(from, now, fullScrapeCost):
		r.limited.Add(1)
		return appendRefusal(b, "you ask too often", time.Minute)
	}
	return r.table.appendAll(b)
}

func appendFile(b []byte, name ident.V1, c counts) []byte {
	b = bencode.AppendBytes(b, name[:])
	b = append(b, "d8:complete"...)
	b = bencode.AppendInt(b, int64(c.seeds))
	b = append(b, "10:downloaded"...)
	b = bencode.AppendInt(b, int64(c.downloads))
	b = append(b, "10:incomplete"...)
	b = bencode.AppendInt(b, int64(c.leeches))
	return append(b, 'e')
}

func (s *Server) serveStats(w http.ResponseWriter, q *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s.Stats())
}

func (s *Server) serveMetrics(w http.ResponseWriter, q *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	st := s.Stats()
	writeMetrics(w, &st)
}
