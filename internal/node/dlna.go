package node

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path"
	"strconv"
	"sync"
	"time"

	"shoal/internal/library"
	"shoal/internal/netx"
	"shoal/internal/stream"
	"shoal/internal/stream/dlna"
)

// mediaServer offers films and music to the local network: the only part of a node that does not ask who is there. It serves nothing else.
type mediaServer struct {
	service *dlna.Service
	ln      net.Listener
	http    *http.Server
	done    chan struct{}
}

// dlnaPort is tried first, so that firewalls can be told of it.
const dlnaPort = 7463

// openMedia starts the media server.
func (w *work) openMedia() error {
	if !netx.TraitsOf(w.network).Local {
		return errors.New("the route leads away from the local network")
	}
	var ln net.Listener
	var err error
	for _, port := range []int{dlnaPort, 0} {
		if ln, err = w.network.Listen(context.Background(), "tcp", ":"+strconv.Itoa(port)); err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	ap, err := netip.ParseAddrPort(ln.Addr().String())
	if err != nil {
		ln.Close()
		return err
	}
	id, err := w.secret("dlna")
	if err != nil {
		ln.Close()
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "this machine"
	}
	shelf := &mediaShelf{w: w}
	service, err := dlna.New(dlna.Config{Network: w.network, Name: "shoal on " + host, ID: uuid(id), Version: w.Version, Port: ap.Port, List: shelf.list})
	if err != nil {
		ln.Close()
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/dlna/", service.Handler())
	mux.Handle("/stream/", w.streams)
	w.media = &mediaServer{service: service, ln: ln, done: make(chan struct{}),
		http: &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}}
	go func(m *mediaServer) {
		defer close(m.done)
		_ = m.http.Serve(m.ln) // until it is closed
	}(w.media)
	w.log.Info("films and music are offered to the local network (stream.dlna)", "port", ap.Port())
	return nil
}

func (m *mediaServer) close() error {
	err := errors.Join(m.service.Close(), m.http.Close())
	<-m.done
	return err
}

// uuid makes a UUID of 16 secret bytes (RFC 9562, version 8).
func uuid(secret []byte) string {
	b := sha256.Sum256(append([]byte("dlna"), secret...))
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// mediaShelf lists what can be played, of torrents at work.
type mediaShelf struct {
	w  *work
	mu sync.Mutex
	at time.Time
	is []dlna.Folder
}

// shelfLife is how long a list is good: televisions ask for it piece by piece.
const shelfLife = 10 * time.Second

func (m *mediaShelf) list() []dlna.Folder {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.at) < shelfLife {
		return m.is
	}
	page, err := m.w.library.List(library.Query{Sort: "name"})
	if err != nil {
		return nil // the query is a constant
	}
	var out []dlna.Folder
	for i := range page.Torrents {
		t := &page.Torrents[i]
		engine := m.w.engine(t.ID)
		if engine == nil || engine.Info() == nil {
			continue
		}
		f := dlna.Folder{ID: t.ID, Title: t.Name}
		for k, file := range engine.Info().Layout.Files {
			switch stream.Media(file.Path) {
			case stream.Video, stream.Audio:
				f.Files = append(f.Files, dlna.File{ID: strconv.Itoa(k), Title: path.Base(file.Path), Type: mime.TypeByExtension(path.Ext(file.Path)), Size: file.Length,
					URL: m.w.streams.URL("", t.ID, k, file.Path)})
			}
		}
		if len(f.Files) > 0 {
			out = append(out, f)
		}
	}
	m.is, m.at = out, time.Now()
	return out
}
