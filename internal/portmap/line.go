package portmap

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"shoal/internal/netx"
)

// way is a protocol at a place. One call at a time is made.
type way interface {
	name() string
	// probe finds out whether the gateway speaks it.
	probe(ctx context.Context) error
	// open asks for a mapping, or for one that it granted before again.
	open(ctx context.Context, w want, old grant) (grant, error)
	// close gives it back; what is not valid too, where that is safe: it may have been granted unheard.
	close(ctx context.Context, w want, g grant) error
	// at returns where it asks; its own value.
	at() *place
}

func (p *place) at() *place { return p }

// line keeps the ports of one family open. Its fields belong to run.
type line struct {
	mapper *Mapper
	six    bool
	news   chan news
	held   *hold
}

// hold is what a gateway has granted.
type hold struct {
	way
	wants   []want
	grants  []grant   // one for each; not valid where it was refused
	asked   int       // how many of them the gateway may have granted, whether it was heard or not
	reset   bool      // the gateway began anew since the time before
	since   time.Time // the last time that they were granted
	problem error     // why not all were
}

// run keeps the ports open until ctx is done.
func (l *line) run(ctx context.Context) {
	defer l.release()
	retry, deaf, told := firstRetry, newsPause, false
	for {
		began := time.Now()
		err := l.round(ctx)
		if ctx.Err() != nil {
			return
		}
		l.mapper.set(l.six, l.side(err))
		pause := retry
		if err == nil {
			retry, pause = firstRetry, l.held.pause()
		} else {
			retry = min(2*retry, longRetry)
		}
		if deaf = min(2*deaf, checkPause); !told || err != nil || l.held.reset {
			deaf = newsPause
		}
		if told = l.wait(ctx, began.Add(deaf), pause-rand.N(pause/10)); ctx.Err() != nil {
			return
		}
	}
}

// wait waits, but not longer than until the given time once the gateway tells that it has forgotten what it granted, which it reports.
func (l *line) wait(ctx context.Context, until time.Time, pause time.Duration) (told bool) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for end := time.Now().Add(pause); ; {
		select {
		case <-ctx.Done():
			return told
		case <-timer.C:
			return told
		case n := <-l.news:
			if !told && l.concerns(n, time.Now()) {
				told = true
				timer.Reset(min(time.Until(until), time.Until(end)))
			}
		}
	}
}

// concerns reports whether news are our gateway's, and say that it has begun anew. UPnP has no clock to compare.
func (l *line) concerns(n news, now time.Time) bool {
	if l.held == nil {
		return false
	}
	p := l.held.at()
	return n.from == p.gateway.WithZone("") && (p.epoch.heard.IsZero() || !p.epoch.plausible(n.epoch, now))
}

// round asks for what is held again, or for everything.
func (l *line) round(ctx context.Context) error {
	places, err := l.places(ctx)
	if err != nil {
		return err
	}
	if h := l.held; h != nil {
		for _, p := range places {
			if h.at().same(p) && h.renew(ctx) == nil {
				return nil
			}
		}
		if ctx.Err() != nil {
			return ctx.Err() // so that it is given back
		}
		l.held = nil
	}
	var failed []error
	for _, p := range places {
		err := l.obtain(ctx, p)
		if err == nil || ctx.Err() != nil {
			return err
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

var (
	errNoGateway = errors.New("no gateway is known")
	errNoSix     = errors.New("no public IPv6 address")
)

// places returns where to ask: the gateways of the family with the addresses of ours that they see.
func (l *line) places(ctx context.Context) (list []*place, err error) {
	err = errNoGateway
	for _, g := range l.mapper.cfg.Gateways() {
		if g.Is4() == l.six || !g.IsValid() || len(list) == maxGateways {
			continue
		}
		p := &place{network: l.mapper.cfg.Network, gateway: g}
		if p.local, err = p.source(ctx); err == nil {
			list = append(list, p)
		}
	}
	if len(list) > 0 {
		return list, nil
	}
	return nil, err
}

// elsewhere is an IPv6 address that leads to nobody (RFC 3849), by the default route.
var elsewhere = netip.MustParseAddrPort("[2001:db8::1]:9")

// source returns our address towards the gateway; in IPv6 that towards the world, for which pinholes are made. Nothing is sent.
func (p *place) source(ctx context.Context) (netip.Addr, error) {
	to := netip.AddrPortFrom(p.gateway, serverPort)
	if p.gateway.Is6() {
		to = elsewhere
	}
	c, err := p.network.Dial(ctx, "udp", to.String())
	if err != nil {
		return netip.Addr{}, err
	}
	defer c.Close()
	a, err := netip.ParseAddrPort(c.LocalAddr().String())
	if err != nil {
		return netip.Addr{}, err
	}
	local := a.Addr().Unmap()
	if local.Is6() && (!local.IsGlobalUnicast() || local.IsPrivate()) {
		return netip.Addr{}, errNoSix
	}
	return local, nil
}

// wants returns the ports to open.
func (l *line) wants() (list []want) {
	if port := l.mapper.cfg.TCP; port != 0 {
		list = append(list, want{tcp, port})
	}
	if port := l.mapper.cfg.UDP; port != 0 {
		list = append(list, want{udp, port})
	}
	return list
}

// ways returns the protocols to try at a place, the best first. Each has the place for itself.
func (l *line) ways(p *place) []way {
	own := func() *place { q := *p; return &q }
	if l.six {
		return []way{&pcp{place: own()}, &pinholes{igd{place: own()}}}
	}
	return []way{&pcp{place: own()}, &natpmp{place: own()}, &igd{place: own()}}
}

// obtain tries all protocols at once and asks for the ports by the best that answers, and by the next if it refuses.
func (l *line) obtain(ctx context.Context, p *place) error {
	answered, failed := probeAll(ctx, l.ways(p))
	for _, w := range answered {
		wants := l.wants()
		l.held = &hold{way: w, wants: wants, grants: make([]grant, len(wants))}
		err := l.held.renew(ctx)
		if err == nil || ctx.Err() != nil { // then it is given back
			return err
		}
		l.held = nil
		failed = append(failed, fmt.Errorf("%s: %w", w.name(), err))
	}
	return errors.Join(failed...)
}

var errNotYet = errors.New("it is being tried")

// probeAll returns the ways that answer, in their order, and why the others do not. Once one has answered, those before it have little time left,
// and those behind it none.
func probeAll(ctx context.Context, ways []way) (answered []way, failed []error) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	type result struct {
		i   int
		err error
	}
	results := make(chan result, len(ways))
	var wg sync.WaitGroup
	for i, w := range ways {
		wg.Go(func() { results <- result{i, w.probe(ctx)} })
	}
	errs := make([]error, len(ways))
	for i := range errs {
		errs[i] = errNotYet
	}
	first := 0 // those before have failed
	var grace <-chan time.Time
	for range ways {
		select {
		case r := <-results:
			if errs[r.i] = r.err; r.err == nil && grace == nil {
				grace = time.After(probeGrace)
			}
			for first < len(ways) && errs[first] != nil && !errors.Is(errs[first], errNotYet) {
				first++
			}
			if first < len(ways) && errs[first] == nil {
				cancel()
			}
		case <-grace:
			cancel()
			grace = nil
		}
	}
	cancel()
	wg.Wait()
	for i, w := range ways {
		if errs[i] == nil {
			answered = append(answered, w)
		} else {
			failed = append(failed, fmt.Errorf("%s: %w", w.name(), errs[i]))
		}
	}
	return answered, failed
}

// renew asks for everything, again or for the first time; twice if the gateway began anew in between. It fails if nothing is granted.
func (h *hold) renew(ctx context.Context) error {
	h.at().epoch.reset = false
	err := h.renewOnce(ctx)
	if h.reset = h.at().epoch.reset; err == nil && h.reset {
		err = h.renewOnce(ctx)
	}
	return err
}

func (h *hold) renewOnce(ctx context.Context) error {
	var failed []error
	for i, w := range h.wants {
		h.asked = max(h.asked, i+1)
		within, cancel := context.WithTimeout(ctx, openTime)
		g, err := h.open(within, w, h.grants[i])
		cancel()
		if ctx.Err() != nil {
			return ctx.Err() // what was granted is to be given back
		}
		if err != nil {
			failed = append(failed, err)
		}
		h.grants[i] = g
	}
	if len(h.wants) > 0 && len(failed) == len(h.wants) {
		return failed[0]
	}
	h.since, h.problem = time.Now(), errors.Join(failed...)
	return nil
}

// pause returns how long to wait before the grants are asked for again.
func (h *hold) pause() time.Duration {
	pause := checkPause
	for _, g := range h.grants {
		if g.valid() && g.lifetime > 0 {
			pause = min(pause, g.lifetime/2)
		}
	}
	return max(pause, shortPause)
}

// release gives back what is held.
func (l *line) release() {
	if l.held == nil {
		return
	}
	for i, w := range l.held.wants[:l.held.asked] {
		ctx, cancel := context.WithTimeout(context.Background(), closeTime)
		_ = l.held.close(ctx, w, l.held.grants[i]) // nobody is left who could do anything about it
		cancel()
	}
	l.mapper.set(l.six, Side{})
}

// side returns the status after a round that ended with err.
func (l *line) side(err error) Side {
	h := l.held
	if err != nil || h == nil {
		return Side{Problem: problem(err)}
	}
	s := Side{Protocol: h.name(), Gateway: h.at().gateway, Local: h.at().local, Problem: problem(h.problem)}
	for i, w := range h.wants {
		g := h.grants[i]
		if !g.valid() {
			continue
		}
		s.External = g.external.Addr()
		if w.protocol == tcp {
			s.TCP = g.external.Port()
		} else {
			s.UDP = g.external.Port()
		}
		if s.External.IsValid() && !netx.IsPublic(s.External) && s.Problem == "" {
			s.Problem = fmt.Sprintf("the gateway's own address, %v, is not public: it is behind another NAT", s.External)
		}
		if end := h.since.Add(g.lifetime); g.lifetime > 0 && (s.Expires.IsZero() || end.Before(s.Expires)) {
			s.Expires = end
		}
	}
	return s
}

func problem(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
