package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/picker"
	"shoal/internal/bt/session"
	"shoal/internal/bt/swarm"
	"shoal/internal/bt/torrent"
	"shoal/internal/simnet"
)

// serve runs a web server on a new host until the returned function is called, which must be before the bubble ends.
func (w *world) serve(h http.Handler) (base string, stop func()) {
	host := w.host(dsl)
	ln, err := host.Listen(context.Background(), "tcp", ":80")
	if err != nil {
		w.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	var wg sync.WaitGroup
	wg.Go(func() { srv.Serve(ln) })
	return "http://" + host.Addr().String(), func() {
		srv.Close()
		wg.Wait()
	}
}

// files serves content as a plain web server does (BEP 19), or with false bytes.
func files(c *content, lie bool) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		for i, f := range c.torrent.Info.Layout.Files {
			if r.URL.Path == "/"+f.Path {
				b := c.data[i]
				if lie {
					b = make([]byte, len(b))
				}
				http.ServeContent(rw, r, path.Base(f.Path), time.Time{}, bytes.NewReader(b))
				return
			}
		}
		http.NotFound(rw, r)
	})
}

// pieces serves content as a BEP 17 script does.
func pieces(c *content) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var p, from, to int
		q := r.URL.Query()
		fmt.Sscan(q.Get("piece"), &p)
		fmt.Sscanf(q.Get("ranges"), "%d-%d", &from, &to)
		hash := c.torrent.Info.Hash.Key()
		if q.Get("info_hash") != string(hash[:]) {
			http.Error(rw, "no such torrent", http.StatusNotFound)
			return
		}
		at := p * int(c.torrent.Info.Layout.PieceLength)
		rw.Write(c.data[0][at+from : at+to+1])
	})
}

func TestAWebSeedAlone(t *testing.T) {
	for name, script := range map[string]bool{"BEP 19": false, "BEP 17": true} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(w *world) {
				c := makeContent(t, metainfo.CreateOptions{Version: metainfo.V1}, 3_000_001)
				var spec session.Spec
				if script {
					base, stop := w.serve(pieces(c))
					defer stop()
					spec.HTTPSeeds = []string{base, base, "ftp://elsewhere/", "::"}
				} else {
					base, stop := w.serve(files(c, false))
					defer stop()
					spec.WebSeeds = []string{base + "/", base + "/", "ftp://elsewhere/", ""}
				}
				spec.Torrent = c.torrent
				l := w.node(dsl)
				tor := l.add(spec)
				l.finish(tor, c, 15*time.Second)
				time.Sleep(2 * time.Second)
				st := tor.Status()
				if st.Swarm.DownTotal != 3_000_001 || st.Swarm.WebSeeds != 0 || len(st.WebSeeds) != 1 || st.WebSeeds[0].InUse || st.WebSeeds[0].Problem != nil {
					t.Errorf("%d bytes, %d in use: %+v", st.Swarm.DownTotal, st.Swarm.WebSeeds, st.WebSeeds)
				}
			})
		})
	}
}

func TestAWebSeedAndMore(t *testing.T) {
	simulate(t, func(w *world) {
		c := makeContent(t, metainfo.CreateOptions{}, 1_000_000, 3_000_000, 0, 17)
		base, stop := w.serve(files(c, false))
		defer stop()
		seed, l := w.node(simnet.Link{Up: 300_000, Latency: 20 * time.Millisecond}), w.node(dsl)
		seed.seed(c)
		tor := l.add(session.Spec{Torrent: c.torrent, Peers: addrs(seed), WebSeeds: []string{base}, Select: func(*metainfo.Info) []bool { return []bool{true, false, true, true} }})
		<-tor.Finished()
		w.until("the web seed is left", 3*time.Second, func() bool { return tor.Status().Swarm.WebSeeds == 0 })
		if err := tor.SetFilePriority(1, picker.Normal); err != nil {
			t.Fatal(err)
		}
		w.until("the rest comes", 20*time.Second, func() bool { return tor.Status().Phase == torrent.Seeding })
		l.check(c)
		if up := seed.Torrents()[0].Uploaded(); up == 0 || up > 3_000_000 {
			t.Errorf("the peer sent %d bytes, so the web seed did not help, or alone", up)
		}
	})
}

func TestTheLimitHoldsForWebSeeds(t *testing.T) {
	simulate(t, func(w *world) {
		c := makeContent(t, metainfo.CreateOptions{}, 8<<20)
		base, stop := w.serve(files(c, false))
		defer stop()
		l := w.node(fast, func(c *session.Config) { c.Down = 200_000 })
		tor := l.add(session.Spec{Torrent: c.torrent, WebSeeds: []string{base + "/content"}})
		within(t, "down", received(10*time.Second, tor), 2_000_000)
	})
}

func TestBrokenWebSeeds(t *testing.T) {
	c := makeContent(t, metainfo.CreateOptions{}, 1_000_000)
	for name, test := range map[string]struct {
		h      http.Handler
		barred bool
		says   string
	}{
		"nothing there": {h: http.NotFoundHandler(), says: "404"},
		"false bytes":   {h: files(c, true), barred: true, says: swarm.ErrBadData.Error()},
		"busy": {h: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Retry-After", "3600")
			rw.WriteHeader(503)
		}), says: "busy"},
		"cut short": {h: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Length", "1000000")
			rw.Write(c.data[0][:40_000])
			panic(http.ErrAbortHandler)
		}), says: "early|EOF"},
		"never an answer": {h: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), says: "no byte"},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(w *world) {
				base, stop := w.serve(test.h)
				defer stop()
				l, seed := w.node(dsl), w.node(dsl)
				tor := l.add(session.Spec{Torrent: c.torrent, WebSeeds: []string{base + "/content"}})
				w.until("the web seed fails", 2*time.Minute, func() bool {
					ws := tor.Status().WebSeeds
					return len(ws) == 1 && !ws[0].InUse && ws[0].Problem != nil
				})
				ws := tor.Status().WebSeeds[0]
				if ws.Barred != test.barred || !slices.ContainsFunc(strings.Split(test.says, "|"), func(s string) bool { return strings.Contains(ws.Problem.Error(), s) }) {
					t.Errorf("barred %v, %v", ws.Barred, ws.Problem)
				}
				if test.barred {
					time.Sleep(time.Hour)
					if !tor.Status().WebSeeds[0].Barred || tor.Status().Swarm.WebSeeds != 0 || !errors.Is(tor.Status().WebSeeds[0].Problem, swarm.ErrBadData) {
						t.Error("it is used again")
					}
				}
				seed.seed(c, session.Spec{Peers: addrs(l)})
				l.finish(tor, c, time.Minute)
			})
		})
	}
}

// announces is a tracker that keeps what it was told and tells everybody of everybody.
type announces struct {
	mu    sync.Mutex
	peers map[netip.AddrPort]bool
	log   []url.Values
}

func (a *announces) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := r.URL.Query()
	from := netip.MustParseAddrPort(r.RemoteAddr)
	var port uint16
	fmt.Sscan(q.Get("port"), &port)
	a.log = append(a.log, q)
	a.peers[netip.AddrPortFrom(from.Addr(), port)] = q.Get("event") != "stopped"
	var list []byte
	for p, in := range a.peers {
		if in {
			ip := p.Addr().As4()
			list = append(append(list, ip[:]...), byte(p.Port()>>8), byte(p.Port()))
		}
	}
	fmt.Fprintf(rw, "d8:intervali1800e5:peers%d:%se", len(list), list)
}

func (a *announces) events(left string) (out []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, q := range a.log {
		if left == "" || q.Get("left") == left {
			out = append(out, q.Get("event"))
		}
	}
	return out
}

func TestPeersFindEachOtherThroughATracker(t *testing.T) {
	simulate(t, func(w *world) {
		tracker := &announces{peers: map[netip.AddrPort]bool{}}
		base, stop := w.serve(tracker)
		defer stop()
		c := makeContent(t, metainfo.CreateOptions{Version: metainfo.V1, Announce: [][]string{{base + "/announce"}}}, 1<<20)
		seed, l := w.node(dsl), w.node(dsl)
		seed.seed(c)
		time.Sleep(time.Second)
		tor := l.add(session.Spec{InfoHash: c.torrent.Info.Hash, Trackers: c.torrent.Announce})
		l.finish(tor, c, time.Minute)
		time.Sleep(5 * time.Second)
		if tr := tor.Trackers(); len(tr) != 1 || !tr[0].Working {
			t.Errorf("the tracker's status is %+v", tr)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := l.Remove(ctx, tor); err != nil {
			t.Error(err)
		}
		seed.close()
		got := fmt.Sprint(tracker.events(""))
		if got != "[started started completed stopped stopped]" {
			t.Errorf("the events were %s", got)
		}
		if got := fmt.Sprint(tracker.events("0")); got != "[started completed stopped stopped]" {
			t.Errorf("with nothing left, the events were %s", got)
		}
	})
}
