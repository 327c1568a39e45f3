package portmap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"shoal/internal/netx"
)

// Numbers of the protocols whose ports are mapped (IANA).
const (
	tcp = 6
	udp = 17
)

const (
	firstTry = 250 * time.Millisecond // that an answer may take before the request is sent again; it doubles (RFC 6886 §3.1)
	maxReply = 2048                   // bytes of a datagram that are read
)

// place is where mappings are asked for: a gateway, and the address of ours that it sees.
type place struct {
	network netx.Network
	gateway netip.Addr // with a zone if it is link-local
	local   netip.Addr
	epoch   epoch
}

// same reports whether two places are one.
func (p *place) same(q *place) bool { return p.gateway == q.gateway && p.local == q.local }

var errNoAnswer = errors.New("no answer")

// exchange sends a request to serverPort of the gateway, again and again, until take has accepted an answer, whose error it returns, or ctx is done.
func (p *place) exchange(ctx context.Context, request []byte, take func([]byte) (bool, error)) error {
	c, err := p.network.ListenPacket(ctx, p.family("udp"), netip.AddrPortFrom(p.local, 0).String())
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	b := make([]byte, maxReply)
	for wait := firstTry; ctx.Err() == nil; wait *= 2 {
		if _, err := c.WriteTo(request, net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.gateway, serverPort))); err != nil {
			return err
		}
		until := time.Now().Add(wait)
		for {
			if err := c.SetReadDeadline(until); err != nil {
				return err
			}
			if ctx.Err() != nil { // before the deadline was set; else it is now in the past
				break
			}
			n, from, err := c.ReadFrom(b)
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				break
			} else if err != nil {
				return err
			}
			if !p.isGateway(from) {
				continue
			}
			if ok, err := take(b[:n]); ok {
				return err
			}
		}
	}
	return errNoAnswer
}

// family adds the family of our address to a network's name.
func (p *place) family(network string) string {
	if p.local.Is4() {
		return network + "4"
	}
	return network + "6"
}

// isGateway reports whether a datagram is the gateway's, from serverPort.
func (p *place) isGateway(from net.Addr) bool {
	a, ok := from.(*net.UDPAddr)
	return ok && a.AddrPort().Addr().Unmap().WithZone("") == p.gateway.WithZone("") && a.Port == serverPort
}

func (p *place) heardEpoch(seconds uint32, now time.Time) { p.epoch.hear(seconds, now) }

// epoch follows the seconds that a gateway counts since it began to keep mappings (RFC 6886 §3.6, RFC 6887 §8.5).
type epoch struct {
	server uint32
	heard  time.Time // zero: not yet
	reset  bool      // it has begun anew since this was set to false
}

// hear notes what the gateway's clock says.
func (e *epoch) hear(seconds uint32, now time.Time) {
	if !e.heard.IsZero() && !e.plausible(seconds, now) {
		e.reset = true
	}
	e.server, e.heard = seconds, now
}

// plausible reports whether a clock that has not begun anew may say so many seconds: both clocks may be wrong by a sixteenth and two seconds.
func (e *epoch) plausible(seconds uint32, now time.Time) bool {
	if int64(seconds) < int64(e.server)-1 {
		return false
	}
	ours, theirs := int64(now.Sub(e.heard)/time.Second), int64(seconds)-int64(e.server)
	return ours+2 >= theirs-theirs/16 && theirs+2 >= ours-ours/16
}

// want is a port to be reached from outside.
type want struct {
	protocol uint8 // tcp or udp
	port     uint16
}

// grant is what a gateway has given for it.
type grant struct {
	external netip.AddrPort // the address is not valid if it is not known
	lifetime time.Duration  // 0: for ever
	handle   string         // of the way that got it
}

func (g grant) valid() bool { return g.external.Port() != 0 }

// newGrant checks what a gateway says. What lasts longer than a day is asked for again after one.
func newGrant(external netip.AddrPort, d time.Duration) (grant, error) {
	if external.Port() == 0 || d <= 0 {
		return grant{}, fmt.Errorf("the gateway grants port %d for %v", external.Port(), d)
	}
	if !external.Addr().IsGlobalUnicast() {
		external = netip.AddrPortFrom(netip.Addr{}, external.Port())
	}
	return grant{external: external, lifetime: min(d, 24*time.Hour)}, nil
}
