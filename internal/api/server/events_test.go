package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"shoal/internal/accounts"
	"shoal/internal/api"
	"shoal/internal/api/apitest"
	"shoal/internal/library"
)

// replica is the list as a client puts it together.
type replica struct {
	order []string
	rows  map[string]map[string]any
	total int
}

func (r *replica) take(t *testing.T, e event) {
	t.Helper()
	r2 := func(into any) {
		if err := json.Unmarshal([]byte(e.data), into); err != nil {
			t.Fatalf("%s: %v", e.data, err)
		}
	}
	switch e.name {
	case "list":
		var p struct {
			Total    int
			Torrents []map[string]any
		}
		r2(&p)
		*r = replica{rows: map[string]map[string]any{}, total: p.Total}
		for _, x := range p.Torrents {
			id := x["id"].(string)
			r.order = append(r.order, id)
			r.rows[id] = x
		}
	case "delta":
		var d struct {
			Total   int
			Order   *[]string
			Changed []map[string]any
		}
		r2(&d)
		r.total = d.Total
		for _, x := range d.Changed {
			id := x["id"].(string)
			if r.rows[id] == nil {
				r.rows[id] = map[string]any{}
			}
			maps.Copy(r.rows[id], x)
		}
		if d.Order != nil {
			r.order = *d.Order
		}
	}
}

// What a client puts together of a list and deltas is what it would be told anew.
func TestDeltasAddUp(t *testing.T) {
	s, f := fakeNode(t, 200, nil)
	quick(s)
	c := as(t, s, accounts.User)
	address := listen(t, s)
	const query = "state=downloading,seeding&sort=down_rate&desc=true&limit=30"
	next, _ := subscribe(t, address, c.token, query)
	var r replica
	r.take(t, next())
	if len(r.order) != 30 {
		t.Fatalf("%d rows", len(r.order))
	}
	for i := range 40 {
		f.Step()
		switch i % 4 {
		case 1:
			c.do(204, "POST", "/torrents/actions", map[string]any{"action": "remove", "ids": []string{r.order[0]}})
		case 2:
			c.do(200, "PATCH", "/torrents/"+r.order[1], map[string]any{"tags": []string{fmt.Sprint(i)}, "name": fmt.Sprint("name ", i)})
		case 3:
			c.do(204, "POST", "/torrents/actions", map[string]any{"action": "pause", "ids": []string{r.order[2]}})
		}
		for want := f.Revision(); ; {
			e := next()
			r.take(t, e)
			var d struct{ Revision uint64 }
			json.Unmarshal([]byte(e.data), &d)
			if d.Revision >= want {
				break
			}
		}
		var p struct {
			Total    int
			Torrents []map[string]any
		}
		c.get("/torrents?"+query, &p)
		if p.Total != r.total || len(p.Torrents) != len(r.order) {
			t.Fatalf("step %d: total %d, %d rows; the client has %d, %d", i, p.Total, len(p.Torrents), r.total, len(r.order))
		}
		for k, x := range p.Torrents {
			have := r.rows[r.order[k]]
			for name, v := range x {
				if fmt.Sprint(have[name]) != fmt.Sprint(v) {
					t.Fatalf("step %d, row %d: %s is %v, the client has %v", i, k, name, v, have[name])
				}
			}
		}
	}
}

func TestEmptyWindowIsTold(t *testing.T) {
	s, f := fakeNode(t, 3, nil)
	quick(s)
	c := as(t, s, accounts.User)
	next, _ := subscribe(t, listen(t, s), c.token, "q=x")
	var r replica
	r.take(t, next())
	c.do(200, "PATCH", "/torrents/"+f.Order[0], `{"name":"x"}`)
	for len(r.order) == 0 {
		r.take(t, next())
	}
	c.do(204, "DELETE", "/torrents/"+r.order[0], nil)
	for len(r.order) > 0 {
		r.take(t, next())
	}
	if r.total != 0 {
		t.Fatal(r.total)
	}
}

func TestDetailEvents(t *testing.T) {
	s, f := fakeNode(t, 50, nil)
	quick(s)
	f.Step()
	c := as(t, s, accounts.Admin)
	var p library.Page
	c.get("/torrents?state=downloading", &p)
	id := p.Torrents[0].ID
	next, _ := subscribe(t, listen(t, s), c.token, "limit=0&torrent="+id+"&parts=files,peers,trackers,pieces&log=info")
	wait := func(name string) (e event) {
		for e.name != name {
			e = next()
		}
		return e
	}
	var first, second api.DetailEvent
	e := next()
	if e.name != "stats" {
		t.Fatalf("a list was told that was not asked for: %s", e.name)
	}
	json.Unmarshal([]byte(wait("detail").data), &first)
	if !first.Full || len(first.Torrent) < 30 || len(first.Files) == 0 || len(first.Peers) == 0 || len(first.Trackers) != 3 || len(first.Pieces) != 1 {
		t.Fatalf("%+v", first)
	}
	have := slices.Clone(first.Pieces[0].States)
	for range 5 {
		f.Step()
		second = api.DetailEvent{}
		json.Unmarshal([]byte(wait("detail").data), &second)
		for _, run := range second.Pieces {
			copy(have[run.At:], run.States)
		}
	}
	if want, _ := f.Pieces(id); !bytes.Equal(have, want) || second.Full || len(second.Trackers) != 0 || second.Torrent["name"] != nil || second.Torrent["done"] == nil {
		t.Fatalf("%+v", second)
	}
	c.do(202, "POST", "/shares", `{"path":"/srv/film"}`)
	if e := wait("job"); !strings.Contains(e.data, "/srv/film") {
		t.Fatal(e)
	}
	s.Logger.Warn("look here")
	if e := wait("log"); !strings.Contains(e.data, "look here") {
		t.Fatal(e)
	}
	c.do(204, "DELETE", "/torrents/"+id, nil)
	for second = (api.DetailEvent{}); !second.Gone; {
		json.Unmarshal([]byte(wait("detail").data), &second)
	}
}

func TestEventsNeedRights(t *testing.T) {
	s, _ := fakeNode(t, 1, nil)
	nobody(t, s).do(401, "GET", "/events", nil)
	c := as(t, s, accounts.User)
	c.do(403, "GET", "/events?log=info", nil)
	c.do(422, "GET", "/events?limit=501", nil)
	c.do(422, "GET", "/events?torrent=x", nil)
}

// Ten thousand streams are asked for: what is too many gets 503, and who leaves makes room.
func TestTooManyStreams(t *testing.T) {
	s, _ := fakeNode(t, 10, nil)
	var open []func()
	refused := 0
	for user := range 500 {
		for range 20 {
			release, err := s.streams.take(accounts.Identity{Name: fmt.Sprint("user ", user)})
			if err != nil {
				refused++
			} else {
				open = append(open, release)
			}
		}
	}
	if len(open) != maxStreams || refused != 10000-maxStreams {
		t.Fatalf("%d open, %d refused", len(open), refused)
	}
	c := as(t, s, accounts.Viewer)
	w := c.do(503, "GET", "/events", nil)
	if w.Header().Get("Retry-After") == "" || w.Header().Get("Connection") != "close" || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Fatalf("%v", w.Header())
	}
	for _, release := range open {
		release()
	}
	if s.streams.all != 0 || len(s.streams.by) != 0 {
		t.Fatalf("%d open, %v", s.streams.all, s.streams.by)
	}
}

func TestStreamsOfOneLogin(t *testing.T) {
	s, _ := fakeNode(t, 10, nil)
	quick(s)
	c, other := as(t, s, accounts.Viewer), as(t, s, accounts.User)
	address := listen(t, s)
	var ends []func()
	for range maxPerLogin {
		next, end := subscribe(t, address, c.token, "limit=1")
		next()
		ends = append(ends, end)
	}
	c.do(503, "GET", "/events", nil)
	subscribe(t, address, other.token, "limit=1")
	ends[0]()
	for { // its handler ends on its own time
		s.streams.mu.Lock()
		n := s.streams.all
		s.streams.mu.Unlock()
		if n == maxPerLogin { // 19 of the first, one of the other
			break
		}
		time.Sleep(time.Millisecond)
	}
	subscribe(t, address, c.token, "limit=1")
}

// A client that does not read is cut off, and what waits for it is bounded by the socket.
func TestStreamsOfWhoDoesNotRead(t *testing.T) {
	s, f := fakeNode(t, 600, nil)
	quick(s)
	s.eventDeadline = 100 * time.Millisecond
	c := as(t, s, accounts.Viewer)
	conn, err := net.Dial("tcp", listen(t, s))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.(*net.TCPConn).SetReadBuffer(4096)
	fmt.Fprintf(conn, "GET %s/events?limit=500 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", prefix, c.token)
	began := false
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		f.Step()
		s.streams.mu.Lock()
		n := s.streams.all
		s.streams.mu.Unlock()
		if began = began || n == 1; began && n == 0 {
			return
		}
	}
	t.Fatal("it is still served")
}

func TestStopEndsStreams(t *testing.T) {
	s, _ := fakeNode(t, 1, nil)
	quick(s)
	c := as(t, s, accounts.Viewer)
	address := listen(t, s)
	q, _ := http.NewRequest("GET", "http://"+address+prefix+"/events", nil)
	q.Header.Set("Authorization", "Bearer "+c.token)
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	s.Stop()
	if _, err := io.ReadAll(r.Body); err != nil {
		t.Fatal(err)
	}
}

func TestStreamEndsWithTheRight(t *testing.T) {
	s, f := fakeNode(t, 1, nil)
	as(t, s, accounts.Viewer)
	in := &EventsInput{Limit: 1}
	q := nobody(t, s).request("GET", prefix+"/events", nil)
	q.Header.Set("Authorization", "Bearer shoal_gone")
	st := newStream(s, in, q, httptest.NewRecorder())
	st.asked = time.Now()
	if !st.look() {
		t.Fatal("ended at once")
	}
	f.Step()
	st.asked = time.Now().Add(-askAgain - time.Second)
	if st.look() {
		t.Fatal("a token that is gone is still told")
	}
}

// What a client reads of a window of 50 rows that all change, a second, is a part of what is allowed; see docs/api.md.
func TestBytesOfASecondAreFew(t *testing.T) {
	s, f := fakeNode(t, 20_000-race*18_000, nil)
	f.Step()
	w := httptest.NewRecorder()
	st := newStream(s, &EventsInput{ListQuery: ListQuery{State: []string{"downloading"}, Sort: "name"}, Limit: 50}, nobody(t, s).request("GET", prefix+"/events", nil), w)
	st.asked = time.Now().Add(time.Hour)
	st.look()
	w.Body.Reset()
	for range 10 {
		f.Step()
		clear(s.lists.known)
		if !st.look() {
			t.Fatal("ended")
		}
	}
	perSecond := w.Body.Len() / 10
	t.Logf("%d bytes a second", perSecond)
	if perSecond > 30_000 || perSecond < 1000 {
		t.Fatalf("%d bytes a second", perSecond)
	}
}

func TestPieceRuns(t *testing.T) {
	was := make([]byte, 10000)
	is := slices.Clone(was)
	for i := range is {
		if i%3 == 0 && i < 300 || i%50 == 0 && i < 5000 || i == 9999 {
			is[i] = 2
		}
	}
	got := slices.Clone(was)
	runs := pieceRuns(was, is)
	for _, r := range runs {
		copy(got[r.At:], r.States)
	}
	if !bytes.Equal(got, is) || len(runs) < 50 {
		t.Fatalf("%d runs", len(runs))
	}
	if pieceRuns(is, is) != nil || len(pieceRuns(nil, is)) != 1 || len(pieceRuns(is, nil)) != 1 {
		t.Fatal("sizes that change")
	}
	for i := range is {
		if i%20 == 0 {
			is[i] = 7
		}
	}
	if runs = pieceRuns(make([]byte, 20000), append(is, is...)); len(runs) != 1 || len(runs[0].States) != 20000 {
		t.Fatalf("%d runs", len(runs))
	}
}

// answered answers at once, so that what is measured is the server.
type answered struct {
	*apitest.Library
	page library.Page
}

func (a *answered) List(library.Query) (library.Page, error) { return a.page, nil }

func BenchmarkList100(b *testing.B) {
	f := apitest.New(20000)
	p, _ := f.List(library.Query{Limit: 100})
	s, _ := fakeNode(b, 1, func(c *Config) { c.Library = &answered{f, p} })
	c := as(b, s, accounts.Viewer)
	for b.Loop() {
		c.do(200, "GET", "/torrents?limit=100", nil)
	}
}

func BenchmarkDelta50(b *testing.B) {
	f := apitest.New(2000)
	f.Step()
	q := library.Query{Limit: 50, State: []library.State{library.Downloading}}
	p1, _ := f.List(q)
	f.Step()
	p2, _ := f.List(q)
	w1, w2 := newWindow(p1), newWindow(p2)
	for i := 0; b.Loop(); i++ {
		var d api.Delta
		if i%2 == 0 {
			d, _ = w1.delta(p2, w2)
		} else {
			d, _ = w2.delta(p1, w1)
		}
		if _, err := json.Marshal(d); err != nil {
			b.Fatal(err)
		}
	}
}

// Over real connections, ten thousand streams of which none is given up by its client: a login has its twenty, the rest is told when to come
// again and closed, and the node's memory stays small.
func TestCrowdOfStreams(t *testing.T) {
	const crowd = 10_000 - race*9_500 // what the race detector slows is run again without it
	s, _ := fakeNode(t, 1000, nil)
	c := as(t, s, accounts.Viewer)
	address := listen(t, s)
	request := fmt.Sprintf("GET %s/events?limit=100 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", prefix, c.token)
	type result struct {
		status string
		err    error
	}
	results := make(chan result)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := time.Now()
	turns := make(chan struct{}, 200) // as many connect at a time as wait in a listener's queue
	hold := make(chan struct{})
	for range crowd {
		go func() {
			turns <- struct{}{}
			conn, err := net.Dial("tcp", address)
			if err != nil {
				<-turns
				results <- result{err: err}
				return
			}
			defer conn.Close()
			_, err = io.WriteString(conn, request)
			head := make([]byte, 12)
			if err == nil {
				_, err = io.ReadFull(conn, head)
			}
			<-turns
			results <- result{string(head[9:]), err}
			<-hold
		}()
	}
	counts := map[string]int{}
	for range crowd {
		r := <-results
		if r.err != nil {
			counts[r.err.Error()]++
		} else {
			counts[r.status]++
		}
	}
	took := time.Since(began)
	runtime.GC()
	runtime.ReadMemStats(&after)
	close(hold)
	t.Logf("%v in %v, %d MiB more in use", counts, took.Round(time.Millisecond), (int64(after.HeapInuse+after.StackInuse)-int64(before.HeapInuse+before.StackInuse))>>20)
	if counts["200"] != maxPerLogin || counts["503"] != crowd-maxPerLogin {
		t.Fatalf("%v", counts)
	}
}
