// Package webui holds the built web UI and serves it. Its source is in web/; `make web` builds it into dist, which is committed, so that building
// shoal needs no Node.
package webui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed dist
var files embed.FS

// FS returns the built files, index.html at the top.
func FS() fs.FS {
	f, err := fs.Sub(files, "dist")
	if err != nil {
		panic(err) // the name is a constant
	}
	return f
}

// Policy is the Content-Security-Policy of the UI: everything comes from where the page came from, and nothing inline runs.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; " +
	"media-src 'self' blob:; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// asset is one file, ready to be sent.
type asset struct {
	plain, gzip []byte // gzip is nil where it would not be smaller
	kind, etag  string
	forever     bool // its name changes with its content
}

// Handler serves the UI at / and answers 404 for whatever is no file of it. Mount it below any path with http.StripPrefix: links in the UI are
// relative. Files are compressed once, here.
func Handler() http.Handler {
	assets := map[string]asset{}
	err := fs.WalkDir(FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(FS(), name)
		if err == nil {
			assets["/"+name] = newAsset(name, data)
		}
		return err
	})
	if err != nil {
		panic(err) // embedded files can be read
	}
	assets["/"] = assets["/index.html"]
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, ok := assets[r.URL.Path]
		switch {
		case !ok:
			http.NotFound(w, r)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "the web UI is only read", http.StatusMethodNotAllowed)
		default:
			a.serve(w, r)
		}
	})
}

func newAsset(name string, data []byte) asset {
	sum := sha256.Sum256(data)
	a := asset{plain: data, kind: kind(name), etag: `"` + hex.EncodeToString(sum[:12]) + `"`, forever: strings.HasPrefix(name, "assets/")}
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is valid
	z.Write(data)
	z.Close()
	if b.Len() < len(data) {
		a.gzip = b.Bytes()
	}
	return a
}

func kind(name string) string {
	switch ext := path.Ext(name); ext {
	case ".webmanifest":
		return "application/manifest+json"
	case ".js":
		return "text/javascript; charset=utf-8" // machines differ on this one
	default:
		return mime.TypeByExtension(ext)
	}
}

func (a asset) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Content-Security-Policy", Policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Vary", "Accept-Encoding")
	h.Set("Cache-Control", "no-cache")
	if a.forever {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	h.Set("ETag", a.etag)
	if strings.Contains(r.Header.Get("If-None-Match"), a.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := a.plain
	if a.gzip != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = a.gzip
	}
	if r.Method == http.MethodGet {
		w.Write(body)
	}
}
