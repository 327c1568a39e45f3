package utp

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"

	"shoal/internal/netx"
)

// end is a socket with the mux that feeds it.
type end struct {
	*Socket
	mux *netx.Mux
}

// newEnd opens one on a network.
func newEnd(t testing.TB, n netx.Network, addr string) *end {
	t.Helper()
	c, err := n.ListenPacket(context.Background(), "udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return endOf(c, Config{})
}

// endOf makes one of a packet socket.
func endOf(c net.PacketConn, cfg Config) *end {
	m := netx.NewMux(c)
	cfg.Local = m.LocalAddr()
	if cfg.Write == nil {
		cfg.Write = m.WritePackets
	}
	e := &end{New(cfg), m}
	m.Handle(Match, e.Receive)
	m.Start()
	return e
}

func (e *end) close() {
	e.Socket.Close()
	e.mux.Close()
}

// addr returns where the end can be dialled.
func (e *end) addr() netip.AddrPort { return e.Addr().(*net.UDPAddr).AddrPort() }

// connect makes a connection. The dialler says a word first, as the acceptor hears of it only then.
func connect(t testing.TB, a, b *end) (dialled, accepted *Conn) {
	t.Helper()
	dialled, err := a.Dial(context.Background(), b.addr())
	if err != nil {
		t.Fatal(err)
	}
	c, err := b.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return dialled, c.(*Conn)
}

// content returns bytes that can be told from others.
func content(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := 0; i+8 <= n; i += 8 {
		binary.NativeEndian.PutUint64(b[i:], r.Uint64())
	}
	return b
}

// transfer sends bytes and checks that they arrive.
func transfer(t testing.TB, from, to *Conn, size int) {
	t.Helper()
	want := content(size, uint64(size))
	done := make(chan error, 1)
	go func() {
		_, err := from.Write(want)
		if err == nil {
			err = from.CloseWrite()
		}
		done <- err
	}()
	got, err := io.ReadAll(to)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d arrived, %v", len(got), size, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// loopback makes two ends on the machine's own network.
func loopback(t testing.TB) (a, b *end) {
	h := netx.NewHost(netx.Options{})
	return newEnd(t, h, "127.0.0.1:0"), newEnd(t, h, "127.0.0.1:0")
}

func TestLoopback(t *testing.T) {
	a, b := loopback(t)
	defer a.close()
	defer b.close()
	c, d := connect(t, a, b)
	transfer(t, c, d, 20<<20)
	transfer(t, d, c, 5<<20)
	c.Close()
	d.Close()
}

// BenchmarkLoopback sends over loopback, both ends in this process.
func BenchmarkLoopback(b *testing.B) {
	x, y := loopback(b)
	defer x.close()
	defer y.close()
	c, d := connect(b, x, y)
	const size = 256 << 10
	b.SetBytes(size)
	b.ResetTimer()
	go func() {
		p := make([]byte, size)
		for range b.N {
			c.Write(p)
		}
		c.Close()
	}()
	p := make([]byte, size)
	got := 0
	for {
		n, err := d.Read(p)
		got += n
		if err != nil {
			break
		}
	}
	if got != b.N*size {
		b.Errorf("%d bytes of %d", got, b.N*size)
	}
	b.ReportMetric(float64(d.m.path.largest), "bytes/datagram")
	d.Close()
}
