package portmap

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	serviceURN  = "urn:schemas-upnp-org:service:"
	description = "shoal" // what routers show people
	moreTries   = 4       // of other ports, where ours is taken
)

// Errors of UPnP's services (WANIPConnection:2 §2.5.22, WANIPv6FirewallControl:1 §2.4.11).
const (
	noSuchEntry   = 714
	portTaken     = 718
	onlyForever   = 725
	portTakenToo  = 729 // of IGD 2: by another way of mapping
	noSuchPinhole = 704
)

// igd is the way of UPnP's WANIPConnection 1 and 2 and WANPPPConnection.
type igd struct {
	*place
	device   *device
	services []service // those that were found, the best first
	chosen   service
	external netip.Addr
	forever  bool // it knows no end of a mapping
}

func (g *igd) name() string { return "UPnP" }

// find has the gateway described and keeps its services of some kinds, in the order of those.
func (g *igd) find(ctx context.Context, kinds ...string) error {
	err := errNoAnswer
	if e := g.discover(ctx, func(at *url.URL) bool {
		host, _ := netip.ParseAddr(at.Hostname())
		g.device = newDevice(g.network, host.Unmap(), g.gateway.Zone())
		var list []service
		if list, err = g.device.describe(ctx, at); err != nil {
			g.rest()
			return false
		}
		g.services = g.services[:0]
		for _, kind := range kinds {
			for _, s := range list {
				if s.kind == serviceURN+kind {
					g.services = append(g.services, s)
				}
			}
		}
		if err = nil; len(g.services) == 0 {
			err = errors.New("the gateway has no such service")
		}
		return err == nil
	}); err == nil {
		err = e
	}
	return err
}

func (g *igd) probe(ctx context.Context) error {
	defer g.rest()
	err := g.find(ctx, "WANIPConnection:2", "WANIPConnection:1", "WANPPPConnection:1")
	if err != nil {
		return err
	}
	for _, s := range g.services { // a gateway may have several connections, of which one is in use
		if err = g.askExternal(ctx, s); err == nil {
			g.chosen = s
			return nil
		}
	}
	return err
}

// rest closes connections that are kept.
func (g *igd) rest() {
	if g.device != nil {
		g.device.client.CloseIdleConnections()
	}
}

func (g *igd) askExternal(ctx context.Context, s service) error {
	values, err := g.device.call(ctx, s, "GetExternalIPAddress")
	if err != nil {
		return err
	}
	a, err := netip.ParseAddr(values["NewExternalIPAddress"])
	if err != nil || a.IsUnspecified() {
		return errors.New("the gateway has no external address")
	}
	g.external = a.Unmap()
	return nil
}

func (g *igd) open(ctx context.Context, w want, old grant) (grant, error) {
	defer g.rest()
	if old.valid() {
		if err := g.askExternal(ctx, g.chosen); err != nil {
			return grant{}, err
		}
	}
	port := w.port
	if old.valid() {
		port = old.external.Port()
	}
	for try := 0; ; try++ {
		err := g.add(ctx, w, port)
		var f fault
		switch {
		case err == nil:
			end := lifetime
			if g.forever {
				end = 0
			}
			external := g.external
			if !external.IsGlobalUnicast() {
				external = netip.Addr{}
			}
			return grant{external: netip.AddrPortFrom(external, port), lifetime: end}, nil
		case !errors.As(err, &f) || try == moreTries:
			return grant{}, err
		case f.code == onlyForever && !g.forever:
			g.forever = true
		case f.code == portTaken || f.code == portTakenToo:
			port = uint16(1024 + rand.N(1<<16-1024))
		default:
			return grant{}, err
		}
	}
}

func (g *igd) add(ctx context.Context, w want, port uint16) error {
	end := lifetime
	if g.forever {
		end = 0
	}
	_, err := g.device.call(ctx, g.chosen, "AddPortMapping",
		argument{"NewRemoteHost", ""}, argument{"NewExternalPort", number(port)}, argument{"NewProtocol", protocolName(w.protocol)},
		argument{"NewInternalPort", number(w.port)}, argument{"NewInternalClient", g.local.String()}, argument{"NewEnabled", "1"},
		argument{"NewPortMappingDescription", description}, argument{"NewLeaseDuration", strconv.Itoa(int(end / time.Second))})
	return err
}

func (g *igd) close(ctx context.Context, w want, granted grant) error {
	if !granted.valid() {
		return nil // the port may be another's
	}
	defer g.rest()
	_, err := g.device.call(ctx, g.chosen, "DeletePortMapping", argument{"NewRemoteHost", ""},
		argument{"NewExternalPort", number(granted.external.Port())}, argument{"NewProtocol", protocolName(w.protocol)})
	return ignore(err, noSuchEntry)
}

// ignore returns err, or nil if it is a fault of the given code.
func ignore(err error, code int) error {
	var f fault
	if errors.As(err, &f) && f.code == code {
		return nil
	}
	return err
}

func number(port uint16) string { return strconv.Itoa(int(port)) }

func protocolName(protocol uint8) string {
	if protocol == tcp {
		return "TCP"
	}
	return "UDP"
}

// pinholes is the way of UPnP's WANIPv6FirewallControl. It is asked over IPv6: gateways open ports only for the address that they are asked from.
type pinholes struct{ igd }

func (p *pinholes) probe(ctx context.Context) error {
	defer p.rest()
	if err := p.find(ctx, "WANIPv6FirewallControl:1"); err != nil {
		return err
	}
	p.chosen = p.services[0]
	values, err := p.device.call(ctx, p.chosen, "GetFirewallStatus")
	if err != nil {
		return err
	}
	if on(values["FirewallEnabled"]) && !on(values["InboundPinholeAllowed"]) {
		return errors.New("the firewall allows no pinholes")
	}
	return nil
}

// on reads a boolean of UPnP.
func on(text string) bool {
	return slices.Contains([]string{"1", "true", "yes"}, strings.ToLower(text))
}

func (p *pinholes) open(ctx context.Context, w want, old grant) (grant, error) {
	defer p.rest()
	end := argument{"LeaseTime", strconv.Itoa(int(lifetime / time.Second))}
	if old.valid() {
		_, err := p.device.call(ctx, p.chosen, "UpdatePinhole", argument{"UniqueID", old.handle}, argument{"NewLeaseTime", end.value})
		if err == nil {
			return old, nil
		}
	}
	values, err := p.device.call(ctx, p.chosen, "AddPinhole", argument{"RemoteHost", ""}, argument{"RemotePort", "0"},
		argument{"InternalClient", p.local.String()}, argument{"InternalPort", number(w.port)},
		argument{"Protocol", strconv.Itoa(int(w.protocol))}, end)
	if err != nil {
		return grant{}, err
	}
	id, err := strconv.ParseUint(values["UniqueID"], 10, 16)
	if err != nil {
		return grant{}, errors.New("AddPinhole: no id")
	}
	return grant{external: netip.AddrPortFrom(p.local, w.port), lifetime: lifetime, handle: strconv.Itoa(int(id))}, nil
}

func (p *pinholes) close(ctx context.Context, _ want, g grant) error {
	if !g.valid() {
		return nil
	}
	defer p.rest()
	_, err := p.device.call(ctx, p.chosen, "DeletePinhole", argument{"UniqueID", g.handle})
	return ignore(err, noSuchPinhole)
}
