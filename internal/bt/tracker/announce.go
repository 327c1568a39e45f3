package tracker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"shoal/internal/discovery"
	"shoal/internal/ident"
	"shoal/internal/netx"
)

// family is one of the two internets, or whichever the network picks.
type family uint8

const (
	v4 family = iota
	v6
	either
)

// grace is how long an announce waits for the rest of its answers once it has one.
const grace = 10 * time.Second

// target is one address family of a tracker.
type target struct {
	family family
	addr   netip.Addr // the zero Addr if family is either
}

// targets returns the families over which a tracker is reached: one address of each that its name has (BEP 7).
func (c *Client) targets(ctx context.Context, u *url.URL) ([]target, error) {
	addrs, err := c.n.Resolve(ctx, u.Hostname())
	if errors.Is(err, netx.ErrNoResolve) {
		return []target{{family: either}}, nil // the proxy knows the name though we do not
	}
	if err != nil {
		return nil, err
	}
	if u.Scheme != "udp" {
		if err := guardLoopback(u, addrs); err != nil {
			return nil, err
		}
	}
	var list []target
	var have [2]bool
	for _, addr := range addrs {
		addr = addr.Unmap()
		f := v4
		if addr.Is6() {
			f = v6
		}
		if !have[f] {
			have[f] = true
			list = append(list, target{f, addr})
		}
	}
	if len(list) == 0 {
		return nil, errors.New("name not found: it has no address")
	}
	return list, nil
}

// announce makes one announce to a tracker: over each address family, of each swarm name (BEP 52), all at once. found
// gets the peers of each answer as it comes. The result is put together from all answers; if there is none, the
// error is that of the first target.
func (c *Client) announce(ctx context.Context, u *url.URL, r request, names []ident.V1, found func([]discovery.Peer)) (*answer, error) {
	targets, err := c.targets(ctx, u)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make([]*answer, len(targets)*len(names))
	errs := make([]error, len(answers))
	timers := make([]*time.Timer, len(answers))
	var wg sync.WaitGroup
	for i := range answers {
		t, r := targets[i/len(names)], r
		r.name = names[i%len(names)]
		wg.Go(func() {
			got, err := c.announceOne(ctx, u, t, &r)
			if errs[i] = err; err != nil {
				return
			}
			if !t.addr.IsLoopback() {
				got.peers = withoutLoopback(got.peers)
			}
			answers[i] = &got
			timers[i] = time.AfterFunc(grace, cancel)
			c.report(&got, found)
		})
	}
	wg.Wait()
	var whole *answer
	for i, got := range answers {
		if timers[i] != nil {
			timers[i].Stop()
		}
		whole = merge(whole, got)
	}
	if whole == nil {
		return nil, errors.Join(errs[:min(1, len(errs))]...)
	}
	return whole, nil
}

// announceOne makes one announce of one name over one family.
func (c *Client) announceOne(ctx context.Context, u *url.URL, t target, r *request) (answer, error) {
	if u.Scheme != "udp" {
		body, err := c.fetch(ctx, t.family, announceURL(u, r))
		if err != nil {
			return answer{}, err
		}
		return parseAnswer(body)
	}
	b, err := c.askUDP(ctx, u, t, func(id uint64, tx uint32) []byte { return announcePacket(id, tx, r, u) })
	if err != nil {
		return answer{}, err
	}
	return parseAnnounce(b, t.family == v6)
}

// askUDP sends one request to a UDP tracker and returns the answer with its header.
func (c *Client) askUDP(ctx context.Context, u *url.URL, t target, build func(id uint64, tx uint32) []byte) ([]byte, error) {
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("port %q in the URL", u.Port())
	}
	if t.family == either {
		s := &udpSocket{n: named{c.n, u.Host}}
		return s.ask(ctx, there, build)
	}
	return c.sockets[t.family].ask(ctx, netip.AddrPortFrom(t.addr, uint16(port)), build)
}

// report passes on what an answer holds for others.
func (c *Client) report(got *answer, found func([]discovery.Peer)) {
	if got.external.IsValid() && c.external != nil {
		c.external(got.external)
	}
	if len(got.peers) == 0 || found == nil {
		return
	}
	peers := make([]discovery.Peer, len(got.peers))
	for i, addr := range got.peers {
		peers[i] = discovery.Peer{Addr: addr, Source: discovery.Tracker}
	}
	found(peers)
}

// withoutLoopback drops addresses of this machine: only a tracker on it may name them.
func withoutLoopback(peers []netip.AddrPort) []netip.AddrPort {
	kept := peers[:0]
	for _, p := range peers {
		if !p.Addr().IsLoopback() {
			kept = append(kept, p)
		}
	}
	return kept
}

// merge puts the answers to parts of one announce together: the longer intervals, the larger counts, all peers.
func merge(a, b *answer) *answer {
	if a == nil || b == nil {
		if a == nil {
			return b
		}
		return a
	}
	a.interval, a.min = max(a.interval, b.interval), max(a.min, b.min)
	a.seeds, a.leeches, a.downloads = max(a.seeds, b.seeds), max(a.leeches, b.leeches), max(a.downloads, b.downloads)
	a.peers = append(a.peers, b.peers...)
	if a.warning == "" {
		a.warning = b.warning
	}
	if a.id == "" {
		a.id = b.id
	}
	return a
}

// describe puts an error of an announce in words for people, without the URL and addresses that Go's errors repeat.
func describe(err error) string {
	var refusal *Refusal
	var dns *net.DNSError
	var op *net.OpError
	var wrapped *url.Error
	switch {
	case errors.As(err, &refusal):
		return refusal.Error()
	case errors.As(err, &dns) && dns.IsNotFound:
		return "name not found"
	case errors.As(err, &dns):
		return "name lookup failed"
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errNoAnswer):
		return errNoAnswer.Error()
	case errors.As(err, &op) && op.Timeout():
		return errNoAnswer.Error()
	case strings.Contains(err.Error(), "refused") && op != nil: // the system's words differ, this one is in all of them
		return "connection refused"
	case op != nil && op.Op == "dial":
		return "cannot connect: " + op.Err.Error()
	case errors.As(err, &wrapped):
		return wrapped.Err.Error()
	}
	return err.Error()
}
