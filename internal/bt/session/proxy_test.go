package session_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/session"
	"shoal/internal/netx"
	"shoal/internal/netx/proxytest"
	"shoal/internal/simnet"
)

// by has a session use a route that leads through a proxy on a host of its own.
func (w *world) by(scheme string, p *proxytest.Proxy) func(*session.Config) {
	return func(cfg *session.Config) {
		r, err := netx.ParseRoute(scheme + "://" + p.Addr())
		if err != nil {
			w.Fatal(err)
		}
		if cfg.Network, err = r.Over(cfg.Network); err != nil {
			w.Fatal(err)
		}
	}
}

func (w *world) proxy(start func(testing.TB, netx.Network, proxytest.Options) *proxytest.Proxy, o proxytest.Options) (*simnet.Host, *proxytest.Proxy) {
	host := w.host(fast)
	o.Addr = host.Addr().String() + ":1080"
	return host, start(w.T, host, o)
}

// Behind a proxy peers and DHT nodes are reached through it alone, over UDP as well, also after it has hung up; and what it cannot do is
// told.
func TestSessionBehindAProxy(t *testing.T) {
	for name, c := range map[string]struct {
		start  func(testing.TB, netx.Network, proxytest.Options) *proxytest.Proxy
		scheme string
		noUDP  bool
		notice string
	}{
		"SOCKS5":             {start: proxytest.SOCKS5, scheme: "socks5", notice: "no incoming connections"},
		"SOCKS5 without UDP": {start: proxytest.SOCKS5, scheme: "socks5", noUDP: true, notice: "no UDP"},
		"HTTP CONNECT":       {start: proxytest.HTTP, scheme: "http", noUDP: true, notice: "no UDP"},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(w *world) {
				data := makeContent(t, metainfo.CreateOptions{}, 1<<20)
				first := w.node(dsl, withDHT(""))
				for range 8 {
					w.node(dsl, withDHT("", first))
				}
				host, p := w.proxy(c.start, proxytest.Options{NoUDP: c.noUDP})
				defer func() { p.Close() }()
				seed := w.node(dsl, withDHT("", first))
				up := seed.seed(data)
				l := &node{w: w, host: w.host(dsl)}
				w.nodes = append(w.nodes, l)
				l.start(w.by(c.scheme, p), withDHT("", first))
				if !slices.ContainsFunc(l.Notices(), func(s string) bool { return strings.Contains(s, c.notice) }) {
					t.Errorf("the notices are %q", l.Notices())
				}
				time.Sleep(time.Minute)
				spec := session.Spec{InfoHash: data.torrent.Info.Hash}
				if c.noUDP {
					spec.Peers = addrs(seed)
				} else {
					p.Hangup() // it has died
					p = c.start(t, host, proxytest.Options{Addr: p.Addr()})
					time.Sleep(time.Minute)
				}
				tor := l.add(spec)
				time.Sleep(5 * time.Second)
				for _, peer := range up.Peers() {
					if peer.Info.Addr.Addr() != host.Addr() {
						t.Errorf("the seed sees %v, want the proxy", peer.Info.Addr)
					}
				}
				l.finish(tor, data, 2*time.Minute)
				defer l.close() // before the proxy
			})
		})
	}
}

// Over Tor each torrent has circuits of its own, and nothing tells who we are.
func TestTorKeepsTorrentsApart(t *testing.T) {
	simulate(t, func(w *world) {
		a, b := makeContent(t, metainfo.CreateOptions{}, 100_000), makeContent(t, metainfo.CreateOptions{}, 90_000)
		_, p := w.proxy(proxytest.SOCKS5, proxytest.Options{NoUDP: true})
		defer p.Close()
		first, second := w.node(dsl), w.node(dsl)
		first.seed(a)
		second.seed(b)
		l := &node{w: w, host: w.host(dsl)}
		w.nodes = append(w.nodes, l)
		l.start(w.by("tor", p))
		defer l.close()
		x, y := l.leech(a, first), l.add(session.Spec{Torrent: b.torrent, Root: "/elsewhere", Peers: addrs(second)})
		l.finish(x, a, time.Minute)
		select {
		case <-y.Finished():
		case <-time.After(time.Minute):
			t.Error("the second is not finished")
		}
		if id := x.PeerID(); strings.HasPrefix(string(id[:]), "-SL") || id == y.PeerID() {
			t.Errorf("peer ids %q and %q", id, y.PeerID())
		}
		users := map[string]bool{}
		for _, r := range p.Requests() {
			users[r.User+":"+r.Password] = true
		}
		if len(users) != 2 {
			t.Errorf("%d circuits for two torrents", len(users))
		}
	})
}

// A torrent may have a route of its own: nothing of it goes by the session's, while others' does.
func TestARouteOfOneTorrent(t *testing.T) {
	simulate(t, func(w *world) {
		a, b := makeContent(t, metainfo.CreateOptions{}, 100_000), makeContent(t, metainfo.CreateOptions{}, 90_000)
		host, p := w.proxy(proxytest.SOCKS5, proxytest.Options{})
		defer p.Close()
		first, second := w.node(dsl, withDHT("")), w.node(dsl)
		shown, open := first.seed(a), second.seed(b)
		l := w.node(dsl, withDHT("", first))
		time.Sleep(time.Minute)
		var cfg session.Config
		cfg.Network = l.host
		w.by("socks5", p)(&cfg)
		x := l.add(session.Spec{Torrent: a.torrent, Network: cfg.Network, Peers: addrs(first), Up: 1, Down: 10_000})
		y := l.add(session.Spec{Torrent: b.torrent, Root: "/elsewhere", Peers: addrs(second), Up: 1, Down: 10_000})
		time.Sleep(5 * time.Second)
		if linkedTo(shown, l.host.Addr()) || !linkedTo(shown, host.Addr()) {
			t.Errorf("the first seed sees %+v, want the proxy %v alone", shown.Peers(), host.Addr())
		}
		if !linkedTo(open, l.host.Addr()) {
			t.Errorf("the second seed sees %+v", open.Peers())
		}
		for _, st := range x.Trackers() {
			if st.URL == "dht" {
				t.Error("the torrent is looked for in the session's DHT")
			}
		}
		stranger := w.node(dsl)
		strange := stranger.leech(a, l)
		time.Sleep(5 * time.Second)
		if n := len(strange.Peers()); n != 0 {
			t.Error("a stranger found the torrent at our own address")
		}
		l.finish(x, a, time.Minute)
		<-y.Finished()
		l.close()
	})
}
