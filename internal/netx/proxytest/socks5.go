package proxytest

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"testing"

	"shoal/internal/netx"
)

// SOCKS5 starts a SOCKS5 proxy (RFC 1928, 1929) on n, which is also its way out.
func SOCKS5(t testing.TB, n netx.Network, o Options) *Proxy {
	t.Helper()
	return start(t, n, o, (*Proxy).socks)
}

func (p *Proxy) socks(c net.Conn) {
	var b [512]byte
	if _, err := io.ReadFull(c, b[:2]); err != nil || b[0] != 5 {
		return
	}
	methods := b[2 : 2+int(b[1])]
	if _, err := io.ReadFull(c, methods); err != nil || p.fault(c, Greeted) {
		return
	}
	var r Request
	if !p.logIn(c, methods, &r) {
		return
	}
	if _, err := io.ReadFull(c, b[:3]); err != nil {
		return
	}
	host, port, err := readAddr(c)
	if err != nil {
		return
	}
	r.Command, r.Target = b[1], net.JoinHostPort(host, strconv.Itoa(int(port)))
	p.note(r)
	if p.fault(c, Requested) {
		return
	}
	switch {
	case p.o.Refuse != 0:
		reply(c, p.o.Refuse, netip.AddrPort{})
	case r.Command == 1:
		p.connect(c, host, port)
	case r.Command == 3 && !p.o.NoUDP:
		p.associate(c)
	case r.Command == 0xF0:
		if as := p.o.Names[host]; len(as) > 0 {
			reply(c, 0, netip.AddrPortFrom(as[0].Addr(), 0))
		} else {
			reply(c, 4, netip.AddrPort{})
		}
	default:
		reply(c, 7, netip.AddrPort{})
	}
}

// logIn chooses a method: the password if the client offers it, whether or not one is needed, as Tor does.
func (p *Proxy) logIn(c net.Conn, methods []byte, r *Request) bool {
	has := func(m byte) bool {
		for _, x := range methods {
			if x == m {
				return true
			}
		}
		return false
	}
	if !has(2) {
		if p.o.User != "" || !has(0) {
			c.Write([]byte{5, 0xFF})
			return false
		}
		c.Write([]byte{5, 0})
		return true
	}
	c.Write([]byte{5, 2})
	var b [256]byte
	read := func() (string, error) {
		if _, err := io.ReadFull(c, b[:1]); err != nil {
			return "", err
		}
		s := b[:b[0]]
		_, err := io.ReadFull(c, s)
		return string(s), err
	}
	if _, err := io.ReadFull(c, b[:1]); err != nil || b[0] != 1 {
		return false
	}
	var err, err2 error
	r.User, err = read()
	r.Password, err2 = read()
	if err != nil || err2 != nil || p.fault(c, LoggedIn) {
		return false
	}
	if p.o.User != "" && (r.User != p.o.User || r.Password != p.o.Password) {
		c.Write([]byte{1, 1})
		return false
	}
	c.Write([]byte{1, 0})
	return true
}

func (p *Proxy) connect(c net.Conn, host string, port uint16) {
	out, err := p.dial(host, port)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		reply(c, 5, netip.AddrPort{})
	case errors.Is(err, errUnknownName):
		reply(c, 4, netip.AddrPort{})
	case err != nil:
		reply(c, 1, netip.AddrPort{})
	default:
		reply(c, 0, netip.MustParseAddrPort("0.0.0.0:0"))
		p.splice(c, out)
	}
}

// associate relays packets until the client hangs up.
func (p *Proxy) associate(c net.Conn) {
	host, _, _ := net.SplitHostPort(c.LocalAddr().String())
	inner, err := p.n.ListenPacket(p.ctx, "udp", net.JoinHostPort(host, "0"))
	if err != nil || !p.keep(inner) {
		reply(c, 1, netip.AddrPort{})
		return
	}
	defer p.drop(inner)
	outer, err := p.n.ListenPacket(p.ctx, "udp", net.JoinHostPort(host, "0"))
	if err != nil || !p.keep(outer) {
		reply(c, 1, netip.AddrPort{})
		return
	}
	defer p.drop(outer)
	at := p.o.Relay
	if !at.IsValid() {
		at = netip.AddrPortFrom(netip.IPv4Unspecified(), addrPort(inner.LocalAddr()).Port())
	}
	reply(c, 0, at)
	client := make(chan net.Addr, 1)
	p.wg.Go(func() { p.outward(inner, outer, client) })
	p.wg.Go(func() { p.inward(inner, outer, client) })
	io.Copy(io.Discard, c)
}

// outward takes packets from the client.
func (p *Proxy) outward(inner, outer net.PacketConn, client chan<- net.Addr) {
	defer close(client)
	b := make([]byte, 65535)
	known := false
	for {
		n, from, err := inner.ReadFrom(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n < 4 || b[2] != 0 {
			continue
		}
		if !known {
			client <- from
			known = true
		}
		r := &sliceReader{b[3:n]}
		host, port, err := readAddr(r)
		if err != nil {
			continue
		}
		p.mu.Lock()
		p.packets = append(p.packets, net.JoinHostPort(host, strconv.Itoa(int(port))))
		p.mu.Unlock()
		var to netip.AddrPort
		if a, err := netip.ParseAddr(host); err == nil {
			to = netip.AddrPortFrom(a, port)
		} else if to = p.o.UDPNames[host]; !to.IsValid() && len(p.o.Names[host]) > 0 {
			to = p.o.Names[host][0]
		}
		if to.IsValid() {
			outer.WriteTo(r.b, net.UDPAddrFromAddrPort(to))
		}
	}
}

// inward brings packets to the client, once it is known where that is.
func (p *Proxy) inward(inner, outer net.PacketConn, client <-chan net.Addr) {
	b := make([]byte, 65535)
	var to net.Addr
	for {
		n, from, err := outer.ReadFrom(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		if to == nil {
			var ok bool
			if to, ok = <-client; !ok { // whoever answers was asked by it
				return
			}
		}
		packet := append(Header(addrPort(from)), b[:n]...)
		packets := [][]byte{packet}
		if p.o.Mangle != nil {
			packets = p.o.Mangle(packet)
		}
		for _, x := range packets {
			inner.WriteTo(x, to)
		}
	}
}

// Header returns what stands before the payload of a packet from the relay (RFC 1928 §7).
func Header(from netip.AddrPort) []byte { return appendAddr([]byte{0, 0, 0}, from) }

// reply sends a reply (RFC 1928 §6).
func reply(c net.Conn, code byte, bound netip.AddrPort) {
	c.Write(appendAddr([]byte{5, code, 0}, bound))
}

func appendAddr(b []byte, a netip.AddrPort) []byte {
	ip := a.Addr().Unmap()
	if !ip.IsValid() {
		ip = netip.IPv4Unspecified()
	}
	kind := byte(1)
	if ip.Is6() {
		kind = 4
	}
	b = append(append(b, kind), ip.AsSlice()...)
	return binary.BigEndian.AppendUint16(b, a.Port())
}

func readAddr(r io.Reader) (host string, port uint16, err error) {
	var b [258]byte
	if _, err := io.ReadFull(r, b[:1]); err != nil {
		return "", 0, err
	}
	size, kind := 4, b[0]
	switch kind {
	case 1:
	case 4:
		size = 16
	case 3:
		if _, err := io.ReadFull(r, b[:1]); err != nil {
			return "", 0, err
		}
		size = int(b[0])
	default:
		return "", 0, errors.New("unknown type of address")
	}
	if _, err := io.ReadFull(r, b[:size+2]); err != nil {
		return "", 0, err
	}
	host = string(b[:size])
	if kind != 3 {
		a, _ := netip.AddrFromSlice(b[:size])
		host = a.String()
	}
	return host, binary.BigEndian.Uint16(b[size:]), nil
}

func addrPort(a net.Addr) netip.AddrPort {
	ap, _ := netip.ParseAddrPort(a.String())
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// sliceReader reads a slice and leaves the rest.
type sliceReader struct{ b []byte }

func (r *sliceReader) Read(p []byte) (int, error) {
	n := copy(p, r.b)
	r.b = r.b[n:]
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}
