package stream

import (
	"context"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"shoal/internal/bt/picker"
	"shoal/internal/bt/session"
	"shoal/internal/bt/torrent"
)

// shop is a torrent with some files that a server serves, in a bubble.
type shop struct {
	*world
	*Server
	id  string
	tor *torrent.Torrent
}

var shopFiles = []string{"Film 2.mkv", "Film 10.mp4", "page.html", "Film 2.en.srt", "drawing.svg", "Ünï.mp3"}

func openShop(w *world) *shop {
	f := film(w.T, 64<<10, mib, 2*mib, 100, 300, 100, mib)
	for i := range f.Info.Layout.Files {
		f.Info.Layout.Files[i].Path = "films/" + shopFiles[i]
	}
	a, b := w.node(line), w.node(line)
	w.seed(a, f, 0)
	s := &shop{world: w, id: f.Info.Hash.Key().String()}
	s.tor = w.add(b, session.Spec{Torrent: f, Peers: addrs(a)})
	s.Server = NewServer([]byte("a secret"), func(id string) *torrent.Torrent {
		if id == s.id {
			return s.tor
		}
		return nil
	}, Options{})
	return s
}

func (s *shop) do(method, url string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(s.Context(), method, url, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func (s *shop) url(i int) string { return s.URL("http://host:1", s.id, i, shopFiles[i]) }

func TestServeFiles(t *testing.T) {
	simulate(t, 1, func(w *world) {
		s := openShop(w)
		for _, c := range []struct {
			index              int
			header             []string
			status, from, size int
			mediaType, how     string
		}{
			{0, nil, 200, 0, mib, "video/x-matroska", "inline"},
			{1, []string{"Range", "bytes=1000000-1000009"}, 206, 1000000, 10, "video/mp4", "inline"},
			{1, []string{"Range", "bytes=-5"}, 206, 2*mib - 5, 5, "video/mp4", "inline"},
			{1, []string{"Range", "bytes=5-4"}, 416, 0, -1, "", ""},
			{1, []string{"Range", "bytes=99999999-"}, 416, 0, -1, "", ""},
			{0, []string{"Range", "bytes=0-0" + strings.Repeat(",1-1", 100)}, 200, 0, mib, "video/x-matroska", "inline"},
			{0, []string{"Range", "bytes=0-0", "If-Range", `"other"`}, 200, 0, mib, "video/x-matroska", "inline"},
			{2, nil, 200, 0, 100, "application/octet-stream", "attachment"},
			{4, nil, 200, 0, 100, "application/octet-stream", "attachment"},
			{5, nil, 200, 0, mib, "audio/mpeg", "inline"},
		} {
			got := s.do("GET", s.url(c.index), c.header...)
			if got.Code != c.status {
				t.Errorf("%d %v: %d %s", c.index, c.header, got.Code, got.Body)
				continue
			}
			if c.size < 0 {
				continue
			}
			if b := got.Body.Bytes(); len(b) != c.size || !right(b, s.tor.Info().Layout.Files[c.index].Offset+int64(c.from)) {
				t.Errorf("%d %v: %d bytes that differ", c.index, c.header, len(b))
			}
			h := got.Header()
			how, params, err := mime.ParseMediaType(h.Get("Content-Disposition"))
			if h.Get("Content-Type") != c.mediaType || how != c.how || params["filename"] != shopFiles[c.index] || err != nil {
				t.Errorf("%d: %v", c.index, h)
			}
			if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Access-Control-Allow-Origin") != "" || h.Get("Accept-Ranges") != "bytes" {
				t.Errorf("%d: %v", c.index, h)
			}
		}
		if h := s.do("HEAD", s.url(0), "getcontentFeatures.dlna.org", "1").Header(); h.Get("contentFeatures.dlna.org") != "DLNA.ORG_OP=01" {
			t.Errorf("a renderer is told %v", h)
		}
		tag := s.do("HEAD", s.url(0)).Header().Get("ETag")
		if got := s.do("GET", s.url(0), "If-None-Match", tag); tag == "" || got.Code != 304 {
			t.Errorf("ETag %q: %d", tag, got.Code)
		}
	})
}

// What asks for no bytes has nothing fetched.
func TestHeadersFetchNothing(t *testing.T) {
	simulate(t, 1, func(w *world) {
		s := openShop(w)
		w.net.Partition(w.nodes[0].host, w.nodes[1].host)
		got := s.do("HEAD", s.url(1))
		if got.Code != 200 || got.Header().Get("Content-Length") != fmt.Sprint(2*mib) || got.Body.Len() != 0 {
			t.Errorf("%d %v", got.Code, got.Header())
		}
		if got := s.do("HEAD", s.URL("http://host:1", s.id, 3, "x.vtt")); got.Code != 200 || got.Header().Get("Content-Type") != types["vtt"] {
			t.Errorf("%d %v", got.Code, got.Header())
		}
		if got := s.do("POST", s.url(1)); got.Code != 405 {
			t.Error(got.Code)
		}
	})
}

func TestSeveralRanges(t *testing.T) {
	simulate(t, 1, func(w *world) {
		s := openShop(w)
		got := s.do("GET", s.url(1), "Range", "bytes=10-19,2000000-2000004")
		_, params, err := mime.ParseMediaType(got.Header().Get("Content-Type"))
		if got.Code != 206 || err != nil {
			t.Fatal(got.Code, got.Header())
		}
		parts := multipart.NewReader(got.Body, params["boundary"])
		for _, want := range []struct {
			from int64
			n    int
		}{{10, 10}, {2000000, 5}} {
			p, err := parts.NextPart()
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(p); err != nil || len(b) != want.n || !right(b, mib+want.from) || p.Header.Get("Content-Type") != "video/mp4" {
				t.Errorf("%v: %d bytes %v, %v", want, len(b), p.Header, err)
			}
		}
	})
}

func TestStrangersAreNotServed(t *testing.T) {
	simulate(t, 1, func(w *world) {
		s := openShop(w)
		good := s.url(0)
		other := NewServer([]byte("another secret"), s.find, Options{})
		nobody := strings.Repeat("0", 40)
		for _, url := range []string{
			other.URL("http://host:1", s.id, 0, "x.mkv"), other.PlaylistURL("http://host:1", s.id),
			strings.Replace(good, s.Key(s.id), "", 1), strings.Replace(good, s.Key(s.id), s.Key(nobody), 1),
			strings.Replace(good, s.id, nobody, 1), s.URL("http://host:1", nobody, 0, "x.mkv"),
			s.URL("http://host:1", s.id, 99, "x.mkv"), s.URL("http://host:1", s.id, -1, "x.mkv"), strings.Replace(good, "/0/", "/x/", 1),
			good + "/more", "http://host:1/stream/", "http://host:1/",
		} {
			if got := s.do("GET", url); got.Code != 404 && got.Code != 301 && got.Code != 307 {
				t.Errorf("%s: %d %s", url, got.Code, got.Body)
			}
		}
	})
}

func TestLists(t *testing.T) {
	simulate(t, 1, func(w *world) {
		s := openShop(w)
		got := s.do("GET", s.PlaylistURL("http://host:1", s.id))
		want := "#EXTM3U\n#EXTINF:-1,Film 2.mkv\n#EXTVLCOPT:input-slave=" + s.url(3) + "\n" + s.url(0) +
			"\n#EXTINF:-1,Film 10.mp4\n" + s.url(1) + "\n#EXTINF:-1,Ünï.mp3\n" + s.url(5) + "\n"
		if got.Code != 200 || got.Body.String() != want {
			t.Errorf("%d %s\nwant %s", got.Code, got.Body, want)
		}
		if got := s.do("GET", s.URL("http://host:1", s.id, 0, "file.strm")).Body.String(); got != s.url(0)+"\n" {
			t.Errorf("%q", got)
		}
		if got := s.do("GET", s.URL("http://host:1", s.id, 3, "x.vtt")); !strings.HasPrefix(got.Body.String(), "WEBVTT") || got.Header().Get("Content-Type") != types["vtt"] {
			t.Errorf("%v %q", got.Header(), got.Body)
		}
	})
}

// A client that goes away ends the reading, and with it what was fetched for it.
func TestAClientGoesAway(t *testing.T) {
	simulate(t, 1, func(w *world) {
		s := openShop(w)
		w.net.Partition(w.nodes[0].host, w.nodes[1].host)
		ctx, cancel := context.WithCancel(w.Context())
		done := make(chan bool)
		go func() {
			s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", s.url(1), nil))
			close(done)
		}()
		synctest.Wait()
		cancel()
		synctest.Wait()
		select {
		case <-done:
		default:
			t.Error("the server still reads")
			<-done
		}
	})
}

// What a client that is gone was reading is fetched for a while longer, unless it reads on elsewhere.
func TestFetchingLingers(t *testing.T) {
	simulate(t, 1, func(w *world) {
		s := openShop(w)
		<-s.tor.Settled()
		for i := range shopFiles {
			if err := s.tor.SetFilePriority(i, picker.Skip); err != nil {
				t.Fatal(err)
			}
		}
		s.do("GET", s.url(1), "Range", "bytes=0-9")
		time.Sleep(linger / 2)
		if n := s.tor.Status().Total; n != 2*mib {
			t.Errorf("%d bytes are wanted while a client may come back", n)
		}
		for range 4 { // each takes the place of the one before
			s.do("GET", s.url(1), "Range", "bytes=5-5")
			time.Sleep(linger / 2)
		}
		s.gone.mu.Lock()
		if len(s.gone.files) != 1 {
			t.Errorf("%d readers are kept", len(s.gone.files))
		}
		s.gone.mu.Unlock()
		time.Sleep(linger)
		if n := s.tor.Status().Total; n != 0 || len(s.gone.files) != 0 {
			t.Errorf("%d bytes are wanted when nobody reads", n)
		}
	})
}

func TestUnknownContentIsSaidSo(t *testing.T) {
	simulate(t, 1, func(w *world) {
		b := w.node(line)
		f := film(t, 64<<10, mib)
		tor := w.add(b, session.Spec{InfoHash: f.Info.Hash})
		id := f.Info.Hash.Key().String()
		s := &shop{world: w, id: id, Server: NewServer([]byte("x"), func(string) *torrent.Torrent { return tor }, Options{})}
		begun := time.Now()
		got := s.do("GET", s.URL("http://host:1", id, 0, "x.mkv"))
		if got.Code != http.StatusServiceUnavailable || time.Since(begun) != patience {
			t.Errorf("%d after %v", got.Code, time.Since(begun))
		}
	})
}
