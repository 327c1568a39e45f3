package netx

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Route is a way out, as people write it. The zero Route is the machine's own network.
type Route struct {
	kind           routeKind
	addr           string // of a proxy, host:port
	user, password string
	device         string // the interface, or the one by which a proxy is reached
	dns            netip.AddrPort
	bind           netip.Addr
}

type routeKind uint8

const (
	routeDirect routeKind = iota
	routeBind
	routeDevice
	routeSOCKS5
	routeTor
	routeHTTP
)

// torAddr is where Tor's SOCKS port is by default.
const torAddr = "127.0.0.1:9050"

// ParseRoute reads a route:
//
//	direct                              the machine's own network; so does the empty text
//	192.0.2.7                           the same, from one local address
//	interface:NAME, if:NAME             one interface; names are resolved through it,
//	interface:NAME?dns=ADDR[:PORT]      by the name server given
//	socks5://[USER:PASSWORD@]HOST:PORT  a SOCKS5 proxy; socks5h:// is the same, for names are always the proxy's to resolve
//	tor, tor://[HOST:PORT]              Tor's SOCKS port, at 127.0.0.1:9050 if not said otherwise
//	http://[USER:PASSWORD@]HOST:PORT    an HTTP proxy that allows CONNECT
//	…?via=NAME                          any of the proxies, reached through one interface only
//
// What is special in users and passwords is percent-encoded, as in URLs. No error repeats a password.
func ParseRoute(text string) (Route, error) {
	text = strings.TrimSpace(text)
	if text == "" || text == "direct" {
		return Route{}, nil
	}
	if a, err := netip.ParseAddr(text); err == nil {
		if a.IsUnspecified() || a.IsMulticast() {
			return Route{}, fmt.Errorf("route %s: not an address of one machine", text)
		}
		return Route{kind: routeBind, bind: a.Unmap()}, nil
	}
	if text == "tor" {
		return Route{kind: routeTor, addr: torAddr}, nil
	}
	if scheme, rest, ok := strings.Cut(text, "://"); ok && !strings.Contains(scheme, "@") {
		r, err := parseProxy(scheme, rest)
		if err != nil {
			return Route{}, fmt.Errorf("route %q: %w", scheme+"://…", err)
		}
		return r, nil
	}
	if kind, rest, ok := strings.Cut(text, ":"); ok && (kind == "interface" || kind == "if") {
		return parseDevice(rest)
	}
	if strings.Contains(text, "@") {
		return Route{}, errors.New("route: the scheme is missing, such as socks5://")
	}
	return Route{}, fmt.Errorf("route %q: none of direct, interface:NAME, socks5://HOST:PORT, tor, http://HOST:PORT or a local address", text)
}

func parseDevice(text string) (Route, error) {
	name, query, asked := strings.Cut(text, "?")
	if !deviceName(name) {
		return Route{}, fmt.Errorf("route interface:%q: not the name of an interface", name)
	}
	r := Route{kind: routeDevice, device: name}
	if !asked {
		return r, nil
	}
	server, ok := strings.CutPrefix(query, "dns=")
	if !ok {
		return Route{}, fmt.Errorf("route interface:%s: unknown option %q", name, query)
	}
	if a, err := netip.ParseAddr(server); err == nil {
		r.dns = netip.AddrPortFrom(a, 53)
	} else if r.dns, err = netip.ParseAddrPort(server); err != nil || r.dns.Port() == 0 {
		return Route{}, fmt.Errorf("route interface:%s: dns=%s is not an address", name, server)
	}
	return r, nil
}

// deviceName reports whether an interface may have this name. What it is on one system, where blanks are common, is none on another.
func deviceName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r == '/' || r == '?' || r < ' ' })
}

func parseProxy(scheme, rest string) (r Route, err error) {
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		if r.user, r.password, err = parseLogin(rest[:at]); err != nil {
			return r, err
		}
		rest = rest[at+1:]
	}
	rest, query, asked := strings.Cut(rest, "?")
	if asked {
		if r.device, asked = strings.CutPrefix(query, "via="); !asked || !deviceName(r.device) {
			return r, errors.New("what follows the ? is not via=INTERFACE")
		}
	}
	rest = strings.TrimSuffix(rest, "/")
	switch strings.ToLower(scheme) {
	case "socks5", "socks5h":
		r.kind = routeSOCKS5
		if len(r.user) > 255 || len(r.password) > 255 {
			return r, errors.New("user and password have at most 255 bytes each (RFC 1929)")
		}
	case "http":
		r.kind = routeHTTP
		if strings.Contains(r.user, ":") {
			return r, errors.New("the user may have no colon (RFC 7617)")
		}
	case "tor":
		r.kind = routeTor
		if r.user != "" {
			return r, errors.New("no user is needed for Tor: each route has its own, which keeps it apart from others")
		}
		if rest == "" {
			rest = torAddr
		}
	case "socks4", "socks4a", "https":
		return r, fmt.Errorf("proxies of this kind are not supported: socks5, tor and http are")
	default:
		return r, fmt.Errorf("unknown scheme %q", scheme)
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		return r, fmt.Errorf("%q is not HOST:PORT", rest)
	}
	if _, bad := netip.ParseAddr(host); bad != nil && !passable(host) {
		return r, fmt.Errorf("%q is not a host", host)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return r, fmt.Errorf("port %q is not a number from 1 to 65535", port)
	}
	r.addr = net.JoinHostPort(host, port)
	return r, nil
}

// parseLogin reads USER:PASSWORD. Its errors quote neither.
func parseLogin(text string) (user, password string, err error) {
	user, password, _ = strings.Cut(text, ":")
	if user, err = url.PathUnescape(user); err != nil {
		return "", "", errors.New("a % in the user is not followed by two hexadecimal digits")
	}
	if password, err = url.PathUnescape(password); err != nil {
		return "", "", errors.New("a % in the password is not followed by two hexadecimal digits")
	}
	if user == "" {
		return "", "", errors.New("the user is missing before the @")
	}
	return user, password, nil
}

// String returns what ParseRoute reads, without the password.
func (r Route) String() string {
	login := ""
	if r.user != "" {
		login = url.User(r.user).String() + "@"
		if r.password != "" {
			login = url.User(r.user).String() + ":…@"
		}
	}
	via := ""
	if r.device != "" {
		via = "?via=" + r.device
	}
	switch r.kind {
	case routeBind:
		return r.bind.String()
	case routeDevice:
		if r.dns.IsValid() {
			return "interface:" + r.device + "?dns=" + r.dns.String()
		}
		return "interface:" + r.device
	case routeSOCKS5:
		return "socks5://" + login + r.addr + via
	case routeTor:
		return "tor://" + r.addr + via
	case routeHTTP:
		return "http://" + login + r.addr + via
	}
	return "direct"
}

// GoString keeps the password out of %#v as well.
func (r Route) GoString() string { return "netx.Route(" + r.String() + ")" }

// Direct reports whether the route is the machine's own network, without any choice of address or interface.
func (r Route) Direct() bool { return r.kind == routeDirect }

// Open returns the route's network. Nothing is tried: see Probe. o is for the machine's own sockets, those to a proxy included;
// a local address that the route itself names wins.
func (r Route) Open(o Options) (Network, error) {
	if r.device != "" && !bindSupported {
		return nil, fmt.Errorf("route %s: %w on this system", r, errors.ErrUnsupported)
	}
	switch {
	case r.kind == routeBind:
		o.Bind = r.bind
		return NewHost(o), nil
	case r.kind == routeDevice:
		return NewDevice(r.device, r.dns, o), nil
	case r.device != "":
		return r.over(NewDevice(r.device, netip.AddrPort{}, o))
	}
	return r.over(NewHost(o))
}

// Over returns the network of a route that leads through a proxy which is reached by way of under, such as through a Device or
// a simulated network. Direct is under itself; a route that names an address or an interface has nothing else under it.
func (r Route) Over(under Network) (Network, error) {
	if r.device != "" {
		return nil, fmt.Errorf("route %s: it names its own interface", r)
	}
	return r.over(under)
}

func (r Route) over(under Network) (Network, error) {
	p := proxy{under, r.addr}
	switch r.kind {
	case routeDirect:
		return under, nil
	case routeSOCKS5:
		return &socks5{proxy: p, user: r.user, password: r.password}, nil
	case routeTor:
		return newTor(under, r.addr), nil
	case routeHTTP:
		return &connect{proxy: p, user: r.user, password: r.password}, nil
	}
	return nil, fmt.Errorf("route %s: it is no proxy", r)
}

// Binding tells how the route holds its sockets: all are bound to an interface, have a local address, or lead to a proxy at HOST:PORT,
// which may be reached through an interface. What is not so is empty.
func (r Route) Binding() (device string, local netip.Addr, proxy string) {
	return r.device, r.bind, r.addr
}
