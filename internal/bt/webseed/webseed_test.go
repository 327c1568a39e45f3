package webseed

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"shoal/internal/block"
	"shoal/internal/bt/metainfo"
	"shoal/internal/ident"
	"shoal/internal/layout"
	"shoal/internal/netx"
	"shoal/internal/simnet"
)

const pieceLength = 64 << 10

// torrent is content for tests: its address space, gaps included, and what describes it.
type torrent struct {
	info *metainfo.Info
	data []byte
}

func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n)})
	r.Read(b)
	return b
}

// single is one file; folder is several with gaps, an empty one and odd names.
func single(size int) torrent {
	return torrent{&metainfo.Info{Name: "my file.bin", Hash: ident.InfoHash{V1: ident.V1{0, ' ', '+', 'a', 19: 0xff}}, Layout: layout.Layout{
		Files: []layout.File{{Path: "my file.bin", Length: int64(size)}}, Size: int64(size), PieceLength: pieceLength}}, random(size)}
}

func folder() torrent {
	t := torrent{&metainfo.Info{Name: "dir", Folder: true, Layout: layout.Layout{PieceLength: pieceLength, Size: 300000, Files: []layout.File{
		{Path: "dir/a b%.txt", Offset: 0, Length: 100},
		{Path: "dir/empty", Offset: 100, Length: 0},
		{Path: "dir/sub/ü?#.bin", Offset: 100, Length: 70000},
		{Path: "dir/aligned", Offset: 2 * pieceLength, Length: 100000},
	}}}, random(300000)}
	clear(t.data[70100 : 2*pieceLength])
	clear(t.data[2*pieceLength+100000:])
	return t
}

// requests returns all blocks of the pieces from first to before end.
func (t torrent) requests(first, end int) (rs []Request) {
	l := &t.info.Layout
	for p := first; p < end; p++ {
		for begin := 0; begin < l.PieceLen(p); begin += block.Size {
			rs = append(rs, Request{p, begin, min(block.Size, l.PieceLen(p)-begin)})
		}
	}
	return rs
}

func (t torrent) want(r Request) []byte {
	at := r.Piece*pieceLength + r.Begin
	return t.data[at : at+r.Length]
}

// files serves the files of a torrent, below /base/.
func (t torrent) files() http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for _, f := range t.info.Layout.Files {
			if r.URL.Path == "/base/"+f.Path {
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(t.data[f.Offset:f.Offset+f.Length]))
				return
			}
		}
		http.NotFound(w, r)
	}
}

// sink records what a seed says.
type sink struct {
	t  *testing.T
	of torrent

	mu       sync.Mutex
	got      []Request
	rejected []Request
	err      error
	retry    time.Duration
	change   chan struct{}
	hold     func(r Request) // called for each block, without the lock
}

func (s *sink) Block(r Request, b *block.Block) {
	if s.hold != nil {
		s.hold(r)
	}
	if !bytes.Equal(b.Bytes(), s.of.want(r)) {
		s.t.Errorf("wrong bytes for %v", r)
	}
	b.Release()
	s.update(func() { s.got = append(s.got, r) })
}

func (s *sink) Reject(r Request) { s.update(func() { s.rejected = append(s.rejected, r) }) }

func (s *sink) Down(err error, retry time.Duration) { s.update(func() { s.err, s.retry = err, retry }) }

func (s *sink) update(f func()) {
	s.mu.Lock()
	f()
	s.mu.Unlock()
	select {
	case s.change <- struct{}{}:
	default:
	}
}

// until waits for a condition that a call of the sink brings about.
func (s *sink) until(cond func() bool) {
	for {
		s.mu.Lock()
		ok := cond()
		s.mu.Unlock()
		if ok {
			return
		}
		<-s.change
	}
}

func (s *sink) settled(n int) { s.until(func() bool { return len(s.got)+len(s.rejected) >= n }) }
func (s *sink) down()         { s.until(func() bool { return s.err != nil }) }

type bench struct {
	*sink
	seed   *Seed
	pool   *block.Pool
	client *http.Client
	server *httptest.Server
}

// start serves with h on loopback, and makes a seed of what is at path there.
func start(t *testing.T, of torrent, kind Kind, path string, h http.HandlerFunc) *bench {
	t.Helper()
	b := &bench{sink: &sink{t: t, of: of, change: make(chan struct{}, 1)}, pool: block.NewPool(0)}
	b.server = httptest.NewServer(h)
	b.client = netx.HTTPClient(netx.NewHost(netx.Options{}), netx.HTTPOptions{})
	b.seed = New(b.client, b.server.URL+path, kind, of.info, b.pool, b.sink)
	t.Cleanup(func() {
		b.seed.Close()
		b.client.CloseIdleConnections()
		b.server.Close()
	})
	return b
}

func (b *bench) all(t *testing.T, rs []Request) {
	t.Helper()
	b.seed.Request(rs)
	b.settled(len(rs))
	if !slices.Equal(b.got, rs) || b.err != nil {
		t.Errorf("%d of %d blocks came, %d were rejected, %v", len(b.got), len(rs), len(b.rejected), b.err)
	}
	if n, peak, _ := b.pool.Lent(); n != 0 || peak > 1 {
		t.Errorf("%d blocks are lent, %d were at most", n, peak)
	}
}

// counting wraps a handler and notes the path and Range of each request.
func counting(h http.HandlerFunc) (http.HandlerFunc, *[]string) {
	var asked []string
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.URL.EscapedPath()+" "+r.Header.Get("Range"))
		mu.Unlock()
		if r.Header.Get("Accept-Encoding") != "identity" {
			http.Error(w, "compression", http.StatusTeapot)
			return
		}
		h(w, r)
	}, &asked
}

func TestSingleFile(t *testing.T) {
	of := single(5*pieceLength + 1000)
	for path, want := range map[string]string{"/base/my%20file.bin": "/base/my%20file.bin", "/base/": "/base/my%20file.bin"} {
		h, asked := counting(of.files())
		b := start(t, of, URLList, path, h)
		b.all(t, of.requests(1, 6))
		if got := *asked; len(got) != 1 || got[0] != want+" bytes=65536-328679" {
			t.Errorf("%s: asked for %q", path, got)
		}
	}
}

func TestFolder(t *testing.T) {
	of := folder()
	for _, path := range []string{"/base/", "/base"} {
		h, asked := counting(of.files())
		b := start(t, of, URLList, path, h)
		b.all(t, of.requests(0, of.info.Layout.Pieces()))
		want := []string{"/base/dir/a%20b%25.txt ", "/base/dir/sub/%C3%BC%3F%23.bin ", "/base/dir/aligned "}
		if !slices.Equal(*asked, want) {
			t.Errorf("%s: asked for %q", path, *asked)
		}
	}
}

func TestRuns(t *testing.T) {
	of := single(20 << 20)
	h, asked := counting(of.files())
	b := start(t, of, URLList, "/base/", h)
	l := of.info.Layout.Pieces()
	rs := append(of.requests(10, 11), of.requests(3, 5)...)
	rs = append(rs, of.requests(20, l)...)
	b.all(t, rs)
	want := []string{"bytes=655360-720895", "bytes=196608-327679", "bytes=1310720-9699327", "bytes=9699328-18087935", "bytes=18087936-20971519"}
	for i, w := range want {
		if len(*asked) != len(want) || !strings.HasSuffix((*asked)[i], w) {
			t.Fatalf("asked for %q", *asked)
		}
	}
}

func TestHTTPSeeds(t *testing.T) {
	of := folder()
	var queries []string
	b := start(t, of, HTTPSeeds, "/seed.php?key=1", func(w http.ResponseWriter, r *http.Request) {
		queries = append(queries, r.URL.RawQuery)
		q := r.URL.Query()
		var piece, from, to int
		fmt.Sscan(q.Get("piece"), &piece)
		if n, _ := fmt.Sscanf(q.Get("ranges"), "%d-%d", &from, &to); n != 2 || q.Get("key") != "1" {
			http.Error(w, "bad", http.StatusBadRequest)
			return
		}
		hash := of.info.Hash.Key()
		if q.Get("info_hash") != string(hash[:]) {
			http.Error(w, "unknown", http.StatusNotFound)
			return
		}
		w.Write(of.data[piece*pieceLength+from : piece*pieceLength+to+1])
	})
	of.info.Hash = single(1).info.Hash
	b.all(t, of.requests(1, 3))
	want := "key=1&info_hash=%00%20%2Ba" + strings.Repeat("%00", 15) + "%FF&piece=1&ranges=0-65535"
	if len(queries) != 2 || queries[0] != want {
		t.Errorf("asked for %q, want %q", queries, want)
	}
}

func TestRedirect(t *testing.T) {
	of := folder()
	h := of.files()
	b := start(t, of, URLList, "/elsewhere/", func(w http.ResponseWriter, r *http.Request) {
		if rest, ok := strings.CutPrefix(r.URL.EscapedPath(), "/elsewhere/"); ok {
			http.Redirect(w, r, "/base/"+rest, http.StatusFound)
			return
		}
		h(w, r)
	})
	b.all(t, of.requests(0, 2))
}

func TestServerWithoutRanges(t *testing.T) {
	of := single(3 << 20)
	h := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(of.data)))
		w.Write(of.data)
	}
	b := start(t, of, URLList, "/f", h)
	b.all(t, of.requests(15, 17)) // 1 MiB is skipped at most: piece 16 begins there
	b = start(t, of, URLList, "/f", h)
	b.all(t, of.requests(0, of.info.Layout.Pieces()))
	b = start(t, of, URLList, "/f", h)
	b.seed.Request(of.requests(17, 18))
	b.down()
	if len(b.rejected) != 4 || b.retry != gone || !strings.Contains(b.err.Error(), "cannot send parts") {
		t.Errorf("%d rejected, %v, %v", len(b.rejected), b.err, b.retry)
	}
}

// TestRefusals holds what servers do wrong, and how long they are left alone for it.
func TestRefusals(t *testing.T) {
	of := single(2 * pieceLength)
	header := func(code int, pairs ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			for i := 0; i < len(pairs); i += 2 {
				w.Header().Set(pairs[i], pairs[i+1])
			}
			w.WriteHeader(code)
			io.WriteString(w, "120 ")
		}
	}
	part := func(value string) http.HandlerFunc { return header(http.StatusPartialContent, "Content-Range", value) }
	for name, c := range map[string]struct {
		h     http.HandlerFunc
		what  string
		retry time.Duration
	}{
		"404":                     {header(404), "not there (404 Not Found)", gone},
		"410":                     {header(410), "not there", gone},
		"403":                     {header(403), "403 Forbidden", gone},
		"416":                     {header(416), "416", gone},
		"500":                     {header(500), "500 Internal", minBackoff},
		"503, header":             {header(503, "Retry-After", "77"), "busy", 77 * time.Second},
		"503, date long past":     {header(503, "Retry-After", "Mon, 02 Jan 2006 15:04:05 GMT"), "busy", time.Second},
		"503, for ever":           {header(503, "Retry-After", "99999999999"), "busy", maxRetry},
		"503, overflow":           {header(503, "Retry-After", "99999999999999999999"), "busy", minBackoff},
		"503, nonsense":           {header(503, "Retry-After", "soon"), "busy", minBackoff},
		"503, body":               {header(503), "busy", 120 * time.Second},
		"429":                     {header(429, "Retry-After", "9"), "busy", 9 * time.Second},
		"redirects in a circle":   {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, 302) }, "more than 5 redirects", minBackoff},
		"no Content-Range":        {header(206), `Content-Range ""`, gone},
		"garbled Content-Range":   {part("bytes x-y/z"), "Content-Range", gone},
		"half a Content-Range":    {part("bytes 5"), "Content-Range", gone},
		"other bytes":             {part("bytes 0-131071/131072"), "the server sends 0 to", gone},
		"too few bytes":           {part("bytes 65536-65540/131072"), "the server sends 65536 to 65540", gone},
		"another size":            {part("bytes 65536-131071/131073"), "has 131073 bytes, not 131072", gone},
		"another size, 200":       {header(200, "Content-Length", "4"), "has 4 bytes", gone},
		"the body ends at once":   {part("bytes 65536-131071/*"), "ends 65532 bytes too early", minBackoff},
		"200, ends while skipped": {header(200), "ends before", minBackoff},
		"compressed":              {header(206, "Content-Encoding", "gzip"), `insists on Content-Encoding "gzip"`, gone},
		"hangs up":                {func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, "EOF", minBackoff},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "200, ends while skipped" { // not told how long the body is
				c.h = func(w http.ResponseWriter, r *http.Request) {
					w.WriteHeader(200)
					w.(http.Flusher).Flush()
				}
			}
			b := start(t, of, URLList, "/f", c.h)
			rs := of.requests(1, 2)
			b.seed.Request(rs)
			b.down()
			if len(b.got) != 0 || !slices.Equal(b.rejected, rs) {
				t.Errorf("got %v, rejected %v", b.got, b.rejected)
			}
			if !strings.Contains(b.err.Error(), c.what) || b.retry != c.retry {
				t.Errorf("%v, retry in %v", b.err, b.retry)
			}
			if strings.Contains(b.err.Error(), b.server.URL) {
				t.Error("the error repeats the URL:", b.err)
			}
			b.seed.Request(rs)
			b.settled(2 * len(rs)) // at once, without asking the server
			if n, _, _ := b.pool.Lent(); n != 0 {
				t.Errorf("%d blocks are lent", n)
			}
		})
	}
}

func TestBadURLs(t *testing.T) {
	of := single(100)
	for _, url := range []string{"ftp://host/f", "http://", "http://a b/", "file:///etc/passwd", "x", "http://[::1"} {
		s := &sink{t: t, of: of, change: make(chan struct{}, 1)}
		seed := New(http.DefaultClient, url, URLList, of.info, block.NewPool(0), s)
		seed.Request(of.requests(0, 1))
		s.down()
		if s.retry != gone || len(s.rejected) != 1 || !strings.Contains(s.err.Error(), "URL is not") {
			t.Errorf("%s: %v, %v", url, s.err, s.retry)
		}
		seed.Close()
	}
}

// TestShortBody checks that what came before the end is used, and the rest rejected.
func TestShortBody(t *testing.T) {
	of := single(2 * pieceLength)
	b := start(t, of, URLList, "/f", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Range", "bytes 65536-131071/131072")
		w.Header().Set("Content-Length", "65536")
		w.WriteHeader(206)
		w.Write(of.data[pieceLength : pieceLength+2*block.Size+5])
	})
	rs := of.requests(1, 2)
	b.seed.Request(rs)
	b.down()
	if !slices.Equal(b.got, rs[:2]) || !slices.Equal(b.rejected, rs[2:]) || !strings.Contains(b.err.Error(), "32763 bytes too early") {
		t.Errorf("got %v, rejected %v, %v", b.got, b.rejected, b.err)
	}
}

func TestLongBody(t *testing.T) {
	of := single(2 * pieceLength)
	b := start(t, of, URLList, "/f", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Range", "bytes 65536-131071/131072")
		w.WriteHeader(206)
		w.Write(of.data[pieceLength:])
		for {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	})
	b.all(t, of.requests(1, 2))
}

func TestCancel(t *testing.T) {
	of := single(8 * pieceLength)
	first, release := make(chan struct{}), make(chan struct{})
	h, asked := counting(of.files())
	b := start(t, of, URLList, "/base/", h)
	b.hold = func(r Request) {
		if r == (Request{0, 0, block.Size}) {
			close(first)
			<-release
		}
	}
	rs := of.requests(0, 1)
	later := of.requests(4, 6)
	b.seed.Request(rs)
	<-first
	b.seed.Request(later)
	b.seed.Cancel(rs[1], later[0], Request{7, 0, 1})
	close(release)
	b.settled(3 + 7)
	if want := append([]Request{rs[0], rs[2], rs[3]}, later[1:]...); !slices.Equal(b.got, want) {
		t.Errorf("got %v, rejected %v", b.got, b.rejected)
	}
	if len(*asked) != 2 || b.err != nil {
		t.Error(*asked, b.err)
	}
}

// TestCancelAll checks that a run that nobody wants any more ends its request, and that the seed goes on.
func TestCancelAll(t *testing.T) {
	of := single(4 * pieceLength)
	h := of.files()
	ended := make(chan struct{})
	b := start(t, of, URLList, "/base/", func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Range"), "bytes=0-") {
			h(w, r)
			return
		}
		w.Header().Set("Content-Range", "bytes 0-65535/262144")
		w.WriteHeader(206)
		w.Write(of.data[:block.Size])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		close(ended)
	})
	rs := of.requests(0, 1)
	b.seed.Request(rs)
	b.settled(1)
	b.seed.Cancel(rs[1:]...)
	<-ended
	more := of.requests(2, 3)
	b.seed.Request(more)
	b.settled(5)
	if b.err != nil || len(b.rejected) > 0 || !slices.Equal(b.got[1:], more) {
		t.Error(b.got, b.rejected, b.err)
	}
}

func TestClose(t *testing.T) {
	of := single(4 * pieceLength)
	ended := make(chan struct{})
	b := start(t, of, URLList, "/base/", func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		close(ended)
	})
	b.seed.Request(of.requests(0, 1))
	for { // until it is asked
		if n, _, _ := b.pool.Lent(); n == 1 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	time.Sleep(10 * time.Millisecond)
	b.seed.Close()
	b.seed.Request(of.requests(1, 2))
	for {
		if n, _, _ := b.pool.Lent(); n == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if len(b.got)+len(b.rejected) > 0 || b.err != nil {
		t.Error("the sink hears of a seed that is closed")
	}
}

// inBubble serves over a simulated network in virtual time.
func inBubble(t *testing.T, of torrent, h http.HandlerFunc, f func(t *testing.T, b *bench)) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		server := n.Host(netip.MustParseAddr("10.0.0.1"), simnet.Link{Latency: 10 * time.Millisecond})
		us := n.Host(netip.MustParseAddr("10.0.0.2"), simnet.Link{})
		l, err := server.Listen(t.Context(), "tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: h}
		go srv.Serve(l)
		defer srv.Close()
		b := &bench{sink: &sink{t: t, of: of, change: make(chan struct{}, 1)}, pool: block.NewPool(0)}
		b.client = netx.HTTPClient(us, netx.HTTPOptions{})
		defer b.client.CloseIdleConnections()
		b.seed = New(b.client, "http://10.0.0.1/base/", URLList, of.info, b.pool, b.sink)
		defer b.seed.Close()
		f(t, b)
	})
}

func TestStall(t *testing.T) {
	of := single(4 * pieceLength)
	for name, answer := range map[string]func(w http.ResponseWriter){
		"no header": func(http.ResponseWriter) {},
		"no body": func(w http.ResponseWriter) {
			w.Header().Set("Content-Range", "bytes 0-65535/262144")
			w.WriteHeader(206)
			w.Write(of.data[:100])
			w.(http.Flusher).Flush()
		},
		"no reason": func(w http.ResponseWriter) {
			w.WriteHeader(503)
			w.(http.Flusher).Flush()
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, of, func(w http.ResponseWriter, r *http.Request) {
				answer(w)
				<-r.Context().Done()
			}, func(t *testing.T, b *bench) {
				start := time.Now()
				b.seed.Request(of.requests(0, 1))
				b.down()
				if d := time.Since(start); d < stall || d > stall+time.Second || !strings.Contains(b.err.Error(), "no byte has arrived for 20s") {
					t.Errorf("after %v: %v", d, b.err)
				}
			})
		})
	}
}

// TestOwnSlownessIsNoStall checks that a seed is not blamed while we have no memory for its blocks.
func TestOwnSlownessIsNoStall(t *testing.T) {
	of := single(4 * pieceLength)
	inBubble(t, of, of.files(), func(t *testing.T, b *bench) {
		var held []*block.Block
		for x := b.pool.TryGet(); x != nil; x = b.pool.TryGet() {
			held = append(held, x)
		}
		b.hold = func(Request) { time.Sleep(time.Hour) }
		rs := of.requests(0, 2)
		b.seed.Request(rs)
		time.Sleep(time.Hour)
		for _, x := range held {
			x.Release()
		}
		b.settled(len(rs))
		if b.err != nil || len(b.got) != len(rs) {
			t.Errorf("%d blocks, %v", len(b.got), b.err)
		}
	})
}

func TestBackoff(t *testing.T) {
	of := single(4 * pieceLength)
	works := false
	files := of.files()
	h, asked := counting(func(w http.ResponseWriter, r *http.Request) {
		if works {
			files(w, r)
			return
		}
		w.WriteHeader(500)
	})
	inBubble(t, of, h, func(t *testing.T, b *bench) {
		rs := of.requests(0, 1)
		fail := func() time.Duration {
			b.seed.Request(rs)
			b.down()
			d := b.retry
			b.err, b.rejected = nil, nil
			time.Sleep(d)
			return d
		}
		for i := range 12 {
			if d := fail(); d != min(minBackoff<<i, maxBackoff) {
				t.Errorf("failure %d: retry in %v", i, d)
			}
		}
		works = true
		b.seed.Request(rs)
		b.settled(len(rs))
		works = false
		if d := fail(); d != minBackoff {
			t.Errorf("after a success: retry in %v", d)
		}
		if len(*asked) != 14 {
			t.Errorf("asked %d times", len(*asked))
		}
	})
}
