package netx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"syscall"
)

// Device is one network interface of the machine. Every socket is bound to it, those that ask name servers too: while the
// interface is gone, down or without an address all fails, and nothing that we send leaves by another. It is safe for concurrent use.
//
// What no program can bind are the answers that the system itself gives to packets for sockets that are closed by then (TCP resets,
// ICMP's unreachable ports): they take the system's routes. Where those lead elsewhere, a rule for the interface's address keeps
// them on it, such as "ip rule add from ADDRESS lookup TABLE" with a table that has the interface's route alone.
type Device struct {
	*Host
	name string
	dns  netip.AddrPort // the name server to ask in place of the system's, if valid
}

// NewDevice returns the network of an interface. It need not exist yet. If dns is valid, names are resolved there instead of by
// the name servers that the system is set up for, as they often are not reached through this interface.
func NewDevice(name string, dns netip.AddrPort, o Options) *Device {
	d := &Device{Host: NewHost(o), name: name, dns: dns}
	d.dialer.Control = d.dialControl
	d.dialer.Resolver = &net.Resolver{PreferGo: true, Dial: d.dialServer}
	d.listen.Control = d.listenControl
	d.listen.SetMultipathTCP(false) // its further paths are the system's choice
	return d
}

// dialControl binds a socket that is about to connect to addr. Without an address of its own on the interface it would get that of
// another, and so tell who we are elsewhere.
func (d *Device) dialControl(network, addr string, c syscall.RawConn) error {
	if err := d.allows(addr); err != nil {
		return err
	}
	if err := d.bindSocket(network, c); err != nil {
		return err
	}
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return err
	}
	for _, own := range d.addrs() {
		if own.Is4() == to.Addr().Unmap().Is4() && (own.IsLinkLocalUnicast() == to.Addr().IsLinkLocalUnicast() || own.Is4()) {
			return nil
		}
	}
	return d.down(errNoAddress)
}

// listenControl binds a socket that is about to listen on addr.
func (d *Device) listenControl(network, addr string, c syscall.RawConn) error {
	if err := d.allows(addr); err != nil {
		return err
	}
	if err := d.bindSocket(network, c); err != nil {
		return err
	}
	if len(d.addrs()) == 0 {
		return d.down(errNoAddress)
	}
	return nil
}

func (d *Device) bindSocket(network string, c syscall.RawConn) error {
	var err error
	if outer := c.Control(func(fd uintptr) { err = bindToDevice(fd, network, d.name) }); outer != nil {
		return outer
	}
	if err != nil {
		return d.down(err)
	}
	return nil
}

func (d *Device) down(err error) error {
	return fmt.Errorf("%w: interface %s: %w", ErrRouteDown, d.name, err)
}

// States of an interface.
var (
	errDeviceDown = errors.New("it is down")
	errNoAddress  = errors.New("it has no address")
)

// allows refuses loopback addresses, which are this machine's own and not behind any other interface: some systems would send
// packets for them out.
func (d *Device) allows(addr string) error {
	a, err := netip.ParseAddrPort(addr)
	if err == nil && a.Addr().Unmap().IsLoopback() && !d.isLoopback() {
		return fmt.Errorf("%s is on this machine, and not reached through interface %s", a.Addr(), d.name)
	}
	return nil
}

func (d *Device) isLoopback() bool {
	i, err := net.InterfaceByName(d.name)
	return err == nil && i.Flags&net.FlagLoopback != 0
}

// dialServer connects to a name server.
func (d *Device) dialServer(ctx context.Context, network, addr string) (net.Conn, error) {
	if d.dns.IsValid() {
		addr = d.dns.String()
	}
	c, err := d.Dial(ctx, network, addr)
	if err != nil {
		return nil, fmt.Errorf("name server %s: %w", addr, err)
	}
	return c, nil
}

// Dial implements Network.
func (d *Device) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := d.Host.Dial(ctx, network, addr)
	if err != nil || bindFiltersInput {
		return c, err
	}
	if local, perr := netip.ParseAddrPort(c.LocalAddr().String()); perr != nil || !d.owns(local.Addr()) {
		c.Close()
		return nil, dialError(network, addr, d.down(fmt.Errorf("the system chose the address %s of another", local.Addr())))
	}
	return c, nil
}

// owns reports whether an address is the interface's own.
func (d *Device) owns(a netip.Addr) bool {
	for _, own := range d.addrs() {
		if own == a.Unmap().WithZone("") {
			return true
		}
	}
	return false
}

// addrs returns the interface's own addresses, IPv4 first.
func (d *Device) addrs() (all []netip.Addr) {
	i, err := net.InterfaceByName(d.name)
	if err != nil {
		return nil
	}
	as, err := i.Addrs()
	if err != nil {
		return nil
	}
	var six []netip.Addr
	for _, a := range as {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok && ip.Unmap().Is4() {
				all = append(all, ip.Unmap())
			} else if ok {
				six = append(six, ip)
			}
		}
	}
	return append(all, six...)
}

// Listen implements Network.
func (d *Device) Listen(ctx context.Context, network, addr string) (net.Listener, error) {
	addr, err := d.localOf(network, addr)
	if err != nil {
		return nil, err
	}
	return d.Host.Listen(ctx, network, addr)
}

// ListenPacket implements Network.
func (d *Device) ListenPacket(ctx context.Context, network, addr string) (net.PacketConn, error) {
	addr, err := d.localOf(network, addr)
	if err != nil {
		return nil, err
	}
	return d.Host.ListenPacket(ctx, network, addr)
}

// ListenPacketShared implements PacketSharer.
func (d *Device) ListenPacketShared(ctx context.Context, network, addr string) (net.PacketConn, error) {
	addr, err := d.localOf(network, addr)
	if err != nil {
		return nil, err
	}
	return d.Host.ListenPacketShared(ctx, network, addr)
}

// localOf returns where to listen. Where a bound socket still takes what comes in by other interfaces, it listens on an address
// that the interface has, one that is no link-local one if it can be.
func (d *Device) localOf(network, addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	a, err := netip.ParseAddr(host)
	if host != "" && err != nil {
		return "", fmt.Errorf("listen on %s: an address is needed, not a name", addr)
	}
	if bindFiltersInput || host != "" && !a.IsUnspecified() || d.bind.IsValid() {
		return addr, nil
	}
	best := netip.Addr{}
	for _, own := range d.addrs() {
		if fits(network, own) && (!best.IsValid() || best.IsLinkLocalUnicast()) {
			best = own
		}
	}
	if !best.IsValid() {
		return "", d.down(errNoAddress)
	}
	return net.JoinHostPort(best.String(), port), nil
}

// Resolve implements Network with Go's own resolver, since the system's does not ask through a given interface. It reads the
// system's hosts file and configuration.
func (d *Device) Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	addrs, err := d.dialer.Resolver.LookupNetIP(ctx, "ip", host)
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, err
}

// Traits implements the seam of TraitsOf. A tunnel, which leads to one far end, is no local network.
func (d *Device) Traits() Traits {
	i, err := net.InterfaceByName(d.name)
	return Traits{Listens: true, Packets: true, Resolves: true, Local: err == nil && i.Flags&net.FlagBroadcast != 0 && i.Flags&net.FlagPointToPoint == 0}
}

// Probe implements the seam of the function of this name: is the interface there, and up?
func (d *Device) Probe(context.Context) (Traits, error) {
	i, err := net.InterfaceByName(d.name)
	switch {
	case err != nil:
		return d.Traits(), d.down(err)
	case i.Flags&net.FlagUp == 0:
		return d.Traits(), d.down(errDeviceDown)
	case !bindSupported:
		return d.Traits(), d.down(fmt.Errorf("sockets of %s cannot be bound to it", runtime.GOOS))
	}
	return d.Traits(), nil
}
