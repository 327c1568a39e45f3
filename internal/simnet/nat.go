package simnet

import (
	"net/netip"
	"syscall"
	"time"
)

// Dependence tells what of the remote address a NAT looks at (RFC 4787 §4.1, §5).
type Dependence uint8

// The behaviours that RFC 4787 names, for mapping and for filtering.
const (
	EndpointIndependent Dependence = iota
	AddressDependent
	AddressAndPortDependent
)

// NATKind is how a NAT behaves. The zero value is FullCone without port preservation.
type NATKind struct {
	Mapping       Dependence    // which remotes see the same public port
	Filtering     Dependence    // which remotes may answer: any, those of an address sent to, those of an address and port sent to
	PreservePorts bool          // the public port is that of the host where it is free
	Hairpin       bool          // hosts inside reach one another by the public address
	Timeout       time.Duration // of UDP mappings and filters after the last packet from inside; 0 is two minutes
}

// The kinds that RFC 3489 named, as most routers are.
var (
	FullCone       = NATKind{PreservePorts: true, Hairpin: true}
	RestrictedCone = NATKind{Filtering: AddressDependent, PreservePorts: true}
	PortRestricted = NATKind{Filtering: AddressAndPortDependent, PreservePorts: true}
	Symmetric      = NATKind{Mapping: AddressAndPortDependent, Filtering: AddressAndPortDependent}
)

const (
	natTimeout    = 2 * time.Minute             // of UDP (RFC 4787 §4.3)
	natTCPTimeout = 2*time.Hour + 4*time.Minute // RFC 5382 §5
	forever       = time.Duration(1<<63 - 1)    // of what Map keeps until Unmap
	maxHops       = 16                          // NATs on one way
)

// NAT stands between the hosts of a local network and the rest. Those hosts see one another directly; what they send elsewhere is
// given the NAT's public address and a port of it, and what comes back is let through as the NAT's kind says. Streams are made from
// inside alone, unless Map opens a port. It forgets silently and refuses nothing.
type NAT struct {
	net          *Net
	kind         NATKind
	firewall     bool // addresses and ports stay as they are
	outer, inner *Host
	hosts        map[netip.Addr]*Host  // inside
	out          map[outKey]*mapping   // by the host inside
	in           map[endpoint]*mapping // by the public end
}

// endpoint is an address and port of a protocol, "tcp" or "udp".
type endpoint struct {
	proto string
	addr  netip.AddrPort
}

// outKey finds the mapping of what is sent from inside.
type outKey struct {
	inside endpoint
	remote netip.AddrPort // as much of it as the mapping depends on; zero for none, and for what Map has made
}

// mapping is one public port of one host inside.
type mapping struct {
	key      outKey
	public   endpoint
	fixed    bool                             // made by Map: anybody may send to it
	expires  time.Duration                    // on the Net's clock
	peers    map[netip.AddrPort]time.Duration // who was sent to, and until when they may answer
	up, down flow                             // at the NAT's link
}

// NAT adds a NAT with a public address, which no host may have, and a link of its own.
func (n *Net) NAT(public netip.Addr, link Link, kind NATKind) *NAT {
	return n.newNAT(nil, public, link, kind, false)
}

// Firewall adds a router that lets through what hosts behind it have asked for and translates nothing, as IPv6 routers at home do.
// The hosts have public addresses; addr is the router's own. Of the kind, Filtering and Timeout count.
func (n *Net) Firewall(addr netip.Addr, link Link, kind NATKind) *NAT {
	kind.Mapping, kind.PreservePorts, kind.Hairpin = EndpointIndependent, true, false
	return n.newNAT(nil, addr, link, kind, true)
}

// NAT adds a NAT behind this one, as homes are behind a carrier's.
func (a *NAT) NAT(public netip.Addr, link Link, kind NATKind) *NAT {
	return a.net.newNAT(a, public, link, kind, false)
}

func (n *Net) newNAT(behind *NAT, public netip.Addr, link Link, kind NATKind, firewall bool) *NAT {
	if kind.Timeout == 0 {
		kind.Timeout = natTimeout
	}
	a := &NAT{net: n, kind: kind, firewall: firewall, hosts: map[netip.Addr]*Host{}, out: map[outKey]*mapping{}, in: map[endpoint]*mapping{}}
	a.outer = n.addHost(behind, public, link)
	a.inner = n.newHost(netip.Addr{}, Link{})
	a.outer.gate, a.inner.gate, a.inner.nat = a, a, a
	return a
}

// Host adds a host behind the NAT. The address must be new there, and behind a firewall everywhere.
func (a *NAT) Host(private netip.Addr, link Link) *Host {
	h := a.net.addHost(a, private, link)
	a.net.mu.Lock()
	defer a.net.mu.Unlock()
	if a.inner.addr.IsValid() {
		return h
	}
	bits := 24
	if private.Is6() {
		bits = 64
	}
	prefix, _ := private.Prefix(bits)
	if a.inner.addr = prefix.Masked().Addr().Next(); a.inner.addr == h.addr {
		panic("simnet: the address " + private.String() + " is the gateway's")
	}
	a.hosts[a.inner.addr] = a.inner
	return h
}

// Gateway returns the NAT's own host on the inside, whose address is the first of the subnet, /24 or /64, of the first Host. What the
// NAT offers there, such as the mapping of ports, a test runs on it.
func (a *NAT) Gateway() *Host { return a.inner }

// Public returns the public address, of a firewall its own.
func (a *NAT) Public() netip.Addr { return a.outer.addr }

// Down pulls the cable to the outside.
func (a *NAT) Down() { a.outer.Down() }

// Up plugs it in again.
func (a *NAT) Up() { a.outer.Up() }

// Reset forgets all mappings, as a restart does.
func (a *NAT) Reset() {
	a.net.mu.Lock()
	defer a.net.mu.Unlock()
	clear(a.out)
	clear(a.in)
}

// Map opens a public port, 0 for any, to a port of a host inside, for some time or, if that is 0, until Unmap. The protocol is "tcp" or
// "udp". It returns the public end, or an error if the port is in use for another. A firewall opens the port of the host itself.
func (a *NAT) Map(proto string, port uint16, inside netip.AddrPort, lifetime time.Duration) (netip.AddrPort, error) {
	a.net.mu.Lock()
	defer a.net.mu.Unlock()
	key := outKey{inside: endpoint{proto, inside}}
	if port == 0 {
		port = inside.Port()
		if m := a.live(a.out[key]); m != nil && m.fixed {
			port = m.public.addr.Port()
		}
	}
	public := endpoint{proto, netip.AddrPortFrom(a.outer.addr, port)}
	if a.firewall {
		public.addr = inside
	}
	if m := a.live(a.in[public]); m != nil && m.key.inside != key.inside {
		return netip.AddrPort{}, syscall.EADDRINUSE
	}
	m := &mapping{key: key, public: public, fixed: true, expires: forever}
	if lifetime > 0 {
		m.expires = a.net.now() + lifetime
	}
	a.drop(a.out[key])
	a.drop(a.in[public])
	a.out[key], a.in[public] = m, m
	return public.addr, nil
}

// Unmap closes what Map has opened to a port of a host inside, and reports whether there was something.
func (a *NAT) Unmap(proto string, inside netip.AddrPort) bool {
	a.net.mu.Lock()
	defer a.net.mu.Unlock()
	m := a.live(a.out[outKey{inside: endpoint{proto, inside}}])
	if m == nil || !m.fixed {
		return false
	}
	a.drop(m)
	return true
}

// Mapped returns to which port of a host inside a public port is open to everybody by Map, if it is.
func (a *NAT) Mapped(proto string, public netip.AddrPort) (inside netip.AddrPort, ok bool) {
	a.net.mu.Lock()
	defer a.net.mu.Unlock()
	m := a.live(a.in[endpoint{proto, public}])
	if m == nil || !m.fixed {
		return netip.AddrPort{}, false
	}
	return m.key.inside.addr, true
}

// live returns m, or nil if it has expired.
func (a *NAT) live(m *mapping) *mapping {
	if m != nil && m.expires <= a.net.now() {
		a.drop(m)
		return nil
	}
	return m
}

func (a *NAT) drop(m *mapping) {
	if m != nil {
		delete(a.out, m.key)
		delete(a.in, m.public)
	}
}

// outbound returns the mapping for a packet from inside, a new one if need be, and has it and its filter live on. It is nil if no port is
// free.
func (a *NAT) outbound(from endpoint, to netip.AddrPort) *mapping {
	m := a.live(a.out[outKey{inside: from}])
	if m == nil || !m.fixed {
		key := outKey{inside: from}
		switch a.kind.Mapping {
		case AddressDependent:
			key.remote = netip.AddrPortFrom(to.Addr(), 0)
		case AddressAndPortDependent:
			key.remote = to
		}
		if m = a.live(a.out[key]); m == nil {
			if m = a.newMapping(key); m == nil {
				return nil
			}
		}
	}
	timeout := a.kind.Timeout
	if from.proto == "tcp" {
		timeout = natTCPTimeout
	}
	until := a.net.now() + timeout
	if m.refresh(until); !m.fixed {
		m.peers[to] = until
	}
	return m
}

// refresh has m live on until a time on the Net's clock. What Map has made lives as long as was asked for.
func (m *mapping) refresh(until time.Duration) {
	if !m.fixed {
		m.expires = max(m.expires, until)
	}
}

func (a *NAT) newMapping(key outKey) *mapping {
	public := func(port uint16) endpoint {
		if a.firewall {
			return key.inside
		}
		return endpoint{key.inside.proto, netip.AddrPortFrom(a.outer.addr, port)}
	}
	used := func(port uint16) bool { return a.live(a.in[public(port)]) != nil }
	port := key.inside.addr.Port()
	if !a.kind.PreservePorts || used(port) {
		var err error
		if port, err = a.outer.freePort(used); err != nil {
			return nil
		}
	}
	m := &mapping{key: key, public: public(port), peers: map[netip.AddrPort]time.Duration{}}
	a.out[key], a.in[m.public] = m, m
	return m
}

// inbound returns the mapping by which a packet from outside comes in, or nil.
func (a *NAT) inbound(from netip.AddrPort, to endpoint) *mapping {
	m := a.live(a.in[to])
	switch {
	case m == nil || m.fixed:
		return m
	case to.proto == "tcp":
		return nil // it would be a SYN
	case a.kind.Filtering == EndpointIndependent:
		return m
	case a.kind.Filtering == AddressAndPortDependent:
		if m.peers[from] > a.net.now() {
			return m
		}
		return nil
	}
	for peer, until := range m.peers {
		if peer.Addr() == from.Addr() && until > a.net.now() {
			return m
		}
	}
	return nil
}
