package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"shoal/internal/library"
	"shoal/internal/netx"
)

func clientOf(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := NewRemote(netx.NewHost(netx.Options{}), s.URL+"/sub/", "shoal_x")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestListReadsAllParts(t *testing.T) {
	const total = 2500
	asked := 0
	c := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.URL.Path != "/sub/api/v1/torrents" || r.Header.Get("Authorization") != "Bearer shoal_x" || r.FormValue("category") != "" || !r.Form.Has("category") {
			t.Errorf("%s %v", r.URL, r.Header)
		}
		var from, n int
		fmt.Sscan(r.FormValue("offset"), &from)
		fmt.Sscan(r.FormValue("limit"), &n)
		p := library.Page{Total: total}
		for i := from; i < min(from+n, total); i++ {
			p.Torrents = append(p.Torrents, library.Torrent{ID: fmt.Sprint(i)})
		}
		json.NewEncoder(w).Encode(p)
	})
	without := ""
	p, err := c.List(t.Context(), library.Query{Category: &without})
	if err != nil || len(p.Torrents) != total || asked != 3 || p.Torrents[2499].ID != "2499" {
		t.Fatal(len(p.Torrents), asked, err)
	}
}

func TestProblems(t *testing.T) {
	c := clientOf(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/stats") {
			http.Error(w, "bad gateway", 502)
			return
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(404)
		io.WriteString(w, `{"status":200,"title":"Not Found","detail":"no such torrent","errors":[{"message":"really","location":"path.id"}]}`)
	})
	var p *Problem
	if _, err := c.Get(t.Context(), "../x"); !errors.As(err, &p) || p.Status != 404 || err.Error() != "no such torrent; really (path.id)" {
		t.Fatal(err)
	}
	if _, err := c.Stats(t.Context()); !errors.As(err, &p) || p.Status != 502 {
		t.Fatal(err)
	}
	local := NewLocal(filepath.Join(t.TempDir(), "none"))
	if _, err := local.Stats(t.Context()); !errors.Is(err, ErrUnreachable) {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "127.0.0.1:7462", "ftp://x", "http://", "http://a:b@c", "http://x?y"} {
		if _, err := NewRemote(netx.NewHost(netx.Options{}), bad, ""); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestReadEvents(t *testing.T) {
	text := "retry: 2000\n\n:\n\nevent: list\r\ndata: {\"a\":1}\r\n\r\nevent: x\ndata: broken\n\nevent: delta\ndata:[2]\n\nevent: cut\ndata: {}"
	var got string
	err := ReadEvents(strings.NewReader(text), func(e Event) error {
		got += e.Name + string(e.Data) + ";"
		return nil
	})
	if err != nil || got != `list{"a":1};delta[2];` {
		t.Fatal(got, err)
	}
	stop := errors.New("enough")
	if err := ReadEvents(strings.NewReader(text), func(Event) error { return stop }); !errors.Is(err, stop) {
		t.Fatal(err)
	}
}

func FuzzReadEvents(f *testing.F) {
	f.Add("event: list\ndata: {}\n\n")
	f.Add(":x\r\n\r\ndata:\nevent\n\n")
	f.Fuzz(func(t *testing.T, s string) {
		ReadEvents(strings.NewReader(s), func(e Event) error {
			if e.Name == "" || !json.Valid(e.Data) {
				t.Fatalf("%q of %q", e, s)
			}
			return nil
		})
	})
}
