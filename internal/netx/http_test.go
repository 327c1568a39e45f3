package netx

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// counted is a network that sends every name to loopback and counts.
type counted struct {
	*Host
	target string
	dials  atomic.Int32
}

func (n *counted) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	n.dials.Add(1)
	return n.Host.Dial(ctx, network, n.target)
}

func (n *counted) Resolve(context.Context, string) ([]netip.Addr, error) { panic("not asked for") }

func serve(t *testing.T, f http.HandlerFunc) (*counted, *http.Client) {
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	n := &counted{Host: NewHost(Options{}), target: s.Listener.Addr().String()}
	c := HTTPClient(n, HTTPOptions{HeaderTimeout: time.Minute})
	t.Cleanup(c.CloseIdleConnections)
	return n, c
}

func get(t *testing.T, c *http.Client, url string) (string, error) {
	t.Helper()
	r, err := c.Get(url)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	return string(b), err
}

func TestHTTPGoesThroughTheNetwork(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	n, c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "a=b")
		fmt.Fprint(w, r.Host, " ", r.UserAgent(), " ", r.Header.Get("Cookie"), " ", r.Proto)
	})
	for range 2 {
		if b, err := get(t, c, "http://tracker.example/x"); err != nil || b != "tracker.example shoal  HTTP/1.1" {
			t.Fatalf("%q, %v", b, err)
		}
	}
	if n.dials.Load() != 1 {
		t.Errorf("%d dials for two requests in a row", n.dials.Load())
	}
}

func TestHTTPUserAgent(t *testing.T) {
	n, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.UserAgent()) })
	c := HTTPClient(n, HTTPOptions{UserAgent: "other/1"})
	defer c.CloseIdleConnections()
	if b, err := get(t, c, "http://h/"); err != nil || b != "other/1" {
		t.Errorf("%q, %v", b, err)
	}
	nameless := HTTPClient(n, HTTPOptions{UserAgent: "other/1", NoUserAgent: true})
	defer nameless.CloseIdleConnections()
	if b, err := get(t, nameless, "http://h/"); err != nil || b != "" {
		t.Errorf("without a name: %q, %v", b, err)
	}
	req, _ := http.NewRequest("GET", "http://h/", nil)
	req.Header.Set("User-Agent", "own")
	r, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if b, _ := io.ReadAll(r.Body); string(b) != "own" {
		t.Errorf("%q", b)
	}
}

func TestHTTPRedirects(t *testing.T) {
	_, c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var left int
		fmt.Sscanf(r.URL.Path, "/%d", &left)
		if left == 0 {
			io.WriteString(w, "referer "+r.Referer())
			return
		}
		http.Redirect(w, r, fmt.Sprintf("http://other/%d", left-1), http.StatusFound)
	})
	if b, err := get(t, c, "http://h/5?passkey=secret"); err != nil || b != "referer " {
		t.Errorf("five redirects: %q, %v", b, err)
	}
	if b, err := get(t, c, "http://h/6"); err == nil || !strings.Contains(err.Error(), "more than 5 redirects") {
		t.Errorf("six redirects: %q, %v", b, err)
	}
	_, c = serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
	})
	if b, err := get(t, c, "http://h/"); err == nil {
		t.Errorf("followed to a file: %q", b)
	}
}

func TestHTTPStaysWithTLS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/down" {
			http.Redirect(w, r, "http://h/", http.StatusFound)
		}
	}))
	defer s.Close()
	n := &counted{Host: NewHost(Options{}), target: s.Listener.Addr().String()}
	c := HTTPClient(n, HTTPOptions{})
	defer c.CloseIdleConnections()
	if _, err := get(t, c, "https://example.com/"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Fatalf("an unknown certificate: %v", err)
	}
	c.Transport.(*roundTripper).transport.TLSClientConfig = &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	if _, err := get(t, c, "https://example.com/"); err != nil {
		t.Fatal(err)
	}
	if _, err := get(t, c, "https://example.com/down"); err == nil || !strings.Contains(err.Error(), "redirect from https to http") {
		t.Fatal(err)
	}
}

func TestHTTPBoundsHeader(t *testing.T) {
	_, c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X", strings.Repeat("x", 100<<10))
	})
	if _, err := get(t, c, "http://h/"); err == nil {
		t.Error("a header of 100 KiB was accepted")
	}
}

func TestHTTPHeaderTimeout(t *testing.T) {
	stop := make(chan struct{})
	n, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { <-stop })
	defer close(stop)
	c := HTTPClient(n, HTTPOptions{HeaderTimeout: 10 * time.Millisecond})
	if _, err := get(t, c, "http://h/"); err == nil || !strings.Contains(err.Error(), "timeout") {
		t.Error(err)
	}
}

func TestHTTPGzip(t *testing.T) {
	_, c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			t.Error("gzip is not offered")
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		io.WriteString(z, "unpacked")
		z.Close()
	})
	if b, err := get(t, c, "http://h/"); err != nil || b != "unpacked" {
		t.Errorf("%q, %v", b, err)
	}
}
