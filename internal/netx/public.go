package netx

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"time"
)

// ErrNotPublic is the refusal to connect to this machine or to a private network on behalf of somebody else.
var ErrNotPublic = errors.New("not on the public internet")

// public is a network that connects to public addresses only, for URLs that strangers have written: a torrent must not make us
// talk to the router or to a service of this machine. Names are resolved here, once, and what was checked is what is dialled, so
// that a name server cannot change its mind in between. Where the far end of the route resolves names, those that have
// a private meaning are refused, and what others lead to is the proxy's to judge.
type public struct{ Network }

// Dial implements Network.
func (p public) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) { return nil, dialError(network, addr, err) }
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fail(err)
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if !IsPublic(a) {
			return fail(ErrNotPublic)
		}
		return p.Network.Dial(ctx, network, addr)
	}
	if privateName(host) {
		return fail(ErrNotPublic)
	}
	if _, ok := p.Network.(interface{ passesNames() }); ok {
		return p.Network.Dial(ctx, network, addr)
	}
	addrs, err := p.Resolve(ctx, host)
	switch {
	case errors.Is(err, ErrNoResolve):
		return p.Network.Dial(ctx, network, addr)
	case err != nil:
		return fail(err)
	}
	return p.dialFirst(ctx, network, addr, port, addrs)
}

// dialFirst connects to the first of the public addresses of a name that answers. Each has its share of the time.
func (p public) dialFirst(ctx context.Context, network, addr, port string, addrs []netip.Addr) (net.Conn, error) {
	var good []netip.Addr
	for _, a := range addrs {
		if IsPublic(a) && fits(network, a.Unmap()) {
			good = append(good, a)
		}
	}
	err := ErrNotPublic
	for i, a := range good {
		var c net.Conn
		share, cancel := ctx, context.CancelFunc(func() {})
		if end, ok := ctx.Deadline(); ok {
			left := time.Until(end)
			share, cancel = context.WithTimeout(ctx, max(left/time.Duration(len(good)-i), min(left, 2*time.Second)))
		}
		c, err = p.Network.Dial(share, network, net.JoinHostPort(a.String(), port))
		cancel()
		if err == nil {
			return c, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, dialError(network, addr, err)
}

// privateNames are the ends of names that are never found in public DNS, or that mean this machine or network (RFC 6761, 6762,
// 8375; .internal by ICANN's resolution of 2024).
var privateNames = []string{"localhost", "local", "localdomain", "internal", "intranet", "lan", "home", "corp", "private", "home.arpa"}

// privateName reports whether a name means something on this machine or its network: a name without a dot, which is looked up
// in local domains, one of privateNames, or one that the system's functions take for an IPv4 address in a form that netip does not
// read, such as 127.1, 0x7f.1 or 2130706433.
func privateName(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	last := host[strings.LastIndexByte(host, '.')+1:]
	if last == host || last == "" || strings.HasPrefix(last, "0x") || strings.Trim(last, "0123456789") == "" {
		return true
	}
	for _, p := range privateNames {
		if strings.HasSuffix(host, "."+p) {
			return true
		}
	}
	return false
}

// notPublic are the ranges that lead to no machine on the public internet beside those that netip knows (IANA's registries of
// special-purpose addresses). Those kept for documentation are left out: they lead nowhere.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),      // this network (RFC 791)
	netip.MustParsePrefix("100.64.0.0/10"),  // shared by customers of a provider (RFC 6598)
	netip.MustParsePrefix("192.0.0.0/24"),   // protocol assignments (RFC 6890)
	netip.MustParsePrefix("192.88.99.0/24"), // 6to4 relays (RFC 7526)
	netip.MustParsePrefix("198.18.0.0/15"),  // benchmarks (RFC 2544)
	netip.MustParsePrefix("240.0.0.0/4"),    // reserved, broadcast (RFC 1112)
	netip.MustParsePrefix("::/96"),          // IPv4-compatible (RFC 4291)
	netip.MustParsePrefix("64:ff9b:1::/48"), // local translation (RFC 8215)
	netip.MustParsePrefix("100::/64"),       // discarded (RFC 6666)
	netip.MustParsePrefix("2001::/23"),      // protocol assignments, Teredo among them (RFC 2928)
	netip.MustParsePrefix("fec0::/10"),      // site-local (RFC 3879)
}

var (
	nat64 = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052: the last four bytes are an IPv4 address
	six4  = netip.MustParsePrefix("2002::/16")    // RFC 3056: the four bytes behind are
)

// IsPublic reports whether an address may be that of a machine on the public internet: it is not loopback, private, link-local,
// multicast or reserved, and embeds no such IPv4 address.
func IsPublic(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsValid() || a.Zone() != "" || !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, p := range notPublic {
		if p.Contains(a) {
			return false
		}
	}
	if b := a.As16(); nat64.Contains(a) {
		return IsPublic(netip.AddrFrom4([4]byte(b[12:])))
	} else if six4.Contains(a) {
		return IsPublic(netip.AddrFrom4([4]byte(b[2:6])))
	}
	return true
}
