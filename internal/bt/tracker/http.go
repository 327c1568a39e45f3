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

// maxBody bounds an HTTP answer, in bytes after unpacking.
const maxBody = 2 << 20

// oneFamily is a network that dials over one address family only.
type oneFamily struct {
	netx.Network
	tcp string
}

// Dial implements netx.Network.
func (o oneFamily) Dial(ctx context.Context, _, addr string) (net.Conn, error) {
	return o.Network.Dial(ctx, o.tcp, addr)
}

// newHTTPClient returns a client whose only way out is n over one family. It is for one request: announces are half an
// hour apart, so that there is nothing to keep, and a client may use a connection that it began to make for one request
// for another, which would mix the families.
func (c *Client) newHTTPClient(f family) *http.Client {
	h := netx.HTTPClient(oneFamily{c.n, [...]string{"tcp4", "tcp6", "tcp"}[f]}, netx.HTTPOptions{UserAgent: c.agent, NoUserAgent: c.anonymous})
	check := h.CheckRedirect
	h.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		addrs, _ := c.n.Resolve(r.Context(), r.URL.Hostname())
		if err := guardLoopback(r.URL, addrs); err != nil {
			return err
		}
		return check(r, via)
	}
	return h
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

// fetch gets u over one family and returns the body of the answer. An answer that is no success is an error, unless its
// body looks bencoded: trackers send failure reasons with any code.
func (c *Client) fetch(ctx context.Context, f family, u *url.URL) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Close = true
	client := c.newHTTPClient(f)
	defer client.CloseIdleConnections() // also ends a dial that goes on though the request was given up
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
	if r.key != 0 {
		q = fmt.Appendf(q, "&key=%08x", r.key)
	}
	q = append(q, "&compact=1"...)
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
