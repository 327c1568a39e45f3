package netx

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// openPacket opens a packet socket.
func openPacket(t testing.TB, network, addr string) net.PacketConn {
	t.Helper()
	c, err := NewHost(Options{}).ListenPacket(t.Context(), network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// room returns packets to read into.
func room(n, size int) []Packet {
	p := make([]Packet, n)
	for i := range p {
		p[i].Data = make([]byte, 0, size)
	}
	return p
}

// plain hides what a socket can.
type plain struct{ net.PacketConn }

// portOf returns a socket's port at an address.
func portOf(c net.PacketConn, a string) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(a), c.LocalAddr().(*net.UDPAddr).AddrPort().Port())
}

// numbered returns datagrams of the given sizes that can be told apart.
func numbered(sizes ...int) (data []byte) {
	for i, n := range sizes {
		data = append(data, bytes.Repeat([]byte{byte(i)}, n)...)
	}
	return data
}

// take reads until n datagrams have come.
func take(t *testing.T, c PacketConn, n int, p []Packet) (got [][]byte, from netip.AddrPort) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	for len(got) < n {
		k, err := c.ReadPackets(p)
		if err != nil {
			t.Fatalf("after %d of %d datagrams: %v", len(got), n, err)
		}
		for i := range p[:k] {
			from = p[i].Addr
			for d := range p[i].Datagrams {
				got = append(got, bytes.Clone(d))
			}
		}
	}
	return got, from
}

func TestPackets(t *testing.T) {
	type side func(net.PacketConn) PacketConn
	single := func(c net.PacketConn) PacketConn { return Packets(plain{c}) }
	for _, c := range []struct {
		name, network, listen, to string
		writer, reader            side
		size                      int // of the reader's room
	}{
		{"batches", "udp4", "127.0.0.1:0", "127.0.0.1", Packets, Packets, MaxDatagram},
		{"not joined", "udp4", "127.0.0.1:0", "127.0.0.1", Packets, Packets, 2000},
		{"IPv6", "udp6", "[::1]:0", "::1", Packets, Packets, MaxDatagram},
		{"both families, IPv4", "udp", ":0", "127.0.0.1", Packets, Packets, MaxDatagram},
		{"both families, IPv6", "udp", ":0", "::1", Packets, Packets, MaxDatagram},
		{"written singly", "udp4", "127.0.0.1:0", "127.0.0.1", single, Packets, MaxDatagram},
		{"read singly", "udp4", "127.0.0.1:0", "127.0.0.1", Packets, single, MaxDatagram},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, r := openPacket(t, c.network, c.listen), openPacket(t, c.network, c.listen)
			to := portOf(r, c.to)
			sizes := []int{1000, 1000, 1000, 900, 0, 7, 1400, 1400, 1}
			sent := []Packet{
				{Addr: to, Data: numbered(1000, 1000, 1000, 900), Size: 1000},
				{Addr: to},
				{Addr: to, Data: numbered(7), Size: 9, DontFragment: true},
				{Addr: to, Data: numbered(1400, 1400, 1), Size: 1400},
			}
			if n, err := c.writer(w).WritePackets(sent); n != len(sent) || err != nil {
				t.Fatal(n, err)
			}
			got, from := take(t, c.reader(r), len(sizes), room(16, c.size))
			for i, d := range got {
				if len(d) != sizes[i] {
					t.Errorf("datagram %d has %d bytes, want %d", i, len(d), sizes[i])
				}
			}
			if want := numbered(1000, 1000, 1000, 900); !bytes.Equal(bytes.Join(got[:4], nil), want) {
				t.Error("other bytes came")
			}
			if want := portOf(w, c.to); from != want {
				t.Errorf("from %v, want %v", from, want)
			}
		})
	}
}

// TestPacketsManyAndLong sends more than one call takes, and more than one message holds.
func TestPacketsManyAndLong(t *testing.T) {
	w, r := Packets(openPacket(t, "udp4", "127.0.0.1:0")), Packets(openPacket(t, "udp4", "127.0.0.1:0"))
	to := portOf(r, "127.0.0.1")
	var sent []Packet
	want := 0
	for i := range 200 {
		sent = append(sent, Packet{Addr: to, Data: numbered(10 + i)})
		want += 10 + i
	}
	long := make([]byte, 200_000)
	for i := range long {
		long[i] = byte(i >> 8)
	}
	sent = append(sent, Packet{Addr: to, Data: long, Size: 900}) // 223 datagrams
	if n, err := w.WritePackets(sent); n != len(sent) || err != nil {
		t.Fatal(n, err)
	}
	got, _ := take(t, r, 200+223, room(16, MaxDatagram))
	sum := 0
	for _, d := range got[:200] {
		sum += len(d)
	}
	if sum != want || !bytes.Equal(bytes.Join(got[200:], nil), long) {
		t.Error("other datagrams came")
	}
}

func TestWritePacketsErrors(t *testing.T) {
	for name, side := range map[string]func(net.PacketConn) PacketConn{"batches": Packets, "singly": func(c net.PacketConn) PacketConn { return Packets(plain{c}) }} {
		t.Run(name, func(t *testing.T) {
			w, r := side(openPacket(t, "udp4", "127.0.0.1:0")), openPacket(t, "udp4", "127.0.0.1:0")
			to := portOf(r, "127.0.0.1")
			good := Packet{Addr: to, Data: []byte("x")}
			for what, bad := range map[string]Packet{
				"other family": {Addr: netip.MustParseAddrPort("[::1]:9"), Data: []byte("x")},
				"no address":   {Data: []byte("x")},
				"too long":     {Addr: to, Data: make([]byte, 66_000)},
			} {
				n, err := w.WritePackets([]Packet{good, bad, good})
				var op *net.OpError
				if n != 1 || !errors.As(err, &op) || op.Op != "write" {
					t.Errorf("%s: %d, %v", what, n, err)
				}
			}
			take(t, Packets(r), 3, room(4, 2000))
			w.Close()
			if n, err := w.WritePackets([]Packet{good}); n != 0 || !errors.Is(err, net.ErrClosed) {
				t.Error(n, err)
			}
			if n, err := w.ReadPackets(room(1, 10)); n != 0 || !errors.Is(err, net.ErrClosed) {
				t.Error(n, err)
			}
		})
	}
}

func TestReadPacketsWakes(t *testing.T) {
	r := Packets(openPacket(t, "udp4", "127.0.0.1:0"))
	r.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	var timeout net.Error
	if _, err := r.ReadPackets(room(4, MaxDatagram)); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Error(err)
	}
	r.SetReadDeadline(time.Time{})
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := r.ReadPackets(room(4, MaxDatagram)); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	time.Sleep(time.Millisecond)
	r.Close()
	wg.Wait()
}

// TestPacketsTellWhatTheyWaited: a reader that is late does not make the network look slow.
func TestPacketsTellWhatTheyWaited(t *testing.T) {
	w, r := Packets(openPacket(t, "udp4", "127.0.0.1:0")), Packets(openPacket(t, "udp4", "127.0.0.1:0"))
	p := room(4, MaxDatagram)
	sent := []Packet{{Addr: portOf(r, "127.0.0.1"), Data: numbered(100, 100, 100), Size: 100}}
	if _, ok := r.(single); ok {
		return // the system is not asked
	}
	const tries = 100 // it is asked by the first call, and a busy system begins some time later
	for i := range tries {
		w.WritePackets(sent)
		const late = 20 * time.Millisecond
		time.Sleep(late)
		n, err := r.ReadPackets(p)
		if err != nil {
			t.Fatal(err)
		}
		if p[0].Waited >= late && p[0].Waited <= time.Second {
			return
		}
		if i == tries-1 {
			t.Errorf("%d packets, which waited %v", n, p[0].Waited)
		}
	}
}

func TestListenPacketShared(t *testing.T) {
	h := NewHost(Options{})
	a, err := h.ListenPacketShared(t.Context(), "udp4", "127.0.0.1:0")
	if errors.Is(err, errors.ErrUnsupported) {
		return // said so
	}
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := h.ListenPacketShared(t.Context(), "udp4", a.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if c, err := h.ListenPacket(t.Context(), "udp4", a.LocalAddr().String()); err == nil {
		c.Close()
		t.Error("a socket that does not share has the same address")
	}
	for range 50 {
		w := openPacket(t, "udp4", "127.0.0.1:0")
		w.WriteTo([]byte("x"), a.LocalAddr())
	}
	for _, c := range []net.PacketConn{a, b} { // 50 senders all with one of the two: 2^-49
		take(t, Packets(c), 1, room(1, 2000))
	}
}

func TestPacketsNoAllocations(t *testing.T) {
	w, r := Packets(openPacket(t, "udp", ":0")), Packets(openPacket(t, "udp", ":0"))
	to := portOf(r, "127.0.0.1")
	p := room(4, MaxDatagram)
	sent := []Packet{{Addr: to, Data: make([]byte, 4000), Size: 1000}, {Addr: to, Data: make([]byte, 10)}}
	if n := testing.AllocsPerRun(100, func() {
		w.WritePackets(sent)
		for left := 5; left > 0; {
			n, _ := r.ReadPackets(p)
			for i := range p[:n] {
				for range p[i].Datagrams {
					left--
				}
			}
		}
	}); n >= 1 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkPackets sends datagrams of 1,400 bytes over loopback, from one goroutine to another. What finds the receiver's queue full
// is lost, so it is what arrives that counts.
func BenchmarkPackets(b *testing.B) {
	const size = 1400
	single := func(c net.PacketConn) PacketConn { return Packets(plain{c}) }
	for _, c := range []struct {
		name        string
		side        func(net.PacketConn) PacketConn
		batch, join int // packets of a call, datagrams of a packet
		room        int
	}{
		{"singly", single, 1, 1, 2000},
		{"batches of 64", Packets, 64, 1, 2000},
		{"joined by 46", Packets, 8, 46, MaxDatagram},
	} {
		b.Run(c.name, func(b *testing.B) {
			w, r := c.side(openPacket(b, "udp4", "127.0.0.1:0")), c.side(openPacket(b, "udp4", "127.0.0.1:0"))
			sent := make([]Packet, c.batch)
			for i := range sent {
				sent[i] = Packet{Addr: portOf(r, "127.0.0.1"), Data: make([]byte, c.join*size), Size: size}
			}
			var stop sync.WaitGroup
			done := make(chan struct{})
			stop.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
						w.WritePackets(sent)
					}
				}
			})
			p := room(c.batch, c.room)
			got := 0
			b.SetBytes(size)
			b.ResetTimer()
			for got < b.N {
				n, err := r.ReadPackets(p)
				if err != nil {
					b.Fatal(err)
				}
				for i := range p[:n] {
					got += (len(p[i].Data) + size - 1) / size
				}
			}
			b.ReportMetric(float64(got)/b.Elapsed().Seconds()/1e6, "Mpackets/s")
			close(done)
			stop.Wait()
		})
	}
}

// BenchmarkPacketsToMany answers many addresses from one socket, as a tracker does.
func BenchmarkPacketsToMany(b *testing.B) {
	for _, batch := range []int{1, 64} {
		b.Run(fmt.Sprintf("batches of %d", batch), func(b *testing.B) {
			w := Packets(openPacket(b, "udp4", "127.0.0.1:0"))
			var sent []Packet
			for range batch {
				sent = append(sent, Packet{Addr: portOf(openPacket(b, "udp4", "127.0.0.1:0"), "127.0.0.1"), Data: make([]byte, 200)})
			}
			b.ResetTimer()
			for i := 0; i < b.N; i += batch {
				if _, err := w.WritePackets(sent); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mpackets/s")
		})
	}
}
