package tracker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"shoal/internal/ident"
	"shoal/internal/netx"
)

const (
	maxBody      = 2 << 20 // bytes of an HTTP answer, unpacked
	maxHeader    = 64 << 10
	maxRedirects = 5
)

// httpClients are three ways to the same trackers: over either family alone, and over whichever the network picks.
type httpClients struct {
	v4, v6, any *http.Client
	agent       string
}

// newHTTPClients derives them from client, whose only way out is n. Connections are not kept: the next announce is half
// an hour away.
func newHTTPClients(n netx.Network, client *http.Client, agent string) *httpClients {
	return &httpClients{oneFamily(n, client, "tcp4"), oneFamily(n, client, "tcp6"), oneFamily(n, client, "tcp"), agent}
}

func oneFamily(n netx.Network, client *http.Client, network string) *http.Client {
	c := *client
	if t, ok := client.Transport.(*http.Transport); ok {
		t = t.Clone()
		dial := t.DialContext
		if dial == nil {
			dial = n.Dial
		}
		t.DialContext = func(ctx context.Context, _, addr string) (net.Conn, error) { return dial(ctx, network, addr) }
		t.DisableKeepAlives = true
		t.DisableCompression = false
		t.MaxResponseHeaderBytes = maxHeader
		c.Transport = t
	}
	c.Jar = nil
	c.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if len(via) >= maxRedirects {
			return errors.New("too many redirects")
		}
		if r.URL.Scheme != "http" && r.URL.Scheme != "https" {
			return fmt.Errorf("redirect to %.20q", r.URL.Scheme)
		}
		addrs, _ := n.Resolve(r.Context(), r.URL.Hostname())
		return guardLoopback(r.URL, addrs)
	}
	return &c
}

// guardLoopback keeps a hostile URL from reaching the services of this machine that only trust this machine: on a
// loopback address we call nothing that is not named like a tracker.
func guardLoopback(u *url.URL, addrs []netip.Addr) error {
	if strings.HasPrefix(u.Path, "/announce") || strings.HasPrefix(u.Path, "/scrape") {
		return nil
	}
	for _, a := range addrs {
		if a.IsLoopback() {
			return errors.New("refused: not a tracker's path on this machine")
		}
	}
	return nil
}

// get fetches u and returns the body of the answer. An answer that is no success is an error, unless its body is a
// bencoded dictionary: trackers also send failure reasons with other codes.
func (c *httpClients) get(ctx context.Context, f family, u *url.URL) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", c.agent)
	client := map[family]*http.Client{v4: c.v4, v6: c.v6, either: c.any}[f]
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.ContentLength > maxBody {
		return nil, fmt.Errorf("answer is too long: %d bytes", resp.ContentLength)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("answer broke off: %w", err)
	}
	if len(body) > maxBody {
		return nil, fmt.Errorf("answer is too long: more than %d bytes", maxBody)
	}
	if resp.StatusCode/100 != 2 && (len(body) == 0 || body[0] != 'd') {
		return nil, fmt.Errorf("HTTP status %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	return body, nil
}

// announceURL returns the tracker's URL with the parameters of an announce behind what its query holds already
// (BEP 3, 7, 23). u is left as it is.
func announceURL(u *url.URL, r *request) *url.URL {
	q := make([]byte, 0, 400)
	q = append(q, "info_hash="...)
	q = appendEscaped(q, r.name[:])
	q = append(q, "&peer_id="...)
	q = appendEscaped(q, r.peer[:])
	q = appendNumber(q, "port", int64(r.port))
	q = appendNumber(q, "uploaded", r.progress.Uploaded)
	q = appendNumber(q, "downloaded", r.progress.Downloaded)
	q = appendNumber(q, "left", r.progress.Left)
	q = appendNumber(q, "numwant", int64(r.want))
	q = fmt.Appendf(q, "&key=%08x&compact=1", r.key)
	if r.event != none {
		q = append(q, "&event="+eventNames[r.event]...)
	}
	if r.id != "" {
		q = append(q, "&trackerid="...)
		q = appendEscaped(q, []byte(r.id))
	}
	return withQuery(u, string(q))
}

// scrapeURL derives the URL of a scrape of names (BEP 48): "announce" at the start of the last path segment becomes
// "scrape". Where it is not there, the tracker has no scrape.
func scrapeURL(u *url.URL, names []ident.V1) (*url.URL, error) {
	path := u.EscapedPath()
	slash := strings.LastIndexByte(path, '/')
	rest, ok := strings.CutPrefix(path[slash+1:], "announce")
	if !ok {
		return nil, errors.New("the tracker's URL has no scrape")
	}
	s := *u
	path = path[:slash+1] + "scrape" + rest
	var err error
	if s.Path, err = url.PathUnescape(path); err != nil {
		return nil, err
	}
	s.RawPath = path
	var q []byte
	for i, name := range names {
		if i > 0 {
			q = append(q, '&')
		}
		q = append(q, "info_hash="...)
		q = appendEscaped(q, name[:])
	}
	return withQuery(&s, string(q)), nil
}

func withQuery(u *url.URL, q string) *url.URL {
	w := *u
	if w.RawQuery != "" {
		q = w.RawQuery + "&" + q
	}
	w.RawQuery, w.ForceQuery, w.Fragment, w.RawFragment = q, false, "", ""
	return &w
}

func appendNumber(q []byte, name string, n int64) []byte {
	q = append(q, "&"+name+"="...)
	return strconv.AppendInt(q, n, 10)
}

// appendEscaped percent-encodes every byte that RFC 3986 §2.3 does not call unreserved.
func appendEscaped(q, raw []byte) []byte {
	const digits = "0123456789ABCDEF"
	for _, c := range raw {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_', c == '~':
			q = append(q, c)
		default:
			q = append(q, '%', digits[c>>4], digits[c&15])
		}
	}
	return q
}
