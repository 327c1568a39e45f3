package netx

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// HTTPOptions adjust HTTPClient. A zero field has a default.
type HTTPOptions struct {
	UserAgent      string        // of requests that set none; default "shoal"
	NoUserAgent    bool          // name ourselves to nobody
	HeaderTimeout  time.Duration // from the sent request to the response's header; default 30 s
	ConnsPerHost   int           // connections to one server, idle or not; default no limit
	ReadBufferSize int           // bytes per connection; default 4 KiB
	// PublicOnly is for URLs that strangers have written, such as a torrent's web seeds: what leads to this machine or to a private
	// network, at first or by a redirect, fails with ErrNotPublic.
	PublicOnly bool
}

// Bounds of every client.
const (
	maxRedirects = 5
	maxHeader    = 64 << 10 // bytes of a response's header: a server cannot make us hold more
	maxIdle      = 16       // idle connections
	idleTimeout  = 30 * time.Second
)

// HTTPClient returns a client whose only way out is n.
//
//   - Connections are made by n alone, which also resolves names; the environment's proxy variables are ignored.
//   - HTTP/1.1 only: a connection carries one request at a time, so that closing a body that went wrong ends no other's.
//   - There is no jar: nothing that one server sets is ever sent back.
//   - At most five redirects, none from https to http, and none that carries a Referer: announce URLs hold secrets.
//   - The client itself sets no limit on a body's length or duration; who reads it has to.
//   - Bodies that were compressed for the transport are unpacked, unless a request sets Accept-Encoding itself. The
//     reader's limit on the length then counts unpacked bytes.
func HTTPClient(n Network, o HTTPOptions) *http.Client {
	switch {
	case o.NoUserAgent:
		o.UserAgent = "" // which net/http leaves out
	case o.UserAgent == "":
		o.UserAgent = "shoal"
	}
	if o.HeaderTimeout == 0 {
		o.HeaderTimeout = 30 * time.Second
	}
	if o.PublicOnly {
		n = public{n}
	}
	return &http.Client{
		Transport: &roundTripper{
			userAgent: o.UserAgent,
			transport: &http.Transport{
				DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
					ctx, cancel := context.WithTimeout(ctx, dialTimeout)
					defer cancel()
					return n.Dial(ctx, network, addr)
				},
				TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{},
				TLSHandshakeTimeout:    15 * time.Second,
				ResponseHeaderTimeout:  o.HeaderTimeout,
				MaxResponseHeaderBytes: maxHeader,
				MaxIdleConns:           maxIdle,
				MaxIdleConnsPerHost:    2,
				MaxConnsPerHost:        o.ConnsPerHost,
				IdleConnTimeout:        idleTimeout,
				ReadBufferSize:         o.ReadBufferSize,
			},
		},
		CheckRedirect: checkRedirect,
	}
}

func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	if via[len(via)-1].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return errors.New("redirect from https to " + req.URL.Scheme)
	}
	req.Header.Del("Referer")
	return nil
}

// roundTripper names us to servers.
type roundTripper struct {
	userAgent string
	transport *http.Transport
}

func (r *roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	if _, ok := req.Header["User-Agent"]; !ok {
		req = req.Clone(req.Context()) // a RoundTripper may not change its request
		req.Header.Set("User-Agent", r.userAgent)
	}
	return r.transport.RoundTrip(req)
}

// CloseIdleConnections lets http.Client's method of this name reach the transport.
func (r *roundTripper) CloseIdleConnections() { r.transport.CloseIdleConnections() }
