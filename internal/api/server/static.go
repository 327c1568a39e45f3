package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

// static serves the web UI. Whatever has no ending in its name and is no file is the UI's own matter: it gets index.html.
type static struct {
	files fs.FS
	tags  sync.Map // of a file's name: its ETag. What is embedded does not change.
}

// types are those that systems may not know, or know otherwise.
var types = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".mjs": "text/javascript; charset=utf-8",
	".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".json": "application/json", ".map": "application/json",
	".webmanifest": "application/manifest+json", ".woff2": "font/woff2", ".png": "image/png", ".ico": "image/x-icon", ".txt": "text/plain; charset=utf-8",
}

func (s *static) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		problem(w, http.StatusMethodNotAllowed, "the web UI is only read")
		return
	}
	name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
	if name == "" {
		name = "index.html"
	}
	b, err := fs.ReadFile(s.files, name)
	if err != nil && path.Ext(name) == "" {
		name = "index.html"
		b, err = fs.ReadFile(s.files, name)
	}
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrInvalid) {
			problem(w, http.StatusNotFound, "this cannot be read: "+name)
			return
		}
		problem(w, http.StatusNotFound, "there is nothing of this name")
		return
	}
	s.serve(w, r, name, b)
}

func (s *static) serve(w http.ResponseWriter, r *http.Request, name string, b []byte) {
	h := w.Header()
	kind := types[path.Ext(name)]
	if kind == "" {
		kind = mime.TypeByExtension(path.Ext(name))
	}
	if kind == "" {
		kind = "application/octet-stream"
	}
	h.Set("Content-Type", kind)
	h.Set("Vary", "Accept-Encoding")
	if strings.HasPrefix(name, "assets/") { // whose names hold a hash of what is in them
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	tag := s.tag(name, b)
	if takesGzip(r) {
		if z, err := fs.ReadFile(s.files, name+".gz"); err == nil {
			b = z
			tag += "-gz"
			h.Set("Content-Encoding", "gzip")
		}
	}
	h.Set("ETag", `W/"`+tag+`"`) // weak: what is compressed on the way has it too
	if h.Get("Content-Encoding") == "" && r.Header.Get("Range") == "" {
		compressed(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(b))
		})).ServeHTTP(w, r)
		return
	}
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(b))
}

func (s *static) tag(name string, b []byte) string {
	if t, ok := s.tags.Load(name); ok {
		return t.(string)
	}
	sum := sha256.Sum256(b)
	t := hex.EncodeToString(sum[:12])
	s.tags.Store(name, t)
	return t
}
