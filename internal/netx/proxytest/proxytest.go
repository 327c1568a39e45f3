// Package proxytest has proxies for tests: SOCKS5 and HTTP CONNECT, over any netx.Network, that can be told to misbehave at
// each step of the handshake.
package proxytest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"testing"

	"shoal/internal/netx"
)

// Fault is what a proxy does at a step in place of what it should.
type Fault struct {
	Send []byte // what it sends
	Hold bool   // it then says nothing more, and keeps the connection; otherwise it hangs up
}

// Step is a moment of a proxy's handshake.
type Step int

// The steps at which a Fault replaces the answer.
const (
	Accepted  Step = iota // the connection has been made
	Greeted               // SOCKS5: the client has said which methods it knows
	LoggedIn              // SOCKS5: the client has sent user and password
	Requested             // the client has said what it wants
)

// Options say what a proxy is like.
type Options struct {
	Addr           string                      // where it listens; default 127.0.0.1:0
	User, Password string                      // what a client has to know; without a user nobody logs in
	Names          map[string][]netip.AddrPort // where names lead, whatever port is asked for; others are unknown
	Faults         map[Step]Fault

	// SOCKS5 only.
	Refuse   byte                         // a reply code for every request, if not 0
	NoUDP    bool                         // refuse UDP ASSOCIATE as an unknown command
	Relay    netip.AddrPort               // what is said to be the relay; default the unspecified address and the right port
	Mangle   func(packet []byte) [][]byte // what is sent to the client in place of a packet, header included
	UDPNames map[string]netip.AddrPort    // where names lead for packets; default Names
}

// Request is what a client has asked for.
type Request struct {
	Command        byte   // of SOCKS5: 1 CONNECT, 3 UDP ASSOCIATE, 0xF0 RESOLVE; 1 for HTTP
	Target         string // host:port as it was sent: a name stays one
	User, Password string
}

// Proxy is a running proxy. It ends with the test.
type Proxy struct {
	n    netx.Network
	o    Options
	l    net.Listener
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu       sync.Mutex
	requests []Request
	packets  []string // targets of packets, as they were sent
	open     map[io.Closer]bool
}

// start serves connections with handle until the test ends.
func start(t testing.TB, n netx.Network, o Options, handle func(*Proxy, net.Conn)) *Proxy {
	t.Helper()
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	l, err := n.Listen(t.Context(), "tcp", o.Addr)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{n: n, o: o, l: l, open: map[io.Closer]bool{}}
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.keep(l)
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if !p.keep(c) {
				return
			}
			p.wg.Go(func() {
				defer p.drop(c)
				if !p.fault(c, Accepted) {
					handle(p, c)
				}
			})
		}
	})
	t.Cleanup(p.Close)
	return p
}

// Addr returns where the proxy listens.
func (p *Proxy) Addr() string { return p.l.Addr().String() }

// Close ends the proxy and all that goes through it, and waits for that.
func (p *Proxy) Close() {
	p.stop()
	p.Hangup()
	p.wg.Wait()
}

// Hangup closes every socket of the proxy, the listening one too, as if it had died.
func (p *Proxy) Hangup() {
	p.mu.Lock()
	open := p.open
	p.open = nil
	p.mu.Unlock()
	for c := range open {
		c.Close()
	}
}

// Requests returns what clients have asked for, in order.
func (p *Proxy) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Request(nil), p.requests...)
}

// Packets returns the targets of the packets that clients have sent, in order.
func (p *Proxy) Packets() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.packets...)
}

func (p *Proxy) note(r Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, r)
}

// keep has c closed with the proxy. It reports false, and closes c, if that has been.
func (p *Proxy) keep(c io.Closer) bool {
	p.mu.Lock()
	ok := p.open != nil
	if ok {
		p.open[c] = true
	}
	p.mu.Unlock()
	if !ok {
		c.Close()
	}
	return ok
}

func (p *Proxy) drop(c io.Closer) {
	p.mu.Lock()
	delete(p.open, c)
	p.mu.Unlock()
	c.Close()
}

// fault does what is to be done at a step in place of the right thing, if anything, and reports whether there was.
func (p *Proxy) fault(c net.Conn, s Step) bool {
	f, ok := p.o.Faults[s]
	if !ok {
		return false
	}
	c.Write(f.Send)
	if f.Hold {
		io.Copy(io.Discard, c)
	}
	return true
}

var errUnknownName = errors.New("unknown name")

// dial connects to what a client asked for.
func (p *Proxy) dial(host string, port uint16) (net.Conn, error) {
	addr := net.JoinHostPort(host, strconv.Itoa(int(port)))
	if _, err := netip.ParseAddr(host); err != nil {
		if len(p.o.Names[host]) == 0 {
			return nil, errUnknownName
		}
		addr = p.o.Names[host][0].String()
	}
	return p.n.Dial(p.ctx, "tcp", addr)
}

// splice copies both ways until both ends have closed, or one has failed.
func (p *Proxy) splice(a, b net.Conn) {
	if !p.keep(b) {
		return
	}
	defer p.drop(b)
	var wg sync.WaitGroup
	one := func(to, from net.Conn) {
		if _, err := io.Copy(to, from); err != nil {
			a.Close()
			b.Close()
		}
		if c, ok := to.(interface{ CloseWrite() error }); ok {
			c.CloseWrite()
		} else {
			to.Close()
		}
	}
	wg.Go(func() { one(a, b) })
	one(b, a)
	wg.Wait()
}
