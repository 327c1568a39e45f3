package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"shoal/internal/netx"
	"shoal/internal/netx/local"
)

// Client asks a node. It may be used by many goroutines.
type Client struct {
	http  *http.Client
	base  string // up to and with /api/v1
	token string
}

// Bounds of answers, in bytes.
const (
	maxAnswer  = 256 << 20
	maxProblem = 1 << 20
	maxEvent   = 64 << 20
)

// ErrUnreachable says that no node answered.
var ErrUnreachable = errors.New("no node answers")

// Problem is what a node answered instead of what was asked for (RFC 9457).
type Problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Errors []struct {
		Message  string `json:"message"`
		Location string `json:"location"`
	} `json:"errors"`
}

func (p *Problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	for _, e := range p.Errors {
		text += "; " + e.Message
		if e.Location != "" {
			text += " (" + e.Location + ")"
		}
	}
	return text
}

// NewLocal returns a client of the node that listens at a socket file. Whoever can open the file is admin.
func NewLocal(socket string) *Client {
	return &Client{http: netx.HTTPClient(local.Socket(socket), netx.HTTPOptions{}), base: "http://localhost/api/v1"}
}

// NewRemote returns a client of the node at a URL such as https://nas.lan/shoal, by way of n, with a token or without.
func NewRemote(n netx.Network, node, token string) (*Client, error) {
	u, err := url.Parse(node)
	if err != nil {
		return nil, fmt.Errorf("the node's URL: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%q is no URL of a node: like http://127.0.0.1:7462", node)
	}
	return &Client{http: netx.HTTPClient(n, netx.HTTPOptions{}), base: strings.TrimSuffix(node, "/") + "/api/v1", token: token}, nil
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// send sends a request and returns its answer, which is one of success.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, body any) (*http.Response, error) {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		r = bytes.NewReader(b)
	}
	at := c.base + path
	if len(query) > 0 {
		at += "?" + query.Encode()
	}
	q, err := http.NewRequestWithContext(ctx, method, at, r)
	if err != nil {
		return nil, err
	}
	if body != nil {
		q.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		q.Header.Set("Authorization", "Bearer "+c.token)
	}
	a, err := c.http.Do(q)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if a.StatusCode < 200 || a.StatusCode > 299 {
		defer a.Body.Close()
		return nil, problemOf(a)
	}
	return a, nil
}

func problemOf(a *http.Response) error {
	p := &Problem{Status: a.StatusCode, Title: a.Status}
	b, _ := io.ReadAll(io.LimitReader(a.Body, maxProblem))
	if strings.HasSuffix(strings.Split(a.Header.Get("Content-Type"), ";")[0], "json") {
		_ = json.Unmarshal(b, p) // what it does not say stays
	}
	p.Status = a.StatusCode
	return p
}

// call sends a request and reads its answer into out, unless that is nil.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, body, out any) error {
	a, err := c.send(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	if out == nil {
		return nil
	}
	b, err := io.ReadAll(io.LimitReader(a.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("the node's answer broke off: %w", err)
	}
	if len(b) > maxAnswer {
		return errors.New("the node's answer is too long")
	}
	if raw, ok := out.(*[]byte); ok {
		*raw = b
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("the node's answer makes no sense: %w", err)
	}
	return nil
}

func get[T any](ctx context.Context, c *Client, path string, query url.Values) (v T, err error) {
	err = c.call(ctx, http.MethodGet, path, query, nil, &v)
	return v, err
}

func segment(s string) string { return "/" + url.PathEscape(s) }

func number(n int) string { return strconv.Itoa(n) }
