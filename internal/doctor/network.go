package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"shoal/internal/dht"
	"shoal/internal/netx"
	"shoal/internal/netx/sockets"
	"shoal/internal/portmap"
)

// pollEvery is how often a session that has just begun is looked at again.
const pollEvery = 250 * time.Millisecond

// settled returns the session's facts as soon as done finds what it waits for in them, the session is old enough to know, or ctx ends.
func (e *Environment) settled(ctx context.Context, old time.Duration, done func(*Facts) bool) Facts {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		f := e.Facts()
		if f.Age >= old || done(&f) {
			return f
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return f
		}
	}
}

func portIPv4(ctx context.Context, e *Environment) finding { return port(ctx, e, false) }
func portIPv6(ctx context.Context, e *Environment) finding { return port(ctx, e, true) }

// mapTime is how long a session may take to have the router answer.
const mapTime = 15 * time.Second

func port(ctx context.Context, e *Environment, six bool) finding {
	family, name := "tcp4", "IPv4"
	if six {
		family, name = "tcp6", "IPv6"
	}
	switch {
	case e.Facts == nil:
		return skip("no session was begun")
	case !netx.TraitsOf(e.Network).Listens:
		return skip("the route takes no incoming connections: we reach peers, they do not reach us")
	}
	f := e.Facts()
	if !f.Listen.IsValid() {
		return finding{Fail, "no port is listened on", "set network.listen, such as :6881"}
	}
	own := f.Listen.Addr()
	if !own.IsUnspecified() && own.Is4() == six {
		return skip("we listen on %s alone", own)
	}
	public, any := e.ownAddresses(six)
	if own.IsUnspecified() && !any {
		return skip("this machine has no address of %s beside loopback", name)
	}
	if bad := e.dialOurselves(ctx, f.Listen, family, six); bad != nil {
		return finding{Fail, fmt.Sprintf("our own port does not answer: %v", bad), "see whether a firewall on this machine is in the way: nft list ruleset"}
	}
	if own.IsLoopback() {
		return skip("we listen on this machine alone")
	}
	f = e.settled(ctx, mapTime, func(f *Facts) bool {
		side := sideOf(f, six)
		return came(f, six) > 0 || side.Open() || side.Problem != "" || !f.PortMapped
	})
	side := sideOf(&f, six)
	at := f.Listen.Port()
	switch n := came(&f, six); {
	case n > 0:
		return ok("%d connections have come in at port %d", n, at)
	case side.Open():
		return ok("the router has opened port %d by %s; nobody has come in yet", max(side.TCP, side.UDP), side.Protocol)
	case public.IsValid():
		return ok("this machine has the public address %s; nobody has come in at port %d yet", public, at)
	}
	text := fmt.Sprintf("nobody has come in at port %d, and ", at)
	if side.Problem != "" {
		text += "the router does not open it: " + strings.ReplaceAll(side.Problem, "\n", ", ")
	} else {
		text += "the router is not asked to open it"
	}
	remedy := fmt.Sprintf("forward port %d, TCP and UDP, to this machine in the router's settings", at)
	if !f.PortMapped {
		remedy = "set network.port_map = true, or " + remedy
	}
	if six {
		remedy = fmt.Sprintf("allow port %d, TCP and UDP, to this machine in the router's IPv6 firewall", at)
	}
	return finding{Warn, text, remedy}
}

func sideOf(f *Facts, six bool) portmap.Side {
	if six {
		return f.PortMap.IPv6
	}
	return f.PortMap.IPv4
}

func came(f *Facts, six bool) int64 {
	if six {
		return f.Six
	}
	return f.Four
}

// ownAddresses returns a public address of this machine, if it has one, and whether it has any at all.
func (e *Environment) ownAddresses(six bool) (public netip.Addr, any bool) {
	for _, a := range e.machine.addresses() {
		if a.Is4() == six || a.IsLoopback() || a.IsLinkLocalUnicast() {
			continue
		}
		any = true
		if isPublic(a) {
			public = a
		}
	}
	return public, any
}

// shared is what providers number their customers with who share an address (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

func isPublic(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !shared.Contains(a)
}

// dialOurselves connects to our own port. Through a proxy, and through an interface that does not carry what is for this machine, that
// cannot be tried.
func (e *Environment) dialOurselves(ctx context.Context, at netip.AddrPort, family string, six bool) error {
	if e.Device != "" || e.Proxy != "" {
		return nil
	}
	host := at.Addr()
	switch {
	case e.Address.IsValid():
		host = e.Address
	case host.IsUnspecified() && six:
		host = netip.IPv6Loopback()
	case host.IsUnspecified():
		host = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	c, err := e.Network.Dial(ctx, family, netip.AddrPortFrom(host, at.Port()).String())
	if err != nil {
		return err
	}
	return c.Close()
}

// nat tells what stands between us and the others, from what the router and DHT nodes say our address is.
func nat(ctx context.Context, e *Environment) finding {
	switch {
	case e.Facts == nil:
		return skip("no session was begun")
	case !netx.TraitsOf(e.Network).Local:
		return skip("the route leads elsewhere")
	}
	f := e.settled(ctx, dhtTime, func(f *Facts) bool {
		told := e.Isolated || f.DHT == nil || seenFrom(f.DHT).IsValid()
		return told && (f.PortMap.IPv4.External.IsValid() || f.PortMap.IPv4.Problem != "" || !f.PortMapped)
	})
	seen, router := seenFrom(f.DHT), f.PortMap.IPv4.External
	own := e.machine.addresses()
	cgnat := finding{Warn, "", "ask the provider for a public IPv4 address, use IPv6, or a VPN that forwards a port (network.port_file)"}
	switch {
	case seen.IsValid() && slices.Contains(own, seen):
		return ok("none: others see us at %s, an address of this machine", seen)
	case router.IsValid() && !isPublic(router):
		cgnat.message = fmt.Sprintf("the router has %s, which is no public address: a second NAT, most likely the provider's, is behind it, and opened ports do not reach it", router)
		return cgnat
	case router.IsValid() && seen.IsValid() && router != seen:
		cgnat.message = fmt.Sprintf("the router says that it is %s, and others see us at %s: there is a second NAT, or another way out", router, seen)
		return cgnat
	case seen.IsValid():
		return ok("one: others see us at %s, which is the router's", seen)
	case router.IsValid():
		return ok("one: the router has the public address %s", router)
	}
	return skip("neither the router nor DHT nodes have told our address")
}

// seenFrom returns our IPv4 address as DHT nodes see it, if they have told.
func seenFrom(s *dht.Status) netip.Addr {
	if s != nil {
		for _, f := range s.Families {
			if a, err := netip.ParseAddr(f.External); err == nil && a.Unmap().Is4() {
				return a.Unmap()
			}
		}
	}
	return netip.Addr{}
}

// dhtTime is how long a node may take to be at home in the DHT; fewNodes is when it is not: one bucket is eight.
const (
	dhtTime  = time.Minute
	fewNodes = 8
)

func lookDHT(ctx context.Context, e *Environment) finding {
	if e.Facts == nil {
		return skip("no session was begun")
	}
	count := func(f *Facts) (n int, text string) {
		for _, s := range f.DHT.Families {
			n += s.Nodes
			text += fmt.Sprintf(", %d over %s", s.Nodes, s.Name)
		}
		return n, text
	}
	if e.Facts().DHT == nil {
		if !netx.TraitsOf(e.Network).Packets {
			return skip("the route carries no UDP")
		}
		return skip("it is off (network.dht)")
	}
	f := e.settled(ctx, dhtTime, func(f *Facts) bool {
		n, _ := count(f)
		return n >= fewNodes || e.Isolated
	})
	n, text := count(&f)
	switch {
	case e.Isolated && n < fewNodes:
		return skip("isolated: %d nodes are known, and no public one is asked", n)
	case n == 0:
		return finding{Fail, "no node answers" + text, "see whether UDP is let out (nft list ruleset), or name a node that is reached: network.dht_nodes"}
	case n < fewNodes:
		return finding{Warn, fmt.Sprintf("%d nodes are known%s", n, text), "wait a minute; if it stays so, see whether UDP is let in and out"}
	}
	return ok("%d nodes are known%s", n, text)
}

// route tries the way out without telling anybody: a proxy is asked, an interface looked at.
func route(ctx context.Context, e *Environment) finding {
	if e.Network == nil {
		return skip("no network was named")
	}
	if e.Device != "" {
		up, addrs, err := e.machine.device(e.Device)
		switch {
		case err != nil:
			return finding{Fail, fmt.Sprintf("interface %s: %v; until it is there, nothing is sent", e.Device, err), "ip link show; or set network.bind or network.route to an interface that is there"}
		case !up:
			return finding{Fail, fmt.Sprintf("interface %s is down; until it is up, nothing is sent", e.Device), "ip link set " + e.Device + " up, or start the VPN that it is of"}
		case len(addrs) == 0:
			return finding{Fail, fmt.Sprintf("interface %s has no address; until it has, nothing is sent", e.Device), "start the VPN that it is of: ip addr show " + e.Device}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	traits, err := netx.Probe(ctx, e.Network)
	if err != nil {
		return finding{Fail, fmt.Sprintf("%v; until it works, nothing is sent", err), "see whether what network.route names runs and is reached"}
	}
	if e.Address.IsValid() && e.Device == "" && e.Proxy == "" {
		return finding{Warn, fmt.Sprintf("everything has the address %s; names are resolved as the system is set up to, by whatever way that is", e.Address),
			"to have names resolved by the same way, set network.route = \"interface:NAME\""}
	}
	return ok("it can do: %s", traits)
}

// nowhere is an address that is nobody's (RFC 5737, RFC 3849). Connecting a UDP socket to it sends nothing.
var nowhere = map[string]string{"udp4": "192.0.2.1:9", "udp6": "[2001:db8::1]:9"}

// leak opens sockets by the route and looks at where they are bound; then at every socket of this process, whoever has opened it.
func leak(ctx context.Context, e *Environment) finding {
	if e.Network == nil {
		return skip("no network was named")
	}
	if e.Device == "" && !e.Address.IsValid() && e.Proxy == "" {
		return skip("no route was chosen: everything goes as the system routes it")
	}
	const remedy = "do not use shoal for what has to stay hidden until this is understood, and report it"
	if e.Proxy == "" {
		for _, family := range []string{"udp4", "udp6"} {
			if bad := e.chosen(ctx, family); bad != "" {
				return finding{Fail, bad, remedy}
			}
		}
	}
	all, err := e.machine.sockets()
	if errors.Is(err, errors.ErrUnsupported) {
		return skip("new sockets are bound as they should be; those that are open cannot be listed on this system")
	}
	if err != nil {
		return skip("the open sockets cannot be listed: %v", err)
	}
	n := 0
	for _, s := range all {
		if stray, held := e.stray(s); stray {
			return finding{Fail, fmt.Sprintf("a %s socket goes round the route: %s", s.Network, ends(s)), remedy}
		} else if held {
			n++
		}
	}
	return ok("all of the %d open sockets that leave this machine are held by the route, and so are new ones", n)
}

func ends(s sockets.Socket) string {
	if !s.Remote.IsValid() {
		return "bound to " + s.Local.String()
	}
	return fmt.Sprintf("from %s to %s", s.Local, s.Remote)
}

// chosen connects a packet socket to nowhere, and says what is wrong with the local address that it got. That there is no way is fine.
func (e *Environment) chosen(ctx context.Context, family string) string {
	c, err := e.Network.Dial(ctx, family, nowhere[family])
	if err != nil {
		return ""
	}
	defer c.Close()
	local, err := netip.ParseAddrPort(c.LocalAddr().String())
	if err != nil {
		return fmt.Sprintf("a new socket has no local address: %v", err)
	}
	got := local.Addr().Unmap().WithZone("")
	if e.Device != "" {
		_, addrs, err := e.machine.device(e.Device)
		if slices.ContainsFunc(addrs, netip.Addr.IsLoopback) {
			return "" // its addresses are for this machine alone: the system takes that of another, and nothing leaves by it
		}
		if err != nil || !slices.ContainsFunc(addrs, func(a netip.Addr) bool { return a.WithZone("") == got }) {
			return fmt.Sprintf("a new socket has the address %s, which is not of interface %s", got, e.Device)
		}
	} else if got != e.Address.Unmap() {
		return fmt.Sprintf("a new socket has the address %s, not %s", got, e.Address)
	}
	return ""
}

// stray reports whether a socket goes round the route, and whether it is one that the route holds. What stays on this machine is neither.
func (e *Environment) stray(s sockets.Socket) (stray, held bool) {
	local, remote := s.Local.Addr().Unmap(), s.Remote.Addr().Unmap()
	switch {
	case slices.Contains(e.Serves, s.Local.Port()) && s.Network == "tcp":
		return false, false // for people and programs
	case local.IsLoopback() || remote.IsLoopback():
		return false, false
	case s.Local.Port() == 0:
		return false, false // opened, and neither bound nor used yet
	case e.Device != "":
		return s.Device != e.Device, s.Device == e.Device
	case e.Proxy != "":
		host, _, err := net.SplitHostPort(e.Proxy)
		proxy, bad := netip.ParseAddr(host)
		if err != nil || bad != nil {
			return false, false // a name: what it stands for was the resolver's to say
		}
		if !remote.IsValid() {
			return s.Listening, false // an unconnected packet socket may be that of SOCKS, which sends to its relay alone
		}
		return remote != proxy.Unmap(), remote == proxy.Unmap()
	}
	if s.Network == "udp" && local.IsUnspecified() && !remote.IsValid() && slices.Contains(groupPorts, s.Local.Port()) {
		return false, true
	}
	return local != e.Address.Unmap(), local == e.Address.Unmap()
}

// groupPorts are of sockets that hear a multicast group, which cannot be bound to one address: they join on its interface alone. BEP 14, NAT-PMP and
// PCP (RFC 6886, 6887), SSDP.
var groupPorts = []uint16{6771, 5350, 1900}

func portOf(a net.Addr) uint16 {
	_, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return 0
	}
	return uint16(n)
}
