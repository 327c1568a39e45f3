package portmap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// SSDP, by which UPnP devices are found (UPnP Device Architecture 1.1 §1.3).
const (
	ssdpPort    = 1900
	maxLocation = 512 // bytes of a URL
)

// The groups of SSDP, of which that of IPv6 is link-local.
var (
	ssdpGroup4 = netip.AddrFrom4([4]byte{239, 255, 255, 250})
	ssdpGroup6 = netip.MustParseAddr("ff02::c")
)

// igdTypes are what gateways call themselves.
var igdTypes = []string{"urn:schemas-upnp-org:device:InternetGatewayDevice:2", "urn:schemas-upnp-org:device:InternetGatewayDevice:1"}

func searchFor(target string, group netip.Addr) []byte {
	return []byte("M-SEARCH * HTTP/1.1\r\nHOST: " + netip.AddrPortFrom(group, ssdpPort).String() + "\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: " + target + "\r\n\r\n")
}

// parseSearchAnswer returns where a gateway that has answered describes itself: a URL of http to one of its addresses.
func parseSearchAnswer(b []byte, allowed func(netip.Addr) bool) (*url.URL, error) {
	line, rest, _ := bytes.Cut(b, []byte("\n"))
	if f := strings.Fields(string(line)); len(f) < 2 || !strings.HasPrefix(f[0], "HTTP/1.") || f[1] != "200" {
		return nil, errors.New("no answer to a search")
	}
	var location, target string
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\n"))
		name, value, _ := strings.Cut(string(line), ":")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "location":
			location = strings.TrimSpace(value)
		case "st":
			target = strings.TrimSpace(value)
		}
	}
	if !strings.HasPrefix(target, "urn:schemas-upnp-org:device:InternetGatewayDevice:") {
		return nil, errors.New("not a gateway")
	}
	if len(location) > maxLocation {
		return nil, errors.New("its location is too long")
	}
	return parseURL(location, allowed)
}

// parseURL reads a URL, which must be of http and lead to an allowed host by its address: what is on the local network may not send us elsewhere.
func parseURL(text string, allowed func(netip.Addr) bool) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	a, err := netip.ParseAddr(u.Hostname())
	if u.Scheme != "http" || err != nil || a.Zone() != "" || !allowed(a.Unmap()) || u.User != nil {
		return nil, fmt.Errorf("the URL %q does not lead to the gateway", text)
	}
	return u, nil
}

// serves reports whether an address may be the gateway's: the one that we know, or, as routers answer from link-local addresses and give others, one
// of our own IPv6 subnet.
func (p *place) serves(a netip.Addr) bool {
	return a == p.gateway.WithZone("") || p.local.Is6() && netip.PrefixFrom(p.local, 64).Contains(a)
}

// discover asks the local network, and the gateway itself, for IGDs and calls found with each URL at which the gateway describes itself, until that
// returns true or ctx is done.
func (p *place) discover(ctx context.Context, found func(*url.URL) bool) error {
	c, err := p.network.ListenPacket(ctx, p.family("udp"), netip.AddrPortFrom(p.local, 0).String())
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })()
	b := make([]byte, maxReply)
	seen := map[string]bool{}
	for wait := time.Second; ctx.Err() == nil; wait *= 2 {
		if err := p.search(c); err != nil {
			return err
		}
		if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return err
		}
		for ctx.Err() == nil {
			n, from, err := c.ReadFrom(b)
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				break
			} else if err != nil {
				return err
			}
			a, ok := from.(*net.UDPAddr)
			if !ok || !p.serves(a.AddrPort().Addr().Unmap().WithZone("")) {
				continue
			}
			if u, err := parseSearchAnswer(b[:n], p.serves); err == nil && !seen[u.String()] && len(seen) < maxGateways {
				seen[u.String()] = true
				if found(u) {
					return nil
				}
			}
		}
	}
	return errNoAnswer
}

// search sends a search for each type of gateway. It fails if none could be sent.
func (p *place) search(c net.PacketConn) (err error) {
	group := ssdpGroup4
	if p.local.Is6() {
		group = ssdpGroup6
	}
	sent := false
	for _, t := range igdTypes {
		for _, to := range []netip.Addr{group.WithZone(p.gateway.Zone()), p.gateway} {
			if _, e := c.WriteTo(searchFor(t, group), net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, ssdpPort))); e != nil {
				err = e
			} else {
				sent = true
			}
		}
	}
	if sent {
		return nil
	}
	return err
}
