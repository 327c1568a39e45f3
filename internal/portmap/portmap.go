// Package portmap has the router at home open the session's port: by PCP (RFC 6887), NAT-PMP (RFC 6886) or UPnP IGD 1 and 2, for IPv4, and by
// PCP or UPnP's WANIPv6FirewallControl as pinholes for IPv6.
//
// A Mapper has one goroutine for each family, which is the only one that touches what that family has, one for each that listens for
// gateways that begin anew, and one that tells of changes. All protocols are tried at once; the best that answers is asked. What was granted is asked for again well before
// it ends, every ten minutes at least, at once when the gateway says that it has forgotten it, and given back at Close.
//
// Gateways are not trusted: what they send is bounded, they are waited for briefly, and nothing that they name leads anywhere but to themselves.
package portmap

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"shoal/internal/netx"
)

const (
	lifetime    = 2 * time.Hour    // that is asked for (RFC 6886 §3.3)
	checkPause  = 10 * time.Minute // after which a gateway is asked again, however long it has granted
	shortPause  = 10 * time.Second // after which it is at the earliest
	firstRetry  = 15 * time.Second // after a failure; it doubles
	longRetry   = 30 * time.Minute
	probeTime   = 4 * time.Second        // for a protocol to answer at all
	probeGrace  = 500 * time.Millisecond // for a better one, once one has
	openTime    = 6 * time.Second        // for a mapping to be granted
	closeTime   = 1500 * time.Millisecond
	newsPause   = 2 * time.Second // between two rounds that a gateway's news bring about; it doubles while they are not true
	maxGateways = 4
)

// Config is what a Mapper needs.
type Config struct {
	Network  netx.Network // one that reaches a local network (netx.Traits.Local): New refuses others
	TCP, UDP uint16       // the ports on which we listen, 0 for none
	// Gateways returns where to ask, the likeliest first; a link-local address has a zone. It is called before each try. Nil is
	// DefaultGateways.
	Gateways func() []netip.Addr
	// Changed, if not nil, is told the latest status when it differs in more than an expiry from what was told last. It is called from a
	// goroutine of the mapper's, and must not call Close.
	Changed func(Status)
}

// Status is what a Mapper has come to.
type Status struct{ IPv4, IPv6 Side }

// Side is the status of one family.
type Side struct {
	Protocol string     // "PCP", "NAT-PMP", "UPnP"; empty while nothing is open
	Gateway  netip.Addr //
	Local    netip.Addr // our address inside
	External netip.Addr // our address outside; not valid if the gateway does not tell
	TCP, UDP uint16     // the ports outside, 0 if not open
	Expires  time.Time  // when the first of them ends, unless it is renewed; zero: never
	Problem  string     // why nothing, or not everything, is open, in words; empty if all is well
}

// Open reports whether others reach us by a port at least.
func (s Side) Open() bool { return s.TCP != 0 || s.UDP != 0 }

// Mapper keeps ports open. It is safe for concurrent use.
type Mapper struct {
	cfg    Config
	cancel context.CancelFunc
	wg     sync.WaitGroup
	fresh  chan struct{} // one slot: the status has changed

	mu     sync.Mutex
	status Status
}

// ErrNotLocal is returned for networks that lead to no local network: a mapping would open another router than the one that is used.
var ErrNotLocal = errors.New("this route has no local gateway to open ports at")

// New begins to open the ports. It does not wait; Status tells what came of it. The goroutines end with Close.
func New(cfg Config) (*Mapper, error) {
	if !netx.TraitsOf(cfg.Network).Local {
		return nil, ErrNotLocal
	}
	if cfg.Gateways == nil {
		cfg.Gateways = func() []netip.Addr { return DefaultGateways(cfg.Network) }
	}
	m := &Mapper{cfg: cfg, fresh: make(chan struct{}, 1)}
	var ctx context.Context
	ctx, m.cancel = context.WithCancel(context.Background())
	for _, six := range []bool{false, true} {
		l := &line{mapper: m, six: six, news: make(chan news, 8)}
		m.wg.Go(func() { l.run(ctx) })
		m.wg.Go(func() { l.listen(ctx) })
	}
	if cfg.Changed != nil {
		m.wg.Go(func() { m.tell(ctx) })
	}
	return m, nil
}

// Close gives back what was granted, and returns after three seconds at the latest, whether gateways have answered or not.
func (m *Mapper) Close() error {
	m.cancel()
	m.wg.Wait()
	return nil
}

// Status returns how things stand.
func (m *Mapper) Status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.status
}

// set notes the status of a family.
func (m *Mapper) set(six bool, s Side) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if six {
		m.status.IPv6 = s
	} else {
		m.status.IPv4 = s
	}
	select {
	case m.fresh <- struct{}{}:
	default:
	}
}

// tell tells who wants to know of changes until ctx is done.
func (m *Mapper) tell(ctx context.Context) {
	var told Status
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.fresh:
		}
		now := m.Status()
		told.IPv4.Expires, told.IPv6.Expires = now.IPv4.Expires, now.IPv6.Expires
		if now != told {
			m.cfg.Changed(now)
		}
		told = now
	}
}

// news is what a gateway tells everybody: what its clock says.
type news struct {
	from  netip.Addr
	epoch uint32
}

// The groups in which gateways tell (RFC 6886 §3.2.1, RFC 6887 §14.1).
var (
	news4 = netip.AddrPortFrom(netip.AddrFrom4([4]byte{224, 0, 0, 1}), announcePort)
	news6 = netip.AddrPortFrom(netip.MustParseAddr("ff02::1"), announcePort)
)

// listen hears what gateways tell until ctx is done. Where there is no multicast, that is found out at the next check.
func (l *line) listen(ctx context.Context) {
	group := news4
	if l.six {
		group = news6
	}
	c, err := netx.ListenMulticast(ctx, l.mapper.cfg.Network, group)
	if err != nil {
		return
	}
	defer context.AfterFunc(ctx, func() { c.Close() })()
	b := make([]byte, maxReply)
	for {
		n, from, err := c.ReadFrom(b)
		if err != nil {
			c.Close()
			return
		}
		if a, ok := from.(*net.UDPAddr); ok {
			l.tell(a.AddrPort().Addr().Unmap(), b[:n])
		}
	}
}

// tell passes on what a gateway has told, unless there is more of it than anybody needs.
func (l *line) tell(from netip.Addr, b []byte) {
	n := news{from: from.WithZone("")}
	if r, ok := parsePMP(b); ok && r.op == opExternal && r.result == 0 {
		n.epoch = r.epoch
	} else if r, ok := parsePCP(b); ok && r.op == opAnnounce && r.result == 0 {
		n.epoch = r.epoch
	} else {
		return
	}
	select {
	case l.news <- n:
	default:
	}
}
