package netx_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"shoal/internal/netx"
	"shoal/internal/netx/proxytest"
	"shoal/internal/simnet"
)

func TestIsPublic(t *testing.T) {
	for _, a := range []string{"1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.0.2.1", "::ffff:1.1.1.1",
		"2606:4700::1111", "2001:4860:4860::8888", "64:ff9b::8.8.8.8", "2002:808:808::1"} {
		if !netx.IsPublic(netip.MustParseAddr(a)) {
			t.Errorf("%s is not public", a)
		}
	}
	for _, a := range []string{"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.0.1", "169.254.169.254", "172.16.0.1", "172.31.0.1",
		"192.0.0.1", "192.168.1.1", "198.18.0.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "::", "::1", "::7f00:1",
		"::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::1", "100::1",
		"2001::1", "2002:7f00:1::1", "2002:c0a8:101::1", "fc00::1", "fd00::1", "fe80::1", "fe80::1%eth0", "2001:db8::1%eth0", "fec0::1", "ff02::1"} {
		if netx.IsPublic(netip.MustParseAddr(a)) {
			t.Errorf("%s is public", a)
		}
	}
	if netx.IsPublic(netip.Addr{}) {
		t.Error("no address is public")
	}
}

// internet is a network of which every public address leads to a handler on loopback. Names have addresses that may differ
// each time.
type internet struct {
	*netx.Host
	server string
	names  map[string][]string
	asked  atomic.Int32
	dialed []string
}

func (n *internet) Resolve(_ context.Context, host string) ([]netip.Addr, error) {
	texts := n.names[host]
	if len(texts) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if texts[0] == "changes" { // public when asked first, ourselves afterwards
		texts = []string{map[bool]string{true: "1.1.1.1", false: "127.0.0.1"}[n.asked.Add(1) == 1]}
	}
	var as []netip.Addr
	for _, s := range texts {
		as = append(as, netip.MustParseAddr(s))
	}
	return as, nil
}

func (n *internet) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	n.dialed = append(n.dialed, addr)
	if strings.HasPrefix(addr, "9.9.9.9:") {
		return nil, syscall.ECONNREFUSED
	}
	return n.Host.Dial(ctx, network, n.server)
}

func TestPublicOnly(t *testing.T) {
	l, err := host().Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		io.WriteString(w, "content")
	})}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	n := &internet{Host: host(), server: l.Addr().String(), names: map[string][]string{
		"good.example": {"1.1.1.1"}, "six.example": {"2606:4700::1111"}, "mixed.example": {"10.0.0.1", "127.0.0.1", "1.1.1.1"},
		"private.example": {"192.168.1.1", "::1", "fd00::1"}, "rebind.example": {"changes"}, "localhost": {"127.0.0.1"}, "nas": {"192.168.1.5"},
		"printer.local": {"1.1.1.1"}, "half.example": {"9.9.9.9", "1.1.1.1"}, "mapped.example": {"::ffff:127.0.0.1"},
	}}
	get := func(url string) error {
		c := netx.HTTPClient(n, netx.HTTPOptions{PublicOnly: true})
		defer c.CloseIdleConnections()
		resp, err := c.Get(url)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "content" {
			t.Errorf("%s: %q, %v", url, b, err)
		}
		return nil
	}
	for url, want := range map[string]string{
		"http://1.1.1.1/": "1.1.1.1:80", "http://[2606:4700::1111]:81/": "[2606:4700::1111]:81", "http://good.example/": "1.1.1.1:80",
		"http://six.example/": "[2606:4700::1111]:80", "http://mixed.example:8080/": "1.1.1.1:8080", "http://rebind.example/": "1.1.1.1:80",
		"http://half.example/": "9.9.9.9:80 1.1.1.1:80", "http://good.example/?to=http://six.example/": "1.1.1.1:80 [2606:4700::1111]:80",
	} {
		n.dialed = nil
		if err := get(url); err != nil {
			t.Errorf("%s: %v", url, err)
		}
		if got := strings.Join(n.dialed, " "); got != want {
			t.Errorf("%s: dialled %s", url, got)
		}
	}
	private := []string{"http://127.0.0.1/", "http://[::1]:9/", "http://[::ffff:127.0.0.1]/", "http://192.168.1.1/", "http://169.254.169.254/latest/", "http://0.0.0.0/", "http://[fe80::1%25eth0]/",
		"http://localhost/", "http://LOCALHOST./", "http://x.localhost/", "http://nas/", "http://printer.local/", "http://private.example/",
		"http://mapped.example/", "http://127.1/", "http://2130706433/", "http://0x7f000001/", "http://0x7f.1/", "http://0177.0.0.1/", "http://rebind.example/"}
	for _, url := range private {
		n.dialed = nil
		if err := get(url); !errors.Is(err, netx.ErrNotPublic) || len(n.dialed) > 0 {
			t.Errorf("%s: %v; dialled %v", url, err, n.dialed)
		}
		n.dialed = nil
		if err := get("http://good.example/?to=" + strings.ReplaceAll(url, "%", "%25")); !errors.Is(err, netx.ErrNotPublic) || !slices.Equal(n.dialed, []string{"1.1.1.1:80"}) {
			t.Errorf("redirect to %s: %v; dialled %v", url, err, n.dialed)
		}
	}
	n.dialed = nil
	if err := get("http://unknown.example/"); err == nil || errors.Is(err, netx.ErrNotPublic) || len(n.dialed) > 0 {
		t.Errorf("unknown: %v", err)
	}
}

// webServer serves "content" on port 80 of a simulated host.
func webServer(t *testing.T, h netx.Network) {
	t.Helper()
	l, err := h.Listen(t.Context(), "tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "content") })}
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-done })
}

// An address that does not answer leaves time for the others.
func TestPublicOnlySharesTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := simnet.New(1)
		us, far := sim.Host(netip.MustParseAddr("192.0.2.1"), simnet.Link{}), sim.Host(netip.MustParseAddr("192.0.2.2"), simnet.Link{})
		webServer(t, far)
		sim.Name("seed.example", netip.MustParseAddr("192.0.2.99"), netip.MustParseAddr("192.0.2.98"), far.Addr())
		c := netx.HTTPClient(us, netx.HTTPOptions{PublicOnly: true})
		defer c.CloseIdleConnections()
		begin := time.Now()
		resp, err := c.Get("http://seed.example/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if took := time.Since(begin); took != 20*time.Second {
			t.Errorf("took %v of 30 s", took)
		}
	})
}

// Where the proxy resolves names, it gets them, but for those with a private meaning.
func TestPublicOnlyThroughAProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := simnet.New(1)
		us, far := sim.Host(netip.MustParseAddr("192.0.2.1"), simnet.Link{}), sim.Host(netip.MustParseAddr("192.0.2.2"), simnet.Link{})
		webServer(t, far)
		names := map[string][]netip.AddrPort{"seed.example": {netip.MustParseAddrPort("192.0.2.2:80")}, "nas": {netip.MustParseAddrPort("192.0.2.2:80")}}
		p := proxytest.SOCKS5(t, far, proxytest.Options{Addr: ":1080", Names: names})
		for _, route := range []string{"socks5://192.0.2.2:1080", "tor://192.0.2.2:1080"} {
			before := len(p.Requests())
			n, w := open(t, us, route)
			c := netx.HTTPClient(n, netx.HTTPOptions{PublicOnly: true})
			resp, err := c.Get("http://seed.example/")
			if err != nil {
				t.Fatal(err)
			}
			if b, _ := io.ReadAll(resp.Body); string(b) != "content" {
				t.Errorf("%q", b)
			}
			resp.Body.Close()
			for _, url := range []string{"http://nas/", "http://localhost/", "http://127.0.0.1/", "http://10.0.0.1/", "http://127.1/"} {
				if _, err := c.Get(url); !errors.Is(err, netx.ErrNotPublic) {
					t.Errorf("%s: %v", url, err)
				}
			}
			c.CloseIdleConnections()
			if got := p.Requests()[before:]; len(got) != 1 || got[0].Target != "seed.example:80" {
				t.Errorf("%s: the proxy was asked for %+v", route, got)
			}
			w.wantOnly(t, "192.0.2.2:1080")
		}
	})
}
