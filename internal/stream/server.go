package stream

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/torrent"
)

// Server serves the files of torrents to players:
//
//	/stream/{key}/{id}/{index}/{name}        a file; ranges (RFC 9110 §14), so that players can seek
//	/stream/{key}/{id}/{index}/{name}.vtt    SubRip subtitles as WebVTT
//	/stream/{key}/{id}/{index}/file.strm     a file that names the first
//	/stream/{key}/{id}/playlist.m3u          all that can be played
//
// There is no login: who knows the key of a torrent may read it. It is told from a secret and the torrent's id, so a link stays good.
type Server struct {
	secret []byte
	find   func(id string) *torrent.Torrent
	opts   Options
	mux    *http.ServeMux
	open   atomic.Int64 // requests being answered
	sent   atomic.Int64
	gone   lingering
}

// patience is how long a request waits for content to become known.
const patience = 30 * time.Second

// maxRanges is how many ranges are served in one answer. For more, the answer is the whole file, as RFC 9110 §14.2 allows.
const maxRanges = 16

// NewServer returns a server. find returns a torrent by its id, 40 lower-case hexadecimal digits, or nil.
func NewServer(secret []byte, find func(id string) *torrent.Torrent, o Options) *Server {
	s := &Server{secret: secret, find: find, opts: o, mux: http.NewServeMux()}
	s.mux.HandleFunc("GET /stream/{key}/{id}/playlist.m3u", s.with(s.playlist))
	s.mux.HandleFunc("GET /stream/{key}/{id}/{index}/{name}", s.with(s.file))
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.open.Add(1)
	defer s.open.Add(-1)
	s.mux.ServeHTTP(&metered{w, &s.sent}, r)
}

// Serving returns how many requests are being answered, and the bytes sent since the server was made.
func (s *Server) Serving() (requests int, bytes int64) { return int(s.open.Load()), s.sent.Load() }

// metered counts what is sent.
type metered struct {
	http.ResponseWriter
	sent *atomic.Int64
}

func (m *metered) Write(b []byte) (int, error) {
	n, err := m.ResponseWriter.Write(b)
	m.sent.Add(int64(n))
	return n, err
}

// Unwrap is for http.ResponseController.
func (m *metered) Unwrap() http.ResponseWriter { return m.ResponseWriter }

// Key returns what a torrent's links hold instead of a login.
func (s *Server) Key(id string) string {
	m := hmac.New(sha256.New, s.secret)
	io.WriteString(m, "stream\x00"+id)
	return hex.EncodeToString(m.Sum(nil)[:16])
}

// URL returns where a file is served: below base, such as http://127.0.0.1:7462, by the last part of its path.
func (s *Server) URL(base, id string, index int, name string) string {
	return fmt.Sprintf("%s/stream/%s/%s/%d/%s", strings.TrimSuffix(base, "/"), s.Key(id), id, index, url.PathEscape(path.Base(name)))
}

// PlaylistURL returns where the playlist of a torrent is served.
func (s *Server) PlaylistURL(base, id string) string {
	return fmt.Sprintf("%s/stream/%s/%s/playlist.m3u", strings.TrimSuffix(base, "/"), s.Key(id), id)
}

// served is one request for content of a torrent.
type served struct {
	http.ResponseWriter
	*http.Request
	t    *torrent.Torrent
	id   string
	info *metainfo.Info
}

// with finds the torrent that a request is for, checks its key, and waits until the content is known.
func (s *Server) with(serve func(*served)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "private, no-transform")
		id := r.PathValue("id")
		if !hmac.Equal([]byte(r.PathValue("key")), []byte(s.Key(id))) {
			http.NotFound(w, r)
			return
		}
		t := s.find(id)
		if t == nil {
			http.NotFound(w, r)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		select {
		case <-t.Settled():
		case <-ctx.Done():
		}
		info := t.Info()
		if info == nil {
			h.Set("Retry-After", "10")
			http.Error(w, "the content is not known yet: its metadata is still being fetched", http.StatusServiceUnavailable)
			return
		}
		serve(&served{w, r, t, id, info})
	}
}

// file serves one file, or what is made of it.
func (s *Server) file(q *served) {
	index, err := strconv.Atoi(q.PathValue("index"))
	if err != nil || index < 0 || index >= len(q.info.Layout.Files) {
		http.NotFound(q, q.Request)
		return
	}
	f := &q.info.Layout.Files[index]
	asked := q.PathValue("name")
	switch {
	case asked == "file.strm":
		q.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(q, s.URL(base(q.Request), q.id, index, f.Path)+"\n")
	case strings.HasSuffix(asked, ".vtt") && extension(f.Path) == "srt":
		s.subtitles(q, index)
	default:
		s.content(q, index)
	}
}

// Header, of both an answer and a request, is the answer's.
func (q *served) Header() http.Header { return q.ResponseWriter.Header() }

func (q *served) Write(p []byte) (int, error) { return q.ResponseWriter.Write(p) }

// content serves a file as it is.
func (s *Server) content(q *served, index int) {
	f := &q.info.Layout.Files[index]
	mediaType, show := typeOf(f.Path)
	disposition := "attachment"
	if show {
		disposition = "inline"
	}
	h := q.Header()
	h.Set("Content-Type", mediaType)
	if d := mime.FormatMediaType(disposition, map[string]string{"filename": path.Base(f.Path)}); d != "" {
		disposition = d
	}
	h.Set("Content-Disposition", disposition)
	h.Set("ETag", fmt.Sprintf(`"%s-%d"`, q.info.Hash.Key(), index))
	if q.Request.Header.Get("getcontentFeatures.dlna.org") == "1" { // a renderer asks whether it may seek
		h.Set("contentFeatures.dlna.org", "DLNA.ORG_OP=01")
		h.Set("transferMode.dlna.org", "Streaming")
	}
	if strings.Count(q.Request.Header.Get("Range"), ",") >= maxRanges {
		q.Request.Header.Del("Range")
	}
	r := &late{ctx: q.Context(), s: s, file: file{q.t, index}, size: f.Length}
	defer r.Close()
	http.ServeContent(q.ResponseWriter, q.Request, "", time.Time{}, r)
}

// subtitles serves SubRip subtitles as WebVTT.
func (s *Server) subtitles(q *served, index int) {
	if n := q.info.Layout.Files[index].Length; n > maxSubtitles {
		http.Error(q, fmt.Sprintf("subtitles of %d bytes: more than %d are not converted", n, maxSubtitles), http.StatusRequestEntityTooLarge)
		return
	}
	if q.Method == http.MethodHead {
		q.Header().Set("Content-Type", types["vtt"])
		return
	}
	r, err := Open(q.Context(), q.t, index, s.opts)
	var b []byte
	if err == nil {
		b, err = io.ReadAll(r)
		r.Close()
	}
	switch {
	case q.Context().Err() != nil:
	case err != nil:
		http.Error(q, "reading the subtitles: "+err.Error(), http.StatusServiceUnavailable)
	default:
		q.Header().Set("Content-Type", types["vtt"])
		_, _ = q.Write(WebVTT(b)) // a client that is gone
	}
}

// late is a Reader that is opened once something is read: a request for headers, or for a range that there is not, reads nothing.
// What it has fetched goes on for a while after its end; see lingering.
type late struct {
	ctx  context.Context
	s    *Server
	file file
	size int64
	pos  int64
	r    *Reader
}

func (l *late) Read(p []byte) (int, error) {
	if l.r == nil {
		r, err := Open(l.ctx, l.file.t, l.file.index, l.s.opts)
		if err != nil {
			return 0, err
		}
		l.r = r
		r.begin(l.pos)
		l.s.gone.end(l.file)
	}
	if _, err := l.r.Seek(l.pos, io.SeekStart); err != nil {
		return 0, err
	}
	n, err := l.r.Read(p)
	l.pos += int64(n)
	return n, err
}

func (l *late) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += l.pos
	case io.SeekEnd:
		offset += l.size
	}
	if offset < 0 {
		return 0, errors.New("seek before the beginning")
	}
	l.pos = offset
	return offset, nil
}

func (l *late) Close() {
	if l.r != nil {
		l.s.gone.keep(l.file, l.r)
	}
}

// base returns how the client reached us.
func base(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}
