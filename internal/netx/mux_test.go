package netx

import (
	"bytes"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
)

// heard collects what a handler of a mux is given.
type heard struct {
	mu   sync.Mutex
	text []string
	some chan struct{}
}

func newHeard() *heard { return &heard{some: make(chan struct{}, 1)} }

func (h *heard) take(p []Packet) {
	h.mu.Lock()
	for i := range p {
		for d := range p[i].Datagrams {
			h.text = append(h.text, string(d))
		}
	}
	h.mu.Unlock()
	select {
	case h.some <- struct{}{}:
	default:
	}
}

// wait returns n texts.
func (h *heard) wait(n int) []string {
	for {
		h.mu.Lock()
		text := h.text
		h.mu.Unlock()
		if len(text) >= n {
			return text
		}
		<-h.some
	}
}

func startsWith(c byte) func([]byte) bool {
	return func(first []byte) bool { return len(first) > 0 && first[0] == c }
}

func TestMux(t *testing.T) {
	for name, side := range map[string]func(net.PacketConn) net.PacketConn{
		"batches": func(c net.PacketConn) net.PacketConn { return c },
		"singly":  func(c net.PacketConn) net.PacketConn { return plain{c} },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := NewMux(side(openPacket(t, "udp4", "127.0.0.1:0"))), NewMux(side(openPacket(t, "udp4", "127.0.0.1:0")))
			us, ds := newHeard(), newHeard()
			b.Handle(startsWith('u'), us.take)
			b.Handle(startsWith('d'), ds.take)
			b.Handle(func([]byte) bool { return false }, func([]Packet) { t.Error("it was given what it did not want") })
			a.Start()
			b.Start()
			to := b.LocalAddr().(*net.UDPAddr).AddrPort()
			// Joined datagrams of one sender may be of several protocols, or of none.
			data := []byte("u1d1d2x1u2u3x2d3u4d")
			if n, err := a.WritePackets([]Packet{{Addr: to, Data: data, Size: 2}}); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			if err := a.WriteTo(nil, to); err != nil {
				t.Fatal(err)
			}
			if err := a.WriteTo([]byte("uend"), to); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(us.wait(5), " "); got != "u1 u2 u3 u4 uend" {
				t.Error(got)
			}
			if got := strings.Join(ds.wait(4), " "); got != "d1 d2 d3 d" {
				t.Error(got)
			}
			for _, m := range []*Mux{a, b} {
				if err := m.Close(); err != nil {
					t.Error(err)
				}
				if err := m.Close(); err != nil {
					t.Error("again:", err)
				}
			}
			if err := a.WriteTo([]byte("u"), to); !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		})
	}
}

// failing is a socket that only tells of errors.
type failing struct {
	net.PacketConn
	closed chan struct{}
}

func (f *failing) ReadFrom([]byte) (int, net.Addr, error) {
	select {
	case <-f.closed:
		return 0, nil, net.ErrClosed
	default:
		return 0, nil, errors.New("broken")
	}
}

func (f *failing) Close() error { close(f.closed); return nil }

func TestMuxOfABrokenSocketEnds(t *testing.T) {
	m := NewMux(&failing{closed: make(chan struct{})})
	m.Start()
	m.Close()
}

// FuzzMuxSort: whatever is joined, each datagram gets to its protocol once and in order.
func FuzzMuxSort(f *testing.F) {
	f.Add([]byte("uudxud"), uint8(1))
	f.Add([]byte("u1d1d2x1u2u3x2d3u4d"), uint8(2))
	f.Add([]byte{}, uint8(0))
	f.Fuzz(func(t *testing.T, data []byte, size uint8) {
		m := NewMux(plain{})
		var want, got [2][][]byte
		for i, c := range "ud" {
			m.Handle(startsWith(byte(c)), func(p []Packet) {
				for j := range p {
					for d := range p[j].Datagrams {
						got[i] = append(got[i], d)
					}
				}
			})
		}
		p := Packet{Data: data, Size: int(size)}
		for d := range p.Datagrams {
			for i, c := range "ud" {
				if startsWith(byte(c))(d) {
					want[i] = append(want[i], d)
				}
			}
		}
		m.deliver([]Packet{p})
		for i := range want {
			if len(got[i]) != len(want[i]) || !bytes.Equal(bytes.Join(got[i], nil), bytes.Join(want[i], nil)) {
				t.Errorf("%q, want %q", got[i], want[i])
			}
		}
	})
}
