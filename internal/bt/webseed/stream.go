package webseed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"shoal/internal/layout"
)

// cheapSkip is how many bytes may be thrown away of a file that a server sends from its beginning, whatever was asked.
const cheapSkip = 1 << 20

// failure is why a seed cannot be used. Without retry the usual back-off applies.
type failure struct {
	what  string
	retry time.Duration
}

func (f *failure) Error() string { return f.what }

func failed(retry time.Duration, format string, args ...any) error {
	return &failure{fmt.Sprintf(format, args...), retry}
}

// stream reads a range of the torrent's address space, with one HTTP request for each file or piece that it touches.
// Gaps read as zeros.
type stream struct {
	seed     *Seed
	ctx      context.Context
	off, end int64 // what is not yet asked for
	left     int64 // bytes to come of what was asked for
	body     io.ReadCloser
	watch    *watch
}

// Read implements io.Reader.
func (st *stream) Read(p []byte) (int, error) {
	if st.left == 0 {
		if err := st.open(); err != nil {
			return 0, err
		}
	}
	p = p[:min(int64(len(p)), st.left)]
	n := len(p)
	if st.body == nil {
		clear(p)
	} else {
		var err error
		if n, err = st.body.Read(p); n == 0 && err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = failed(0, "the body ends %d bytes too early", st.left)
			}
			return 0, err
		}
	}
	if st.left -= int64(n); st.left == 0 {
		st.shut()
	}
	return n, nil
}

func (st *stream) close() {
	st.shut()
	st.watch.stop()
}

func (st *stream) shut() {
	if st.body != nil {
		st.body.Close()
		st.body = nil
	}
}

// open asks for the next part.
func (st *stream) open() error {
	if st.off == st.end {
		return io.EOF
	}
	s := st.seed
	if s.kind == HTTPSeeds {
		return st.openPiece()
	}
	var span layout.Span
	s.info.Layout.Spans(st.off, st.end-st.off, func(next layout.Span) bool {
		span = next
		return false
	})
	if span.File >= 0 {
		if err := st.openFile(span); err != nil {
			return err
		}
	}
	st.off += span.Length
	st.left = span.Length
	return nil
}

// openPiece asks a BEP 17 server for the rest, which is in one piece.
func (st *stream) openPiece() error {
	l := &st.seed.info.Layout
	piece := st.off / l.PieceLength
	begin, end := st.off-piece*l.PieceLength, st.end-piece*l.PieceLength
	join := "?"
	if strings.Contains(st.seed.url, "?") {
		join = "&"
	}
	hash := st.seed.info.Hash.Key()
	at := fmt.Sprintf("%s%sinfo_hash=%s&piece=%d&ranges=%d-%d", st.seed.url, join, strings.ReplaceAll(url.QueryEscape(string(hash[:])), "+", "%20"), piece, begin, end-1)
	r, err := st.get(at, "")
	if err != nil {
		return err
	}
	if r.StatusCode != http.StatusOK {
		return st.refusal(r)
	}
	if r.ContentLength >= 0 && r.ContentLength < end-begin {
		r.Body.Close()
		return failed(0, "the server sends %d bytes of %d", r.ContentLength, end-begin)
	}
	st.body = &watched{r.Body, st.watch}
	st.left = st.end - st.off
	st.off = st.end
	return nil
}

// openFile asks a BEP 19 server for a part of a file.
func (st *stream) openFile(span layout.Span) error {
	size := st.seed.info.Layout.Files[span.File].Length
	asked := fmt.Sprintf("bytes=%d-%d", span.Offset, span.Offset+span.Length-1)
	if span.Length == size {
		asked = "" // the whole file: even a server that knows no ranges can send it
	}
	r, err := st.get(st.seed.fileURL(span.File), asked)
	if err != nil {
		return err
	}
	var skip int64
	switch {
	case r.StatusCode == http.StatusPartialContent && asked != "":
		err = checkRange(r.Header.Get("Content-Range"), span, size)
	case r.StatusCode == http.StatusOK:
		skip = span.Offset
		if r.ContentLength >= 0 && r.ContentLength != size {
			err = failed(gone, "the file there has %d bytes, not %d", r.ContentLength, size)
		} else if skip > cheapSkip {
			err = failed(gone, "the server cannot send parts of files")
		}
	default:
		return st.refusal(r)
	}
	st.body = &watched{r.Body, st.watch}
	if err == nil {
		_, err = io.CopyN(io.Discard, st.body, skip)
		if errors.Is(err, io.EOF) {
			err = failed(0, "the body ends before what was asked for")
		}
	}
	if err != nil {
		st.shut()
	}
	return err
}

// fileURL returns where a file is: the seed's URL itself if that names the only file, else below it, under the names that
// the publisher gave (BEP 19).
func (s *Seed) fileURL(file int) string {
	if !s.info.Folder && !strings.HasSuffix(s.url, "/") {
		return s.url
	}
	at := strings.TrimSuffix(s.url, "/")
	for _, name := range s.info.Written(file) {
		at += "/" + url.PathEscape(name)
	}
	return at
}

// get sends a request and waits for the header of its answer.
func (st *stream) get(at, asked string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(st.ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, failed(gone, "the URL is not valid: %v", inner(err))
	}
	if req.URL.Scheme != "http" && req.URL.Scheme != "https" || req.URL.Host == "" {
		return nil, failed(gone, "the URL is not one of HTTP: %q", at)
	}
	req.Header.Set("Accept-Encoding", "identity") // compressed bytes cannot be counted
	if asked != "" {
		req.Header.Set("Range", asked)
	}
	st.watch.start()
	r, err := st.seed.client.Do(req)
	st.watch.stop()
	if err != nil {
		return nil, inner(err)
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		r.Body.Close()
		return nil, failed(gone, "the server insists on Content-Encoding %q", e)
	}
	return r, nil
}

// inner takes off the layer of an error that repeats the URL, which may hold a secret.
func inner(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// checkRange checks that an answer is the part that was asked for, of a file of the right size (RFC 9110 §14.4).
func checkRange(header string, span layout.Span, size int64) error {
	var first, last int64
	bounds, total, ok := strings.Cut(strings.TrimPrefix(header, "bytes "), "/")
	from, to, ok2 := strings.Cut(bounds, "-")
	first, err := strconv.ParseInt(from, 10, 64)
	last, err2 := strconv.ParseInt(to, 10, 64)
	if !ok || !ok2 || err != nil || err2 != nil || !strings.HasPrefix(header, "bytes ") {
		return failed(gone, "the answer has the Content-Range %q", header)
	}
	if n, err := strconv.ParseInt(total, 10, 64); total != "*" && (err != nil || n != size) {
		return failed(gone, "the file there has %s bytes, not %d", total, size)
	}
	if first != span.Offset || last < span.Offset+span.Length-1 {
		return failed(gone, "asked for bytes %d to %d, the server sends %d to %d", span.Offset, span.Offset+span.Length-1, first, last)
	}
	return nil
}

// refusal reads why a server does not send what was asked for, and when to try again. It closes the body.
func (st *stream) refusal(r *http.Response) error {
	defer r.Body.Close()
	switch code := r.StatusCode; {
	case code == http.StatusServiceUnavailable || code == http.StatusTooManyRequests:
		text := r.Header.Get("Retry-After")
		if text == "" { // BEP 17 has it in the body
			b, _ := io.ReadAll(io.LimitReader(&watched{r.Body, st.watch}, 32))
			text = string(b)
		}
		return failed(retryAfter(text), "the server is busy (%s)", r.Status)
	case code >= 500, code == http.StatusRequestTimeout:
		return failed(0, "the server answers %s", r.Status)
	case code == http.StatusNotFound || code == http.StatusGone:
		return failed(gone, "the file is not there (%s)", r.Status)
	}
	return failed(gone, "the server answers %s", r.Status)
}

// retryAfter reads a number of seconds or a date (RFC 9110 §10.2.3): at least a second and at most a day, or 0 if it is
// neither.
func retryAfter(text string) time.Duration {
	text = strings.TrimSpace(text)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
		return time.Duration(min(max(n, 1), int64(maxRetry/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(time.Until(at), time.Second), maxRetry)
	}
	return 0
}

// watch ends a run for which no byte arrives. It is off while we ourselves are what is waited for.
type watch struct{ timer *time.Timer }

func newWatch(abort context.CancelCauseFunc) *watch {
	t := time.AfterFunc(stall, func() { abort(failed(0, "no byte has arrived for %v", stall)) })
	t.Stop()
	return &watch{t}
}

func (w *watch) start() { w.timer.Reset(stall) }
func (w *watch) stop()  { w.timer.Stop() }

// watched is a body under watch.
type watched struct {
	io.ReadCloser
	watch *watch
}

// Read implements io.Reader.
func (b *watched) Read(p []byte) (int, error) {
	b.watch.start()
	defer b.watch.stop()
	return b.ReadCloser.Read(p)
}
