package netx

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// muxPackets is how many packets a Mux reads with one call: 1 MiB of room, of which only what is used takes memory.
const muxPackets = 16

// Mux reads one packet socket and hands its datagrams to whoever they are for, so that several protocols share a port.
type Mux struct {
	conn     PacketConn
	handlers []handler
	reader   sync.WaitGroup
	close    sync.Once
	closed   chan struct{}
	err      error // of closing
}

type handler struct {
	match   func(first []byte) bool
	take    func([]Packet)
	packets []Packet // of the current batch
}

// NewMux returns a mux of a socket, which it owns from now on.
func NewMux(c net.PacketConn) *Mux { return &Mux{conn: Packets(c), closed: make(chan struct{})} }

// Handle adds a protocol; it must be called before Start. match is asked of each datagram, in the order of the calls of Handle,
// and what the first says yes to is given to its take, in the order of arrival; what nobody takes is dropped. Both are called from the
// mux's goroutine: a take that waits holds up everybody. The packets and their data are valid until take returns.
func (m *Mux) Handle(match func(first []byte) bool, take func([]Packet)) {
	m.handlers = append(m.handlers, handler{match: match, take: take})
}

// Start begins to read, in a goroutine that Close ends.
func (m *Mux) Start() { m.reader.Go(m.read) }

func (m *Mux) read() {
	n := muxPackets
	if _, ok := m.conn.(single); ok {
		n = 1
	}
	packets := make([]Packet, n)
	room := make([]byte, n*MaxDatagram)
	for i := range packets {
		packets[i].Data = room[i*MaxDatagram:][:0:MaxDatagram]
	}
	for failures := 0; ; {
		n, err := m.conn.ReadPackets(packets)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if failures++; failures > maxReadFailures && m.rest() {
				return
			}
			continue
		}
		failures = 0
		m.deliver(packets[:n])
	}
}

// maxReadFailures is after how many in a row the reader rests a while each time: a UDP socket may tell of each datagram that did
// not get there, but one that tells of nothing else is broken.
const maxReadFailures = 100

// rest waits a while and reports whether the mux was closed.
func (m *Mux) rest() bool {
	t := time.NewTimer(100 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return false
	case <-m.closed:
		return true
	}
}

// deliver gives each handler its part of a batch.
func (m *Mux) deliver(batch []Packet) {
	for i := range batch {
		m.sort(&batch[i])
	}
	for i := range m.handlers {
		if h := &m.handlers[i]; len(h.packets) > 0 {
			h.take(h.packets)
			clear(h.packets)
			h.packets = h.packets[:0]
		}
	}
}

// sort puts the datagrams of a packet where they belong. What the kernel has joined is of one sender, not of one protocol.
func (m *Mux) sort(p *Packet) {
	start, end, last := 0, 0, -1
	for d := range p.Datagrams {
		h := m.handlerOf(d)
		if h != last && end > start {
			m.put(last, Packet{Addr: p.Addr, Data: p.Data[start:end], Size: p.Size, Waited: p.Waited})
			start = end
		}
		if h < 0 {
			start = end + len(d)
		}
		last = h
		end += len(d)
	}
	if last >= 0 {
		m.put(last, Packet{Addr: p.Addr, Data: p.Data[start:], Size: p.Size, Waited: p.Waited})
	}
}

func (m *Mux) put(h int, p Packet) {
	if h >= 0 {
		m.handlers[h].packets = append(m.handlers[h].packets, p)
	}
}

// handlerOf returns the handler of a datagram, -1 if there is none.
func (m *Mux) handlerOf(d []byte) int {
	for i := range m.handlers {
		if m.handlers[i].match(d) {
			return i
		}
	}
	return -1
}

// WritePackets sends as PacketConn.WritePackets does.
func (m *Mux) WritePackets(p []Packet) (int, error) { return m.conn.WritePackets(p) }

// WriteTo sends one datagram.
func (m *Mux) WriteTo(b []byte, to netip.AddrPort) error {
	p := onePacket.Get().(*[1]Packet)
	p[0] = Packet{Addr: to, Data: b}
	_, err := m.conn.WritePackets(p[:])
	p[0] = Packet{}
	onePacket.Put(p)
	return err
}

var onePacket = sync.Pool{New: func() any { return new([1]Packet) }}

// LocalAddr returns the socket's address.
func (m *Mux) LocalAddr() net.Addr { return m.conn.LocalAddr() }

// Close closes the socket and waits for the reader: no take is running, and none will, when it returns. It must not be called by
// one.
func (m *Mux) Close() error {
	m.close.Do(func() {
		close(m.closed)
		m.err = m.conn.Close()
	})
	m.reader.Wait()
	return m.err
}
