package netx

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	maxMessages = 64     // of one system call; the kernel allows 1,024
	maxSegments = 64     // of one message with UDP_SEGMENT, as all kernels that have it allow
	maxPayload  = 65_000 // bytes of such a message: what IPv4 and IPv6 both carry
	groControl  = 4      // bytes of the value that UDP_GRO gives
	gsoControl  = 2      // bytes of the value that UDP_SEGMENT takes
	controlLen  = 8      // words of 8 bytes: room for a control message with either and one with a time, on all machines
)

const canShare = true

// share makes others of the same user be able to bind the same address.
func share(c syscall.RawConn) (err error) {
	if e := c.Control(func(fd uintptr) {
		err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
	}); e != nil {
		return e
	}
	return err
}

// batchConn is a UDP socket that sends and receives many datagrams with one system call (sendmmsg(2), recvmmsg(2)), and
// several datagrams as one where the kernel can (UDP_SEGMENT and UDP_GRO in udp(7)).
type batchConn struct {
	*net.UDPConn
	raw     syscall.RawConn
	v6      bool // its addresses are IPv6 ones, with IPv4 mapped into them
	segment atomic.Bool
	read    *messages // nil before the first ReadPackets
	writers sync.Pool // of *messages
}

// message is struct mmsghdr of the kernel.
type message struct {
	hdr unix.Msghdr
	len uint32
}

// messages is one system call with all that it points to, kept so that none allocates. A batch is written in one goroutine,
// read in one.
type messages struct {
	conn    *batchConn
	try     func(fd uintptr) bool
	hdrs    [maxMessages]message
	vecs    [maxMessages]unix.Iovec
	names   [maxMessages]unix.RawSockaddrInet6
	control [maxMessages][controlLen]uint64
	ends    [maxMessages]place // where each message that is written ends
	n       int                // messages
	done    int                // those that the kernel took or gave
	err     error
}

// place is a position in what is being written: the offset in one packet.
type place struct{ packet, off int }

// batches makes a UDP socket a PacketConn.
func batches(u *net.UDPConn) net.PacketConn {
	raw, err := u.SyscallConn()
	if err != nil {
		return u
	}
	c := &batchConn{UDPConn: u, raw: raw}
	if err := raw.Control(func(fd uintptr) {
		domain, _ := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN)
		c.v6 = domain == unix.AF_INET6
		_, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		c.segment.Store(err == nil)
		// A process that may ignores the system's limits; others have what they were given.
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, SocketBuffer)
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, SocketBuffer)
		_ = c.discover(int(fd), unix.IP_PMTUDISC_DONT) // else long datagrams are lost on short paths
	}); err != nil {
		return u
	}
	c.writers.New = func() any {
		m := &messages{conn: c}
		m.try = m.send
		return m
	}
	return c
}

// discover says whether routers may cut datagrams: IP_PMTUDISC_DONT lets them, IP_PMTUDISC_PROBE forbids it. It never heeds
// what ICMP said of the path.
func (c *batchConn) discover(fd, how int) error {
	err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, how)
	if c.v6 {
		_ = err // the socket may be of IPv6 alone
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, how)
	}
	return os.NewSyscallError("setsockopt", err)
}

// opError has the system call's name for errors of the kernel.
func (c *batchConn) opError(op, call string, err error) error {
	var done *net.OpError
	if errors.As(err, &done) {
		return err
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		err = os.NewSyscallError(call, errno)
	}
	return &net.OpError{Op: op, Net: "udp", Source: c.LocalAddr(), Err: err}
}

// ReadPackets implements PacketConn.
func (c *batchConn) ReadPackets(p []Packet) (int, error) {
	p = p[:min(len(p), maxMessages)]
	if len(p) == 0 {
		return 0, nil
	}
	if c.read == nil {
		m := &messages{conn: c}
		m.try = m.receive
		c.read = m
		if err := c.raw.Control(func(fd uintptr) {
			join := true
			for i := range p {
				join = join && cap(p[i].Data) >= MaxDatagram
			}
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
			if join { // without it there is one message for each datagram
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1)
			}
		}); err != nil {
			return 0, c.opError("read", "recvmmsg", err)
		}
	}
	m := c.read
	m.n = len(p)
	for i := range p {
		m.room(i, p[i].Data[:cap(p[i].Data)])
	}
	err := c.raw.Read(m.try)
	clear(m.vecs[:m.n])
	if err == nil {
		err = m.err
	}
	if err != nil {
		return 0, c.opError("read", "recvmmsg", err)
	}
	now := time.Now().UnixNano()
	for i := range p[:m.done] {
		n := min(int(m.hdrs[i].len), cap(p[i].Data))
		p[i] = Packet{Addr: m.names6(i), Data: p[i].Data[:n]}
		m.told(i, now, &p[i])
	}
	return m.done, nil
}

// room makes message i one to receive into b.
func (m *messages) room(i int, b []byte) {
	h := &m.hdrs[i]
	m.vecs[i].Base = unsafe.SliceData(b)
	m.vecs[i].SetLen(len(b))
	h.hdr.Iov = &m.vecs[i]
	h.hdr.SetIovlen(1)
	h.hdr.Name = (*byte)(unsafe.Pointer(&m.names[i]))
	h.hdr.Namelen = uint32(unsafe.Sizeof(m.names[i]))
	h.hdr.Control = (*byte)(unsafe.Pointer(&m.control[i]))
	h.hdr.SetControllen(8 * controlLen)
}

// receive calls recvmmsg. It is called again when something has come.
func (m *messages) receive(fd uintptr) bool { return m.call(unix.SYS_RECVMMSG, fd) }

// send calls sendmmsg. It is called again when the socket's queue has room.
func (m *messages) send(fd uintptr) bool { return m.call(unix.SYS_SENDMMSG, fd) }

// call makes one system call over the m.n messages and keeps its outcome. It is false when the socket is not ready.
func (m *messages) call(trap, fd uintptr) bool {
	for {
		n, _, errno := syscall.Syscall6(trap, fd, uintptr(unsafe.Pointer(&m.hdrs)), uintptr(m.n), 0, 0, 0)
		switch errno {
		case 0:
			m.done, m.err = int(n), nil
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return false
		default:
			m.done, m.err = 0, errno
		}
		return true
	}
}

// told puts into p what the control messages of message i tell: the size of the datagrams that the kernel has joined, and when it
// came.
func (m *messages) told(i int, now int64, p *Packet) {
	left := int(m.hdrs[i].hdr.Controllen)
	for at := unsafe.Pointer(&m.control[i]); left >= unix.CmsgLen(0); {
		c := (*unix.Cmsghdr)(at)
		n := int(c.Len) - unix.CmsgLen(0)
		value := unsafe.Add(at, unix.CmsgLen(0))
		switch {
		case n < 0 || int(c.Len) > left:
			return
		case c.Level == unix.IPPROTO_UDP && c.Type == unix.UDP_GRO && n >= groControl:
			if size := int(*(*int32)(value)); size > 0 && size < len(p.Data) {
				p.Size = size
			}
		case c.Level == unix.SOL_SOCKET && c.Type == unix.SCM_TIMESTAMPNS && n >= int(unsafe.Sizeof(unix.Timespec{})):
			waited := time.Duration(now - (*unix.Timespec)(value).Nano())
			p.Waited = min(max(waited, 0), maxWaited)
		}
		space := unix.CmsgSpace(n)
		at, left = unsafe.Add(at, min(space, left)), left-space
	}
}

// maxWaited bounds what is believed: the clock may have been set meanwhile.
const maxWaited = time.Second

// names6 returns the sender of message i.
func (m *messages) names6(i int) netip.AddrPort {
	name := &m.names[i]
	port := (*[2]byte)(unsafe.Pointer(&name.Port))
	p := uint16(port[0])<<8 | uint16(port[1])
	if name.Family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(name)).Addr), p)
	}
	a := netip.AddrFrom16(name.Addr).Unmap()
	if name.Scope_id != 0 && a.Is6() {
		a = a.WithZone(strconv.FormatUint(uint64(name.Scope_id), 10))
	}
	return netip.AddrPortFrom(a, p)
}

// WritePackets implements PacketConn.
func (c *batchConn) WritePackets(p []Packet) (int, error) {
	m := c.writers.Get().(*messages)
	defer c.writers.Put(m)
	at := place{}
	segment := c.segment.Load()
	for at.packet < len(p) {
		whole := p[at.packet].DontFragment
		if err := m.fill(p, at, segment); err != nil {
			return at.packet, c.opError("write", "sendmmsg", err)
		}
		if whole {
			m.n = 1
			if err := c.setDiscover(unix.IP_PMTUDISC_PROBE); err != nil {
				return at.packet, c.opError("write", "setsockopt", err)
			}
		}
		err := c.raw.Write(m.try)
		clear(m.vecs[:m.n])
		if whole {
			_ = c.setDiscover(unix.IP_PMTUDISC_DONT)
		}
		switch {
		case err != nil: // closed, or a deadline
			return at.packet, c.opError("write", "sendmmsg", err)
		case m.done > 0:
			at = m.ends[m.done-1]
		case segment && m.hdrs[0].hdr.Control != nil:
			// The device does not compute checksums (EIO), or the datagrams are longer than its MTU (EINVAL, EMSGSIZE).
			segment = false
			if errors.Is(m.err, syscall.EIO) {
				c.segment.Store(false)
			}
		default:
			return at.packet, c.opError("write", "sendmmsg", m.err)
		}
	}
	return len(p), nil
}

// setDiscover is discover from outside a call.
func (c *batchConn) setDiscover(how int) (err error) {
	if e := c.raw.Control(func(fd uintptr) { err = c.discover(int(fd), how) }); e != nil {
		return e
	}
	return err
}

// fill makes messages of what p holds from a place on. The error is that of the packet there.
func (m *messages) fill(p []Packet, at place, segment bool) error {
	first := at.packet
	for m.n = 0; m.n < maxMessages && at.packet < len(p); {
		q := &p[at.packet]
		if m.n > 0 && q.DontFragment && at.off == 0 {
			return nil
		}
		if err := m.address(m.n, q.Addr); err != nil {
			if at.packet == first {
				return err
			}
			return nil
		}
		b := q.Data[at.off:]
		rest := len(b)
		if q.Size > 0 && rest > q.Size {
			n := 1
			if segment && !q.DontFragment {
				n = min(maxSegments, max(1, maxPayload/q.Size))
			}
			b = b[:min(rest, n*q.Size)]
		}
		m.payload(m.n, b, q.Size)
		if at.off += len(b); at.off == len(q.Data) {
			at = place{at.packet + 1, 0}
		}
		m.ends[m.n] = at
		m.n++
	}
	return nil
}

// payload makes b what message i sends, in datagrams of a size if it is longer.
func (m *messages) payload(i int, b []byte, size int) {
	h := &m.hdrs[i].hdr
	m.vecs[i].Base = unsafe.SliceData(b)
	m.vecs[i].SetLen(len(b))
	h.Iov = &m.vecs[i]
	h.SetIovlen(1)
	h.Control = nil
	h.SetControllen(0)
	if size > 0 && len(b) > size {
		c := (*unix.Cmsghdr)(unsafe.Pointer(&m.control[i]))
		c.Level, c.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
		c.SetLen(unix.CmsgLen(gsoControl))
		*(*uint16)(unsafe.Add(unsafe.Pointer(c), unix.CmsgLen(0))) = uint16(size)
		h.Control = (*byte)(unsafe.Pointer(c))
		h.SetControllen(unix.CmsgSpace(gsoControl))
	}
}

// address makes message i go to an address.
func (m *messages) address(i int, to netip.AddrPort) error {
	h, name := &m.hdrs[i].hdr, &m.names[i]
	a := to.Addr()
	h.Name = (*byte)(unsafe.Pointer(name))
	*(*[2]byte)(unsafe.Pointer(&name.Port)) = [2]byte{byte(to.Port() >> 8), byte(to.Port())}
	switch {
	case !a.IsValid():
		return syscall.EDESTADDRREQ
	case m.conn.v6:
		scope, err := scopeOf(a)
		if err != nil {
			return err
		}
		name.Family, name.Flowinfo, name.Addr, name.Scope_id = unix.AF_INET6, 0, a.As16(), scope
		h.Namelen = unix.SizeofSockaddrInet6
	case a.Unmap().Is4():
		name.Family = unix.AF_INET
		(*unix.RawSockaddrInet4)(unsafe.Pointer(name)).Addr = a.Unmap().As4()
		h.Namelen = unix.SizeofSockaddrInet4
	default:
		return syscall.EAFNOSUPPORT
	}
	return nil
}

// scopeOf returns the number of an address's interface, 0 if it names none.
func scopeOf(a netip.Addr) (uint32, error) {
	zone := a.Zone()
	if zone == "" {
		return 0, nil
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n), nil
	}
	i, err := net.InterfaceByName(zone)
	if err != nil {
		return 0, err
	}
	return uint32(i.Index), nil
}

// dontFragment is for sockets that are not ours.
func dontFragment(c syscall.Conn, on bool) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	how := unix.IP_PMTUDISC_DONT
	if on {
		how = unix.IP_PMTUDISC_PROBE
	}
	return (&batchConn{raw: raw}).setDiscover(how)
}
