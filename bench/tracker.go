//go:build linux

package main

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"

	"shoal/internal/bencode"
	"shoal/internal/netx"
)

// tracker answers every announce with the peers that were started, except the asker, told by its port.
type tracker struct {
	url string
	srv *http.Server

	mu    sync.Mutex
	peers []netip.AddrPort
	names map[string]bool // swarms that were asked for
}

func startTracker(addr string) (*tracker, error) {
	ln, err := netx.NewHost(netx.Options{}).Listen(context.Background(), "tcp", net.JoinHostPort(addr, "6969"))
	if err != nil {
		return nil, err
	}
	t := &tracker{url: "http://" + ln.Addr().String() + "/announce", names: map[string]bool{}}
	t.srv = &http.Server{Handler: t}
	go func() { _ = t.srv.Serve(ln) }() // until close
	return t, nil
}

func (t *tracker) close() { t.srv.Close() }

func (t *tracker) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.peers, t.names = nil, map[string]bool{}
}

// asked returns how many torrents were announced since reset.
func (t *tracker) asked() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.names)
}

func (t *tracker) add(addr string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.peers = append(t.peers, netip.MustParseAddrPort(addr))
}

// ServeHTTP answers an announce (BEP 3, 23).
func (t *tracker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	asker := q.Get("port")
	var compact []byte
	t.mu.Lock()
	t.names[q.Get("info_hash")] = true
	for _, p := range t.peers {
		if strconv.Itoa(int(p.Port())) != asker {
			ip := p.Addr().As4()
			compact = append(append(compact, ip[:]...), byte(p.Port()>>8), byte(p.Port()))
		}
	}
	t.mu.Unlock()
	_, _ = w.Write(bencode.Append(nil, map[string]any{"interval": 1800, "complete": 1, "incomplete": 1, "peers": compact}))
}
