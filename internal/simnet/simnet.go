// Package simnet is a network that exists only in memory and in virtual time, for tests inside testing/synctest bubbles.
//
// A Net has hosts; each Host is a netx.Network with one address behind one Link. Bandwidth, latency, loss, partitions
// and the death of hosts are modelled; every byte and packet takes the time that the links on its way would take:
//
//	sender → its uplink (serialised, fair between flows unless it has a Queue) → latency of both links, loss →
//	receiver's downlink (likewise) → receiver
//
// Hosts may be behind NATs and firewalls, which have a link of their own on the way and rewrite addresses as they go.
//
// Nothing here starts a goroutine of its own: one timer drives all events, and all state is guarded by one mutex. So a
// bubble ends when the code under test ends. The same seed and the same order of calls give the same losses.
//
// Streams are a simple TCP: slow start, back-off when the receiver's downlink is congested (as if by ECN) or a packet is
// lost, retransmission, a receive window, half-close and resets. Acknowledgements take time but no bandwidth. Where a link has a
// Queue, they fill it and halve their window once in a round trip for what it drops.
package simnet

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Link is how a host is connected. The zero Link is perfect.
type Link struct {
	Up, Down int64         // bytes a second, headers included; 0 is unlimited
	Latency  time.Duration // one way, between the host and the core: a round trip is 2·(a.Latency+b.Latency)
	Jitter   time.Duration // up to this much more for each packet; datagrams overtake one another by it
	Loss     float64       // probability that a packet of up to 1500 bytes is lost on this link, in either direction

	// Queue makes each direction with a rate one queue of so many bytes for all flows, first in first out, that drops what does
	// not fit, as a modem's. Without it the flows have queues of their own and take turns, the sender's wait in its sockets, and
	// streams are told of congestion.
	Queue int
}

// Net is one network. Make it and use it inside the same bubble.
type Net struct {
	seed uint64

	mu     sync.Mutex
	queue  schedule
	hosts  map[netip.Addr]*Host // that are not behind a NAT
	walled map[netip.Addr]*NAT  // the firewalls of hosts that are behind one
	names  map[string][]netip.Addr
	cut    map[[2]*Host]bool
}

// New returns a network without hosts. seed decides which packets are lost.
func New(seed uint64) *Net {
	n := &Net{seed: seed, hosts: map[netip.Addr]*Host{}, walled: map[netip.Addr]*NAT{}, names: map[string][]netip.Addr{}, cut: map[[2]*Host]bool{}}
	n.queue.start = time.Now()
	return n
}

// Host adds a host. The address must be new and neither unspecified nor loopback.
func (n *Net) Host(addr netip.Addr, link Link) *Host { return n.addHost(nil, addr, link) }

// addHost adds a host behind a NAT, or behind none.
func (n *Net) addHost(behind *NAT, addr netip.Addr, link Link) *Host {
	h := n.newHost(addr.Unmap(), link)
	n.mu.Lock()
	defer n.mu.Unlock()
	hosts := n.hosts
	if h.nat = behind; behind != nil {
		hosts = behind.hosts
		if behind.firewall {
			if n.hosts[h.addr] != nil || n.walled[h.addr] != nil {
				panic("simnet: repeated address " + addr.String())
			}
			n.walled[h.addr] = behind
		}
	}
	if hosts[h.addr] != nil || addr.IsUnspecified() || addr.IsLoopback() {
		panic("simnet: bad or repeated address " + addr.String())
	}
	hosts[h.addr] = h
	return h
}

func (n *Net) newHost(addr netip.Addr, link Link) *Host {
	h := &Host{net: n, addr: addr, link: link, nextPort: firstPort,
		listeners: map[uint16]*listener{}, packets: map[uint16]*packetConn{}, groups: map[netip.AddrPort][]*packetConn{}, streams: map[tuple]*stream{}}
	h.up = pipe{net: n, rate: link.Up, limit: link.Queue}
	h.down = pipe{net: n, rate: link.Down, limit: link.Queue}
	return h
}

// Name makes every host resolve a name to the given addresses; without any, the name is unknown again.
func (n *Net) Name(name string, addrs ...netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.names[name] = addrs
}

// Partition makes everything between two hosts vanish, in both directions, until Heal.
func (n *Net) Partition(a, b *Host) { n.setCut(a, b, true) }

// Heal ends a partition.
func (n *Net) Heal(a, b *Host) { n.setCut(a, b, false) }

func (n *Net) setCut(a, b *Host, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[[2]*Host{a, b}], n.cut[[2]*Host{b, a}] = cut, cut
}

// random returns the source of one flow's chances. It depends on the flow's ends only, so that flows do not disturb
// each other's.
func (n *Net) random(from, to netip.AddrPort) *rand.Rand {
	h := fnv.New64a()
	for _, a := range []netip.AddrPort{from, to} {
		ip := a.Addr().As16()
		h.Write(binary.BigEndian.AppendUint16(ip[:], a.Port()))
	}
	return rand.New(rand.NewPCG(n.seed, h.Sum64()))
}

const (
	firstPort = 32768     // of those given to sockets that name none
	mtu       = 1500      // bytes of the longest packet
	header    = 40        // bytes of IP and TCP around a segment
	udpHeader = 28        // bytes of IP and UDP around a datagram
	minQueue  = 64 << 10  // bytes that a link's queue holds at least
	sockQueue = 208 << 10 // bytes that a packet socket queues for its reader, as Linux does
)

// Host is one machine. It is a netx.Network and safe for concurrent use.
type Host struct {
	net      *Net
	addr     netip.Addr
	link     Link
	up, down pipe
	nat      *NAT // that it is behind, or nil
	gate     *NAT // that it is one side of, or nil

	off       bool // its cable is pulled
	nextPort  uint16
	listeners map[uint16]*listener
	packets   map[uint16]*packetConn
	groups    map[netip.AddrPort][]*packetConn // sockets that have joined multicast groups
	streams   map[tuple]*stream
}

// tuple identifies a stream of a host.
type tuple struct {
	port   uint16
	remote netip.AddrPort
}

// Addr returns the host's address.
func (h *Host) Addr() netip.Addr { return h.addr }

// Down pulls the host's cable: what it sends and what is sent to it vanishes. Its sockets stay as they are.
func (h *Host) Down() { h.setOff(true) }

// Up plugs the cable in again.
func (h *Host) Up() { h.setOff(false) }

func (h *Host) setOff(off bool) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.off = off
}

// Kill ends every socket of the host as the death of a process does: the other ends of its streams are reset, if they
// can be reached. The host itself lives on and can be used again.
func (h *Host) Kill() {
	h.net.mu.Lock()
	defer h.net.unlock()
	for _, l := range h.listeners {
		l.close()
	}
	for _, p := range h.packets {
		p.close()
	}
	for _, ps := range h.groups {
		for _, p := range slices.Clone(ps) {
			p.close()
		}
	}
	for _, s := range h.streams {
		s.closed = true
		s.abort(net.ErrClosed, true)
	}
}

// SetLink changes how the host is connected, for what is sent from now on.
func (h *Host) SetLink(l Link) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.link, h.up.rate, h.down.rate, h.up.limit, h.down.limit = l, l.Up, l.Down, l.Queue, l.Queue
}

// Resolve implements netx.Network with the names that the Net was given. It takes no time.
func (h *Host) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	if host == "localhost" {
		return []netip.Addr{h.loopback()}, nil
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if a := h.net.names[host]; len(a) > 0 {
		return append([]netip.Addr(nil), a...), nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func (h *Host) loopback() netip.Addr {
	if h.addr.Is4() {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.IPv6Loopback()
}

// target resolves addr to the one address that a dial of the given network goes to.
func (h *Host) target(ctx context.Context, network, addr string) (netip.AddrPort, error) {
	name, service, err := net.SplitHostPort(addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if name == "" {
		name = "localhost"
	}
	addrs, err := h.Resolve(ctx, name)
	if err != nil {
		return netip.AddrPort{}, err
	}
	for _, a := range addrs {
		if !fits(network, a) {
			continue
		}
		if a.Is4() != h.addr.Is4() {
			err = syscall.ENETUNREACH
			continue
		}
		return netip.AddrPortFrom(a.WithZone(""), uint16(port)), nil
	}
	if err == nil {
		err = &net.AddrError{Err: "no suitable address", Addr: addr}
	}
	return netip.AddrPort{}, err
}

// fits reports whether a network's name, such as "tcp4", allows an address.
func fits(network string, a netip.Addr) bool {
	switch network[len(network)-1] {
	case '4':
		return a.Is4()
	case '6':
		return a.Is6()
	}
	return true
}

// local reads the address of a Listen: the port, 0 for any, and whether only the host itself may connect.
func (h *Host) local(network, addr string) (port uint16, loopback bool, err error) {
	name, service, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, false, err
	}
	n, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return 0, false, err
	}
	if name == "" && fits(network, h.addr) {
		return uint16(n), false, nil
	}
	a, err := netip.ParseAddr(name)
	if name == "localhost" {
		a, err = h.loopback(), nil
	}
	a = a.Unmap()
	if err != nil || !fits(network, a) || a != h.addr && !a.IsUnspecified() && !a.IsLoopback() {
		return 0, false, syscall.EADDRNOTAVAIL
	}
	return uint16(n), a.IsLoopback(), nil
}

// freePort returns a port for which used is false. It is called with the lock held.
func (h *Host) freePort(used func(uint16) bool) (uint16, error) {
	for range 1<<16 - firstPort {
		p := h.nextPort
		if h.nextPort++; h.nextPort == 0 {
			h.nextPort = firstPort
		}
		if !used(p) {
			return p, nil
		}
	}
	return 0, syscall.EADDRINUSE
}

// reaches reports whether packets from h get to other, the next on their way, now.
func (h *Host) reaches(other *Host) bool {
	return h == other || other != nil && !h.off && !other.off && !h.net.cut[[2]*Host{h, other}]
}

// latency returns how long a packet between the hosts takes beside its serialisation.
func (h *Host) latency(other *Host, r *rand.Rand) time.Duration {
	if h == other {
		return 0
	}
	d := h.link.Latency
	jitter := h.link.Jitter
	if other != nil {
		d += other.link.Latency
		jitter += other.link.Jitter
	}
	if jitter > 0 && r != nil {
		d += time.Duration(r.Int64N(int64(jitter)))
	}
	return d
}

// loses reports whether a packet of the given size is lost between the hosts by chance.
func (h *Host) loses(other *Host, size int, r *rand.Rand) bool {
	if h == other || h.link.Loss == 0 && other.link.Loss == 0 {
		return false
	}
	keep := (1 - h.link.Loss) * (1 - other.link.Loss)
	for ; size > 0; size -= mtu {
		if r.Float64() >= keep {
			return true
		}
	}
	return false
}
