package utp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"shoal/internal/netx"
	"shoal/internal/simnet"
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

// connect makes a connection.
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

// simPair makes two ends on a simulated network.
func simPair(t testing.TB, a, b simnet.Link) (x, y *end, n *simnet.Net) {
	n = simnet.New(1)
	return simEnd(t, n.Host(netip.MustParseAddr("10.0.0.1"), a)), simEnd(t, n.Host(netip.MustParseAddr("10.0.0.2"), b)), n
}

// inBubble runs a test with two ends, 20 ms from each other.
func inBubble(t *testing.T, f func(t *testing.T, a, b *end, n *simnet.Net)) {
	synctest.Test(t, func(t *testing.T) {
		a, b, n := simPair(t, simnet.Link{Latency: 10 * time.Millisecond}, simnet.Link{Latency: 10 * time.Millisecond})
		f(t, a, b, n)
		a.close()
		b.close()
	})
}

func TestSimulated(t *testing.T) {
	inBubble(t, func(t *testing.T, a, b *end, _ *simnet.Net) {
		var wg sync.WaitGroup
		for i := range 10 {
			c, d := connect(t, a, b)
			if c.RemoteAddr().String() != b.Addr().String() || d.RemoteAddr().String() != a.Addr().String() || c.LocalAddr().String() != a.Addr().String() {
				t.Error(c.LocalAddr(), c.RemoteAddr(), d.RemoteAddr())
			}
			wg.Go(func() {
				transfer(t, c, d, 1e6+i)
				transfer(t, d, c, 1e5+i)
				c.Close()
				d.Close()
			})
		}
		wg.Wait()
		time.Sleep(time.Second)
		if n := a.open() + b.open(); n != 0 {
			t.Errorf("%d closed connections are remembered", n)
		}
	})
}

// open returns how many connections a socket has.
func (s *Socket) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func TestHandshakeTakesOneRoundTrip(t *testing.T) {
	inBubble(t, func(t *testing.T, a, b *end, _ *simnet.Net) {
		start := time.Now()
		c, err := a.Dial(t.Context(), b.addr())
		if err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d < 40*time.Millisecond || d > 41*time.Millisecond {
			t.Error("Dial took", d)
		}
		d, err := b.Accept() // though nothing was written
		if took := time.Since(start); err != nil || took > 61*time.Millisecond {
			t.Error("Accept took", took, err)
		}
		c.Close()
		d.Close()
	})
}

func TestLossyHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, _ := simPair(t, simnet.Link{Latency: 10 * time.Millisecond, Loss: 0.3}, simnet.Link{})
		for range 20 {
			c, err := a.Dial(t.Context(), b.addr())
			if errors.Is(err, syscall.ETIMEDOUT) { // a few times in a thousand
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			c.Write([]byte("x"))
			d, _ := b.Accept()
			if n, err := d.Read(make([]byte, 2)); n != 1 || err != nil {
				t.Error(n, err)
			}
			c.Close()
			d.Close()
		}
		a.close()
		b.close()
	})
}

func TestDialErrors(t *testing.T) {
	inBubble(t, func(t *testing.T, a, b *end, n *simnet.Net) {
		check := func(what string, err, want error, start time.Time, took time.Duration) {
			t.Helper()
			var op *net.OpError
			if d := time.Since(start); !errors.Is(err, want) || !errors.As(err, &op) || op.Op != "dial" || (d-took).Abs() > time.Millisecond {
				t.Errorf("%s: %v after %v, want %v after %v", what, err, d, want, took)
			}
		}
		nobody := netip.MustParseAddrPort("10.0.0.9:1")
		start := time.Now()
		_, err := a.Dial(t.Context(), nobody)
		check("nobody is there", err, syscall.ETIMEDOUT, start, 31*time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start = time.Now()
		_, err = a.Dial(ctx, nobody)
		check("it takes too long", err, context.DeadlineExceeded, start, 3*time.Second)
		start = time.Now()
		_, err = a.Dial(ctx, b.addr())
		check("too late", err, context.DeadlineExceeded, start, 0)

		p, err := n.Host(netip.MustParseAddr("10.0.0.3"), simnet.Link{}).ListenPacket(t.Context(), "udp", ":5")
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		go func() { // one that refuses, as libutp does: with the identifier of the SYN
			b := make([]byte, 2000)
			_, from, err := p.ReadFrom(b)
			if err != nil {
				return
			}
			h := header{kind: kindReset, id: be.Uint16(b[2:]), ack: be.Uint16(b[16:])}
			h.put(b, extEnd)
			p.WriteTo(b[:headerLen], from)
		}()
		start = time.Now()
		_, err = a.Dial(t.Context(), netip.MustParseAddrPort("10.0.0.3:5"))
		check("it refuses", err, syscall.ECONNREFUSED, start, 20*time.Millisecond)
		if n := a.open(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}

func TestDeadlines(t *testing.T) {
	inBubble(t, func(t *testing.T, a, b *end, _ *simnet.Net) {
		c, d := connect(t, a, b)
		start := time.Now()
		expired := func(what string, err error, took time.Duration) {
			t.Helper()
			var ne net.Error
			if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() || time.Since(start) != took {
				t.Errorf("%s: %v after %v", what, err, time.Since(start))
			}
		}
		c.SetReadDeadline(start.Add(time.Second))
		_, err := c.Read(make([]byte, 1))
		expired("read", err, time.Second)
		_, err = c.ReadVector([][]byte{make([]byte, 1)})
		expired("read vector", err, time.Second)
		c.Wait()
		if n, err := c.Write([]byte("x")); n != 1 || err != nil {
			t.Error("a read deadline stops writes:", n, err)
		}
		c.SetReadDeadline(start.Add(time.Hour))
		go func() {
			time.Sleep(time.Minute)
			c.SetReadDeadline(time.Unix(1, 0)) // the usual way to wake a reader
		}()
		_, err = c.Read(make([]byte, 1))
		expired("read again", err, time.Minute+time.Second)
		c.SetDeadline(time.Time{})
		d.Write([]byte("y"))
		if n, err := c.Read(make([]byte, 2)); n != 1 || err != nil {
			t.Error(n, err)
		}
		c.SetWriteDeadline(time.Now().Add(time.Second))
		start = time.Now()
		n, err := c.Write(make([]byte, 100<<20))
		expired("write", err, time.Second)
		if n < 1<<20 || n > 4<<20 {
			t.Errorf("%d bytes are taken for one who does not read", n)
		}
		go func() {
			time.Sleep(time.Second)
			c.Close()
		}()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		d.Close()
	})
}

func TestClose(t *testing.T) {
	inBubble(t, func(t *testing.T, a, b *end, _ *simnet.Net) {
		c, d := connect(t, a, b)
		c.Write([]byte("question"))
		c.CloseWrite()
		if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Error("write after CloseWrite:", err)
		}
		if b, err := io.ReadAll(d); string(b) != "question" || err != nil {
			t.Errorf("%q, %v", b, err)
		}
		d.Write([]byte("answer"))
		d.Close()
		if b, err := io.ReadAll(c); string(b) != "answer" || err != nil {
			t.Errorf("half-closed: %q, %v", b, err)
		}
		c.Close()
		for _, x := range []*Conn{c, d} {
			_, err1 := x.Read(make([]byte, 1))
			_, err2 := x.Write([]byte("x"))
			_, err3 := x.ReadVector([][]byte{make([]byte, 1)})
			for i, err := range []error{err1, err2, err3, x.Close(), x.CloseWrite(), x.SetDeadline(time.Now())} {
				var op *net.OpError
				if !errors.Is(err, net.ErrClosed) || !errors.As(err, &op) {
					t.Error(i, err)
				}
			}
			x.Wait()
		}
		time.Sleep(time.Second)
		if n := a.open() + b.open(); n != 0 {
			t.Errorf("%d closed connections are remembered", n)
		}
	})
}

// TestCloseSendsTheRest: Close does not wait, but what was written arrives.
func TestCloseSendsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, _ := simPair(t, simnet.Link{Up: 1e5, Latency: 10 * time.Millisecond, Loss: 0.02}, simnet.Link{})
		c, d := connect(t, a, b)
		want := content(minOut-100, 1)
		start := time.Now()
		c.Write(want)
		c.Close()
		if time.Since(start) != 0 {
			t.Error("it waited", time.Since(start))
		}
		got, err := io.ReadAll(d)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes came, %v", len(got), err)
		}
		d.Close()
		a.close()
		b.close()
	})
}

func TestReset(t *testing.T) {
	inBubble(t, func(t *testing.T, a, b *end, n *simnet.Net) {
		c, d := connect(t, a, b)
		d.Write([]byte("last words"))
		time.Sleep(time.Second)
		b.Socket.Close()
		time.Sleep(time.Second)
		p := make([]byte, 20)
		if n, err := c.Read(p); string(p[:n]) != "last words" || err != nil {
			t.Errorf("%q, %v", p[:n], err)
		}
		for i := range 2 {
			if _, err := c.Read(p); !errors.Is(err, syscall.ECONNRESET) {
				t.Error("read:", i, err)
			}
			if _, err := c.Write(p); !errors.Is(err, syscall.ECONNRESET) {
				t.Error("write:", i, err)
			}
		}
		if _, err := d.Read(p); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if _, err := b.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if _, err := b.Dial(t.Context(), a.addr()); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		c.Close()
	})
}

// TestForgotten: one whose other end has lost its memory is reset, and one whose path is cut gives up in time.
func TestForgotten(t *testing.T) {
	inBubble(t, func(t *testing.T, a, b *end, n *simnet.Net) {
		c, d := connect(t, a, b)
		b.remove(d)
		c.Write([]byte("x"))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
		c.Close()
		d.m.fail(nil)
		d.Close()

		c, d = connect(t, a, b)
		host := n.Host(netip.MustParseAddr("10.0.0.3"), simnet.Link{})
		e := simEnd(t, host)
		c2, d2 := connect(t, e, b)
		host.Down()
		start := time.Now()
		c2.Write([]byte("x"))
		if _, err := c2.Read(make([]byte, 1)); !errors.Is(err, syscall.ETIMEDOUT) || time.Since(start) > 2*time.Minute || time.Since(start) < 30*time.Second {
			t.Error(err, time.Since(start))
		}
		for _, x := range []*Conn{c, d, c2, d2} {
			x.Close()
		}
		e.close()
	})
}

// TestSlowReader: what nobody reads is bounded and comes when it is wanted, though the line is silent meanwhile.
func TestSlowReader(t *testing.T) {
	inBubble(t, func(t *testing.T, a, b *end, _ *simnet.Net) {
		c, d := connect(t, a, b)
		want := content(8<<20, 1)
		go func() {
			c.Write(want)
			c.Close()
		}()
		time.Sleep(10 * time.Minute)
		d.mu.Lock()
		n := d.m.in.len + d.m.early.bytes
		d.mu.Unlock()
		if n < firstRoom || n > firstRoom+ethernet4 {
			t.Errorf("%d bytes are held", n)
		}
		got, err := io.ReadAll(d)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
		}
		d.Close()
	})
}

// TestTightMemory: many that send more than is read are held to little, and lose nothing.
func TestTightMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		p, err := n.Host(netip.MustParseAddr("10.0.0.1"), simnet.Link{Loss: 0.02}).ListenPacket(t.Context(), "udp", ":1")
		if err != nil {
			t.Fatal(err)
		}
		const most, size = 4 << 20, 2 << 20
		a, b := simEnd(t, n.Host(netip.MustParseAddr("10.0.0.2"), simnet.Link{Latency: time.Millisecond})), endOf(p, Config{MaxHeld: most})
		var conns []*Conn
		var wg sync.WaitGroup
		for i := range 20 {
			c, d := connect(t, a, b)
			conns = append(conns, c, d)
			wg.Go(func() {
				if n, err := c.Write(content(size, uint64(i))); n != size || err != nil {
					t.Error(n, err)
				}
			})
		}
		time.Sleep(time.Minute)
		if held := b.held.Load(); held < most || held > most+20*leastRoom+firstRoom {
			t.Errorf("%d bytes are held", held)
		}
		for i := range 20 {
			got := make([]byte, size)
			if _, err := io.ReadFull(conns[2*i+1], got); err != nil || !bytes.Equal(got, content(size, uint64(i))) {
				t.Error(i, err)
			}
		}
		wg.Wait()
		for _, c := range conns {
			c.Close()
		}
		a.close()
		b.close()
		if held := b.held.Load(); held != 0 {
			t.Errorf("%d bytes are held at the end", held)
		}
	})
}

func TestVectors(t *testing.T) {
	inBubble(t, func(t *testing.T, a, b *end, _ *simnet.Net) {
		c, d := connect(t, a, b)
		x, y := make([]byte, 3), make([]byte, 10)
		if n, err := d.ReadVector([][]byte{x, y}); n != 0 || err != nil {
			t.Error("before anything was sent:", n, err)
		}
		if n, err := c.WriteVector([][]byte{[]byte("he"), nil, []byte("llo")}); n != 5 || err != nil {
			t.Error(n, err)
		}
		d.Wait()
		if n, err := d.ReadVector([][]byte{x, nil, y}); n != 5 || err != nil || string(x)+string(y[:2]) != "hello" {
			t.Errorf("%d, %v, %q %q", n, err, x, y)
		}
		c.Close()
		d.Wait()
		if n, err := d.ReadVector([][]byte{x}); n != 0 || err != io.EOF {
			t.Error("at the end:", n, err)
		}
		d.Close()
	})
}

// TestIdle: a connection that nothing happens on stays, whoever is on its way is reminded of it, and it costs little.
func TestIdle(t *testing.T) {
	inBubble(t, func(t *testing.T, a, b *end, _ *simnet.Net) {
		c, d := connect(t, a, b)
		transfer := func() {
			c.Write(make([]byte, 1e6))
			if _, err := io.ReadFull(d, make([]byte, 1e6)); err != nil {
				t.Error(err)
			}
		}
		transfer()
		time.Sleep(24 * time.Hour)
		for _, x := range []*Conn{c, d} {
			x.mu.Lock()
			if m := x.m; len(m.in.chunks)+len(m.out.chunks)+len(m.early.ring) != 0 || len(m.flight.ring) > 16 || len(m.flight.order) > 64 {
				t.Errorf("it holds %d and %d chunks, and rings of %d, %d and %d",
					len(m.in.chunks), len(m.out.chunks), len(m.early.ring), len(m.flight.ring), len(m.flight.order))
			}
			if ago := x.socket.now() - x.m.spoke; ago > keepAlive+time.Second {
				t.Errorf("nothing was sent for %v", ago)
			}
			x.mu.Unlock()
		}
		transfer()
		c.Close()
		d.Close()
	})
}

// TestFlood: SYNs without end cost a bounded memory, and others still get through.
func TestFlood(t *testing.T) {
	inBubble(t, func(t *testing.T, a, b *end, n *simnet.Net) {
		flooder, err := n.Host(netip.MustParseAddr("10.0.0.3"), simnet.Link{}).ListenPacket(t.Context(), "udp", ":5")
		if err != nil {
			t.Fatal(err)
		}
		p := make([]byte, headerLen)
		for i := range 20_000 {
			h := header{kind: kindSyn, id: uint16(i), seq: uint16(i * 7), time: uint32(i)}
			h.put(p, extEnd)
			flooder.WriteTo(p, net.UDPAddrFromAddrPort(b.addr()))
			if i%100 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		flooder.Close()
		time.Sleep(time.Second)
		b.mu.Lock()
		if len(b.half.entries) > maxHalf || len(b.half.order) > 2*maxHalf || len(b.conns) > 0 {
			t.Errorf("%d half-open, %d known, %d connections", len(b.half.entries), len(b.half.order), len(b.conns))
		}
		b.mu.Unlock()
		c, d := connect(t, a, b)
		transfer(t, c, d, 1000)
		c.Close()
		d.Close()
	})
}

// TestMaxConns: beyond a number, others are not answered.
func TestMaxConns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		p, err := n.Host(netip.MustParseAddr("10.0.0.1"), simnet.Link{}).ListenPacket(t.Context(), "udp", ":1")
		if err != nil {
			t.Fatal(err)
		}
		a, b := simEnd(t, n.Host(netip.MustParseAddr("10.0.0.2"), simnet.Link{})), endOf(p, Config{MaxConns: 3})
		var conns []*Conn
		for range 3 {
			c, d := connect(t, a, b)
			conns = append(conns, c, d)
		}
		if _, err := a.Dial(t.Context(), b.addr()); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Error(err)
		}
		c, d := connect(t, b, a) // its own are not counted
		conns = append(conns, c, d)
		conns[0].Close()
		conns[1].Close()
		time.Sleep(time.Second)
		c, d = connect(t, a, b)
		for _, c := range append(conns[2:], c, d) {
			c.Close()
		}
		a.close()
		b.close()
	})
}

// TestAddressesAreTold: what comes from another address is of another connection.
func TestAddressesAreTold(t *testing.T) {
	inBubble(t, func(t *testing.T, a, b *end, n *simnet.Net) {
		c, d := connect(t, a, b)
		other, err := n.Host(netip.MustParseAddr("10.0.0.3"), simnet.Link{}).ListenPacket(t.Context(), "udp", ":5")
		if err != nil {
			t.Fatal(err)
		}
		p := make([]byte, headerLen, 100)
		for _, k := range []kind{kindData, kindFin, kindReset, kindState} {
			h := header{kind: k, id: d.m.recvID, seq: d.m.got + 1, ack: d.m.flight.first - 1, time: 1}
			h.put(p, extEnd)
			other.WriteTo(append(p, "forged"...), net.UDPAddrFromAddrPort(b.addr()))
		}
		time.Sleep(time.Second)
		transfer(t, c, d, 1000)
		other.Close()
		c.Close()
		d.Close()
	})
}

// BenchmarkIdle has 4,000 connections between two sockets, on which something was sent once, and measures what each end takes.
func BenchmarkIdle(b *testing.B) {
	x, y := loopback(b)
	defer x.close()
	defer y.close()
	memory := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	before := memory()
	var conns []*Conn
	for range 4000 {
		c, d := connect(b, x, y)
		c.Write(make([]byte, 20_000))
		io.ReadFull(d, make([]byte, 20_000))
		conns = append(conns, c, d)
	}
	time.Sleep(10 * time.Millisecond)
	b.ReportMetric(float64(memory()-before)/float64(len(conns)), "B/conn")
	b.ReportMetric(0, "ns/op")
	for _, c := range conns {
		c.Close()
	}
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
