package server

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
)

// minCompressed is the least length of an answer, in bytes, that is worth compressing.
const minCompressed = 1400

var gzips = sync.Pool{New: func() any { w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed); return w }}

// compressed compresses answers of text if the client takes gzip.
func compressed(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept-Encoding")
		if !takesGzip(r) || r.Method == http.MethodHead {
			h.ServeHTTP(w, r)
			return
		}
		c := &compressor{ResponseWriter: w}
		defer c.finish()
		h.ServeHTTP(c, r)
	})
}

func takesGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(name, "gzip") {
			return strings.ReplaceAll(weight, " ", "") != "q=0"
		}
	}
	return false
}

// compressor holds an answer's begin back until it is known whether it is worth it.
type compressor struct {
	http.ResponseWriter
	status int
	held   []byte
	passed bool // the header was sent
	gzip   *gzip.Writer
}

// Unwrap is for http.ResponseController.
func (c *compressor) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *compressor) WriteHeader(status int) {
	if c.status == 0 {
		c.status = status
	}
}

func (c *compressor) Write(b []byte) (int, error) {
	if !c.passed {
		c.held = append(c.held, b...)
		if len(c.held) < minCompressed {
			return len(b), nil
		}
		return len(b), c.pass(c.isText())
	}
	if c.gzip != nil {
		return c.gzip.Write(b)
	}
	return c.ResponseWriter.Write(b)
}

func (c *compressor) isText() bool {
	h := c.Header()
	kind, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return h.Get("Content-Encoding") == "" && c.status != http.StatusPartialContent &&
		(strings.HasSuffix(kind, "json") || strings.HasPrefix(kind, "text/"))
}

// pass sends the header and what was held back.
func (c *compressor) pass(compress bool) error {
	c.passed = true
	if compress {
		c.Header().Set("Content-Encoding", "gzip")
		c.Header().Del("Content-Length")
		c.gzip = gzips.Get().(*gzip.Writer)
		c.gzip.Reset(c.ResponseWriter)
	}
	if c.status != 0 {
		c.ResponseWriter.WriteHeader(c.status)
	}
	held := c.held
	c.held = nil
	if len(held) == 0 {
		return nil
	}
	var err error
	if c.gzip != nil {
		_, err = c.gzip.Write(held)
	} else {
		_, err = c.ResponseWriter.Write(held)
	}
	return err
}

func (c *compressor) finish() {
	if !c.passed {
		_ = c.pass(false)
	}
	if c.gzip != nil {
		c.gzip.Close()
		c.gzip.Reset(nil)
		gzips.Put(c.gzip)
	}
}

// writeJSON answers outside of an operation of huma's.
func writeJSON(w http.ResponseWriter, status int, v any, err error) {
	var known huma.StatusError
	if errors.As(err, &known) {
		problem(w, known.GetStatus(), known.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
