package tracker

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"shoal/internal/discovery"
	"shoal/internal/ident"
)

// fakeTorrent is a torrent that wants peers.
type fakeTorrent struct{ want int }

func (f *fakeTorrent) InfoHash() ident.InfoHash     { return ident.InfoHash{V1: ident.V1{1}} }
func (f *fakeTorrent) PeerID() ident.PeerID         { return ident.PeerID{2} }
func (f *fakeTorrent) Port() uint16                 { return 6881 }
func (f *fakeTorrent) Progress() discovery.Progress { return discovery.Progress{Left: 100} }
func (f *fakeTorrent) WantPeers() int               { return f.want }

// record notes who was told what and when, in seconds.
type record struct {
	begin time.Time
	lock  sync.Mutex
	said  []string
}

func (r *record) add(who, what string) {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.said = append(r.said, strings.TrimSpace(fmt.Sprintf("%v %s %s", time.Since(r.begin).Round(time.Second).Seconds(), who, what)))
}

// take returns what was noted since the last take, sorted within each second.
func (r *record) take() []string {
	r.lock.Lock()
	defer r.lock.Unlock()
	said := r.said
	r.said = nil
	slices.SortStableFunc(said, func(a, b string) int {
		ta, tb := strings.Fields(a)[0], strings.Fields(b)[0]
		if ta != tb {
			return 0
		}
		return strings.Compare(a, b)
	})
	return said
}

func (r *record) silent() bool {
	r.lock.Lock()
	defer r.lock.Unlock()
	return len(r.said) == 0
}

func (r *record) expect(t *testing.T, when string, want ...string) {
	t.Helper()
	if got := r.take(); !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", when, got, want)
	}
}

// scene is an announcer that runs in a bubble; trackers are http://NAME/announce.
type scene struct {
	*Announcer
	*record
	n       *memNet
	torrent *fakeTorrent
	found   map[netip.AddrPort]int
	client  ClientOptions
	changed chan struct{} // tells the owner to look at Next
	cancel  context.CancelFunc
	ended   chan time.Duration
}

// tracker serves body at http://name/announce.
func (s *scene) tracker(t *testing.T, name string, tell http.HandlerFunc) {
	ip := netip.AddrFrom4([4]byte{10, 9, 9, byte(len(s.n.names) + 1)})
	s.n.names[name] = []netip.Addr{ip}
	s.n.serveHTTP(t, ip.String()+":80", func(w http.ResponseWriter, r *http.Request) {
		s.add(name, r.URL.Query().Get("event"))
		tell(w, r)
	})
}

func newScene() *scene {
	return &scene{
		record: &record{begin: time.Now()}, n: newMemNet(), torrent: &fakeTorrent{50},
		found: map[netip.AddrPort]int{}, changed: make(chan struct{}, 1), ended: make(chan time.Duration, 1),
	}
}

func (s *scene) start(t *testing.T, o Options, tiers ...string) {
	var urls [][]string
	for _, tier := range tiers {
		var list []string
		for _, name := range strings.Fields(tier) {
			list = append(list, "http://"+name+"/announce")
		}
		urls = append(urls, list)
	}
	s.Announcer = New(NewClient(s.n, s.client), urls, o)
	s.again(t)
}

// hurry and complete do so and tell the owner.
func (s *scene) hurry() {
	s.Hurry()
	s.changed <- struct{}{}
	synctest.Wait()
}

func (s *scene) complete() {
	s.Completed()
	s.changed <- struct{}{}
	synctest.Wait()
}

// own is what the owner of a finder does: it announces when that is due, and withdraws at the end.
func (s *scene) own(ctx context.Context, found func([]discovery.Peer)) {
	for ctx.Err() == nil {
		var due <-chan time.Time
		if at, ok := s.Next(); ok {
			due = time.After(time.Until(at))
		}
		select {
		case <-due:
			s.Announce(ctx, s.torrent, found)
		case <-s.changed:
		case <-ctx.Done():
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	s.Withdraw(ctx, s.torrent)
}

func (s *scene) again(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s.cancel = cancel
	go func() {
		s.own(ctx, func(p []discovery.Peer) {
			s.lock.Lock()
			defer s.lock.Unlock()
			for _, p := range p {
				s.found[p.Addr]++
			}
		})
		s.ended <- time.Since(s.begin)
	}()
}

// sleepTo sleeps until so many seconds after the start.
func (s *scene) sleepTo(seconds float64) {
	time.Sleep(time.Until(s.begin.Add(time.Duration(seconds * float64(time.Second)))))
	synctest.Wait()
}

// stop ends the announcer and returns how long that took.
func (s *scene) stop(t *testing.T) time.Duration {
	before := time.Since(s.begin)
	s.cancel()
	return <-s.ended - before
}

func bubble(t *testing.T, f func(t *testing.T, s *scene)) {
	synctest.Test(t, func(t *testing.T) { f(t, newScene()) })
}

func TestCourseOfATorrent(t *testing.T) {
	bubble(t, func(t *testing.T, s *scene) {
		s.tracker(t, "a", say(good))
		s.start(t, Options{}, "a")
		s.sleepTo(1)
		s.expect(t, "start", "0 a started")
		if !reflect.DeepEqual(slices.Collect(maps.Keys(s.found)), addrs("10.0.0.2:6881")) {
			t.Errorf("found %v", s.found)
		}
		s.sleepTo(1799)
		s.expect(t, "before the interval")
		s.sleepTo(3601)
		s.expect(t, "at the interval", "1800 a", "3600 a")
		s.complete()
		s.sleepTo(3602)
		s.expect(t, "completed", "3601 a completed")
		st := s.Status()[0]
		if !st.Working || st.Message != "" || st.Interval != 30*time.Minute || st.Peers != 1 || st.URL != "http://a/announce" ||
			!st.Last.Equal(s.begin.Add(3601*time.Second)) || !st.Next.Equal(s.begin.Add(5401*time.Second)) {
			t.Errorf("status %+v", st)
		}
		s.stop(t)
		s.expect(t, "stopped", "3602 a stopped")
		s.again(t)
		s.sleepTo(3603)
		s.stop(t)
		s.expect(t, "a second time, without completed", "3602 a started", "3603 a stopped")
	})
}

func TestAStartThatFindsNobody(t *testing.T) {
	bubble(t, func(t *testing.T, s *scene) {
		s.tracker(t, "a", say("d8:intervali1800ee"))
		s.tracker(t, "b", say("d8:intervali1800e12:min intervali600ee"))
		s.tracker(t, "c", say("d8:intervali1800e5:peers6:\x0a\x00\x00\x01\x1a\xe1e")) // only ourselves
		s.start(t, Options{AllTrackers: true, AllTiers: true}, "a", "b")
		s.sleepTo(1700)
		s.expect(t, "", "0 a started", "0 b started", "5 a", "15 a", "30 a", "600 b", "1200 b")
		s.stop(t)
		s.take()
	})
	bubble(t, func(t *testing.T, s *scene) {
		s.tracker(t, "c", say("d8:intervali1800e5:peers6:\x0a\x00\x00\x01\x1a\xe1e")) // only ourselves
		s.start(t, Options{}, "c")
		s.sleepTo(1700)
		s.expect(t, "alone with ourselves", "0 c started", "5 c", "15 c", "30 c")
		s.stop(t)
	})
	bubble(t, func(t *testing.T, s *scene) {
		s.torrent.want = 0
		s.tracker(t, "a", say("d8:intervali1800ee"))
		s.start(t, Options{}, "a")
		s.sleepTo(1700)
		s.expect(t, "a torrent that wants nobody", "0 a started")
		s.stop(t)
	})
}

func TestIntervals(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{"8:intervali1e", "60"}, {"8:intervali-5e", "1800"}, {"8:intervali0e", "1800"}, {"", "1800"},
		{"8:intervali99999999e", "86400"}, {"8:intervali20e12:min intervali10e", "20"}, {"8:intervali20e12:min intervali30e", "30"},
		{"8:intervali1e12:min intervali1e", "5"}, {"8:intervali20e12:min intervali999999999e", "86400"},
	} {
		bubble(t, func(t *testing.T, s *scene) {
			s.tracker(t, "a", say("d"+c.body+"5:peers6:\x0a\x00\x00\x02\x1a\xe2e"))
			s.start(t, Options{}, "a")
			s.sleepTo(1)
			s.take()
			for s.silent() && time.Since(s.begin) < 48*time.Hour {
				s.sleepTo(time.Since(s.begin).Seconds() + 1)
			}
			s.expect(t, c.body, c.want+" a")
			s.stop(t)
		})
	}
}

func TestHurry(t *testing.T) {
	bubble(t, func(t *testing.T, s *scene) {
		s.tracker(t, "a", say("d8:intervali1800e5:peers6:\x0a\x00\x00\x02\x1a\xe2e"))
		s.start(t, Options{}, "a")
		s.sleepTo(10)
		for range 5 {
			s.hurry()
		}
		s.sleepTo(100)
		s.expect(t, "within the minimum", "0 a started", "60 a")
		s.sleepTo(300)
		s.hurry()
		s.sleepTo(301)
		s.expect(t, "after it", "300 a")
		s.stop(t)
	})
}

func TestTiers(t *testing.T) {
	broken := func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) }
	bubble(t, func(t *testing.T, s *scene) {
		s.tracker(t, "a", broken)
		s.tracker(t, "b", broken)
		s.tracker(t, "c", say(good))
		s.tracker(t, "d", say(good))
		s.start(t, Options{}, "a b", "c", "d")
		s.sleepTo(1)
		s.expect(t, "the second tier has its turn when all of the first failed", "0 a started", "0 b started", "0 c started")
		st := s.Status()
		if st[0].Message != "HTTP status 500 Internal Server Error" || st[0].Working || !st[2].Working || st[2].Tier != 1 || !st[3].Last.IsZero() {
			t.Errorf("status %+v", st)
		}
		s.sleepTo(100)
		if n := len(s.take()); n < 4 || n > 16 {
			t.Errorf("%d more announces to a tier that fails in 100 s", n)
		}
		s.stop(t)
		s.expect(t, "only who was told is told", "100 c stopped")
	})
	bubble(t, func(t *testing.T, s *scene) {
		s.tracker(t, "a", broken)
		s.tracker(t, "b", say(good))
		s.start(t, Options{}, "a b")
		s.sleepTo(1)
		s.take()
		if st := s.Status(); st[0].URL != "http://b/announce" {
			t.Errorf("first is %s", st[0].URL)
		}
		s.sleepTo(1801)
		s.expect(t, "who works has been moved to the front", "1800 b")
		s.stop(t)
	})
	for name, want := range map[string][]string{
		"strict":       {"0 a started"},
		"all tiers":    {"0 a started", "0 c started"},
		"all trackers": {"0 a started", "0 b started"},
		"all":          {"0 a started", "0 b started", "0 c started"},
	} {
		bubble(t, func(t *testing.T, s *scene) {
			for _, who := range []string{"a", "b", "c"} {
				s.tracker(t, who, say(good))
			}
			s.start(t, Options{AllTiers: strings.HasPrefix(name, "all") && name != "all trackers", AllTrackers: name == "all trackers" || name == "all"}, "a b", "c")
			s.sleepTo(1)
			got := s.take()
			if len(got) > 0 { // the order within a tier is random
				got[0] = strings.Replace(got[0], "b", "a", 1)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
			if d := s.stop(t); d != 0 {
				t.Errorf("%s: stop took %v", name, d)
			}
			if got := s.take(); len(got) != len(want) {
				t.Errorf("%s: stopped %q", name, got)
			}
		})
	}
}

func TestASilentTrackerHoldsUpNobody(t *testing.T) {
	bubble(t, func(t *testing.T, s *scene) {
		s.n.names["dead"] = []netip.Addr{netip.MustParseAddr("10.9.9.99")}
		s.n.silent[netip.MustParseAddrPort("10.9.9.99:80")] = true
		s.tracker(t, "a", say(good))
		s.start(t, Options{}, "dead", "a")
		s.sleepTo(20)
		s.expect(t, "passed over", "5 a started")
		if d := s.stop(t); d != 0 {
			t.Errorf("stop took %v", d)
		}
	})
	bubble(t, func(t *testing.T, s *scene) {
		hang := make(chan struct{})
		s.tracker(t, "a", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("event") == "stopped" {
				<-hang
			}
			io.WriteString(w, good)
		})
		s.tracker(t, "b", say(good))
		s.start(t, Options{AllTiers: true}, "a", "b")
		s.sleepTo(20)
		if d := s.stop(t); d != 5*time.Second {
			t.Errorf("stop took %v, want the time to withdraw", d)
		}
		s.expect(t, "", "0 a started", "0 b started", "20 a stopped", "20 b stopped")
		close(hang)
	})
}

func TestBackoff(t *testing.T) {
	bubble(t, func(t *testing.T, s *scene) {
		s.n.names["dead"] = []netip.Addr{netip.MustParseAddr("10.9.9.99")}
		s.start(t, Options{}, "dead")
		var gaps []time.Duration
		for last := s.begin; time.Since(s.begin) < 6*time.Hour; {
			time.Sleep(time.Second)
			if at := s.Status()[0].Last; at.After(last) {
				gaps, last = append(gaps, at.Sub(last)), at
			}
		}
		want := minBackoff
		for i, g := range gaps {
			if g < want*3/4 || g > want*5/4 {
				t.Errorf("pause %d is %v, want about %v", i, g, want)
			}
			want = min(2*want, maxBackoff)
		}
		if len(gaps) < 15 || s.Status()[0].Message != "connection refused" {
			t.Errorf("%d pauses, %+v", len(gaps), s.Status())
		}
		s.stop(t)
	})
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct{ retry, want string }{
		{"8:retry in5:never", "[0 a started]"}, {"8:retry ini10e", "[0 a started 600 a started 1200 a started]"},
	} {
		bubble(t, func(t *testing.T, s *scene) {
			s.tracker(t, "a", say("d14:failure reason4:nope"+c.retry+"e"))
			s.start(t, Options{}, "a")
			s.sleepTo(1750)
			if got := fmt.Sprint(s.take()); got != c.want {
				t.Errorf("%s: %s, want %s", c.retry, got, c.want)
			}
			if st := s.Status()[0]; st.Message != "tracker says: nope" || st.Next.IsZero() != (c.retry == "8:retry in5:never") {
				t.Errorf("status %+v", st)
			}
			s.stop(t)
			s.expect(t, "nobody to tell")
		})
	}
	bubble(t, func(t *testing.T, s *scene) { // a refusal without a time: not sooner than the minimum
		s.tracker(t, "a", say("d14:failure reason4:nopee"))
		s.start(t, Options{}, "a")
		s.sleepTo(59)
		s.expect(t, "", "0 a started")
		s.stop(t)
	})
}

func TestTrackerIDAndExternalAddressAndWarning(t *testing.T) {
	bubble(t, func(t *testing.T, s *scene) {
		ids := make(chan string, 10)
		s.tracker(t, "a", func(w http.ResponseWriter, r *http.Request) {
			ids <- r.URL.Query().Get("trackerid")
			io.WriteString(w, "d8:completei3e11:external ip4:\x05\x06\x07\x088:intervali1800e5:peers6:\x0a\x00\x00\x02\x1a\xe210:tracker id3:a&b15:warning message4:busye")
		})
		external := make(chan netip.Addr, 10)
		s.client.External = func(a netip.Addr) { external <- a }
		s.start(t, Options{}, "a")
		s.sleepTo(1)
		if st := s.Status()[0]; !st.Working || st.Message != "tracker warns: busy" || st.Seeds != 3 || st.Leeches != unknown {
			t.Errorf("status %+v", st)
		}
		s.stop(t)
		if first, second := <-ids, <-ids; first != "" || second != "a&b" {
			t.Errorf("tracker ids %q, %q", first, second)
		}
		if a := <-external; a != netip.MustParseAddr("5.6.7.8") {
			t.Errorf("external address %v", a)
		}
	})
}

func TestUDPCourse(t *testing.T) {
	bubble(t, func(t *testing.T, s *scene) {
		events := make(chan byte, 10)
		s.n.udpTracker(t, "10.9.9.9:6969", func(c *memPacketConn, p memPacket) []byte {
			if p.b[11] == byte(actAnnounce) {
				events <- p.b[83]
			}
			return goodUDP(c, p)
		})
		s.Announcer = New(NewClient(s.n, ClientOptions{}), [][]string{{"udp://10.9.9.9:6969"}}, Options{})
		s.again(t)
		s.sleepTo(1)
		if s.n.open() != 1 {
			t.Errorf("%d sockets are open, want the tracker's alone", s.n.open())
		}
		s.complete()
		s.sleepTo(2)
		s.stop(t)
		for _, want := range []event{started, completed, stopped} {
			if got := <-events; got != byte(want) {
				t.Errorf("event %d, want %d", got, want)
			}
		}
		if st := s.Status()[0]; st.Seeds != 2 || st.Leeches != 1 {
			t.Errorf("status %+v", st)
		}
	})
}

func TestTiersKeepEachTrackerOnce(t *testing.T) {
	var many []string
	for i := range 300 {
		many = append(many, fmt.Sprintf("http://t%d/announce", i))
	}
	count := func(urls ...[]string) int {
		return len(New(NewClient(newMemNet(), ClientOptions{}), urls, Options{}).Status())
	}
	if got := count([]string{"http://a/x", "http://b/x", "http://a/x"}, nil, []string{"http://b/x"}); got != 2 {
		t.Errorf("%d trackers, want 2", got)
	}
	if got := count(many); got != maxPlaces {
		t.Errorf("%d trackers, want %d", got, maxPlaces)
	}
	bubble(t, func(t *testing.T, s *scene) {
		s.start(t, Options{})
		s.hurry()
		s.sleepTo(10)
		s.stop(t)
	})
}

func TestAnnouncersShareASocketAndItsConnection(t *testing.T) {
	bubble(t, func(t *testing.T, s *scene) {
		connects, refuse := 0, false
		s.n.udpTracker(t, "10.9.9.9:6969", func(c *memPacketConn, p memPacket) []byte {
			if p.b[11] == byte(actConnect) {
				connects++
			} else if refuse {
				return append([]byte{0, 0, 0, byte(actError)}, p.b[12:16]...)
			}
			return goodUDP(c, p)
		})
		client := NewClient(s.n, ClientOptions{})
		if err := client.sockets[v4].open(t.Context()); err != nil { // as if one more were at work
			t.Fatal(err)
		}
		ask := func() bool {
			a := New(client, [][]string{{"udp://10.9.9.9:6969"}}, Options{})
			a.Announce(t.Context(), s.torrent, func([]discovery.Peer) {})
			return a.Status()[0].Working
		}
		for range 5 {
			if !ask() {
				t.Error("no answer")
			}
		}
		if connects != 1 || s.n.twice {
			t.Errorf("%d connects for five announces; two sockets at once: %v", connects, s.n.twice)
		}
		refuse = true
		if ask() || connects != 1 {
			t.Errorf("a refusal works, or %d connects", connects)
		}
		refuse = false
		if !ask() || connects != 2 {
			t.Errorf("%d connects: an id that was refused is used again", connects)
		}
		client.sockets[v4].release()
		if s.n.open() != 1 {
			t.Errorf("%d sockets are open, want the tracker's alone", s.n.open())
		}
	})
}
