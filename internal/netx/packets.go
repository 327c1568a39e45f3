package netx

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// MaxDatagram is the room that one datagram, or what the kernel joins of several, needs at most.
const MaxDatagram = 64 << 10

// Packet is one datagram, or several in a row of the same size to or from one address, as the kernel splits and joins them
// (generic segmentation and receive offload, GSO and GRO).
type Packet struct {
	Addr netip.AddrPort // the other end; IPv4 is never mapped into IPv6
	Data []byte
	Size int // bytes of each datagram in Data but the last, which may be shorter; 0: Data is one datagram

	// Waited is how long it has waited in the system's queue for its reader, where the system tells. It is for receiving only.
	Waited time.Duration

	// DontFragment makes routers lose the datagram rather than cut it (RFC 8899). Where that cannot be asked for, it is not
	// sent. It is for sending only.
	DontFragment bool
}

// Datagrams calls yield for each datagram, until it returns false.
func (p *Packet) Datagrams(yield func([]byte) bool) {
	b := p.Data
	for p.Size > 0 && len(b) > p.Size {
		if !yield(b[:p.Size:p.Size]) {
			return
		}
		b = b[p.Size:]
	}
	yield(b)
}

// PacketConn sends and receives many datagrams with one call.
type PacketConn interface {
	net.PacketConn
	// ReadPackets waits for datagrams and fills elements of p from the first on. Each is read into the capacity of its Data,
	// which it then is cut to; what does not fit is lost. Datagrams are joined only if the first call finds room for MaxDatagram
	// in each: whoever has read so once must go on so, and must not use ReadFrom. One goroutine at a time may call it.
	ReadPackets(p []Packet) (n int, err error)
	// WritePackets sends all that p holds, and waits where the system's queue is full. If there is an error, p[:n] were handed
	// to the system, p[n] was not, or not whole, and the rest was not tried. It does not change p.
	WritePackets(p []Packet) (n int, err error)
}

// Packets returns c itself if it is a PacketConn, or else one that reads and writes a datagram at a time.
func Packets(c net.PacketConn) PacketConn {
	if p, ok := c.(PacketConn); ok {
		return p
	}
	return single{c}
}

// PacketSharer is a Network where several packet sockets can have one address. The system spreads the datagrams that come
// among them by who sends them, so that each core can read its own.
type PacketSharer interface {
	// ListenPacketShared is ListenPacket, but others of the same user that are opened so may have the same address. Where the
	// system does not spread datagrams, the error is errors.ErrUnsupported.
	ListenPacketShared(ctx context.Context, network, addr string) (net.PacketConn, error)
}

// ListenPacketShared implements PacketSharer, by SO_REUSEPORT on Linux.
func (h *Host) ListenPacketShared(ctx context.Context, network, addr string) (net.PacketConn, error) {
	if !canShare {
		return nil, errors.ErrUnsupported
	}
	listen := h.listen
	listen.Control = func(network, address string, c syscall.RawConn) error {
		if h.listen.Control != nil {
			if err := h.listen.Control(network, address, c); err != nil {
				return err
			}
		}
		return share(c)
	}
	return h.listenPacket(ctx, listen, network, addr)
}

func (h *Host) listenPacket(ctx context.Context, listen net.ListenConfig, network, addr string) (net.PacketConn, error) {
	addr, err := h.local(addr)
	if err != nil {
		return nil, err
	}
	c, err := listen.ListenPacket(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UDPConn)
	if !ok {
		return c, nil
	}
	// A burst that finds no room is lost, so there should be some; the system may give less.
	_ = u.SetReadBuffer(SocketBuffer)
	_ = u.SetWriteBuffer(SocketBuffer)
	return batches(u), nil
}

// SocketBuffer is how many bytes the system is asked to queue for a packet socket, in each direction.
const SocketBuffer = 4 << 20

// single reads and writes one datagram at a time.
type single struct{ net.PacketConn }

// ReadPackets implements PacketConn.
func (s single) ReadPackets(p []Packet) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	b := p[0].Data[:cap(p[0].Data)]
	var n int
	var from netip.AddrPort
	var err error
	if c, ok := s.PacketConn.(interface {
		ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error)
	}); ok {
		n, from, err = c.ReadFromUDPAddrPort(b)
	} else {
		var a net.Addr
		n, a, err = s.ReadFrom(b)
		from = addrPort(a)
	}
	if err != nil {
		return 0, err
	}
	p[0] = Packet{Addr: unmap(from), Data: b[:n]}
	return 1, nil
}

// WritePackets implements PacketConn.
func (s single) WritePackets(p []Packet) (int, error) {
	for i := range p {
		if err := s.write(&p[i]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

func (s single) write(p *Packet) (err error) {
	if raw, ok := s.PacketConn.(syscall.Conn); ok && p.DontFragment {
		if err := dontFragment(raw, true); err != nil {
			return err
		}
		defer func() { _ = dontFragment(raw, false) }()
	}
	p.Datagrams(func(b []byte) bool {
		if c, ok := s.PacketConn.(interface {
			WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
		}); ok {
			_, err = c.WriteToUDPAddrPort(b, p.Addr)
		} else {
			_, err = s.WriteTo(b, net.UDPAddrFromAddrPort(p.Addr))
		}
		return err == nil
	})
	return err
}

// unmap returns an address with IPv4 as such.
func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// addrPort returns the address of a packet's sender, the zero AddrPort if it is no IP address.
func addrPort(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case nil:
		return netip.AddrPort{}
	case *net.UDPAddr:
		return a.AddrPort()
	}
	ap, _ := netip.ParseAddrPort(a.String())
	return ap
}
