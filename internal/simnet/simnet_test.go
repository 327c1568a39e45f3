package simnet

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"shoal/internal/netx"
)

var _ netx.Network = (*Host)(nil)

func addr(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }

// pair makes two hosts, the second of which listens on port 1.
func pair(t *testing.T, a, b Link) (n *Net, client, server *Host, l net.Listener) {
	t.Helper()
	n = New(1)
	client, server = n.Host(addr(1), a), n.Host(addr(2), b)
	l, err := server.Listen(t.Context(), "tcp", ":1")
	if err != nil {
		t.Fatal(err)
	}
	return n, client, server, l
}

// connect makes a stream between the hosts of pair.
func connect(t *testing.T, client *Host, l net.Listener) (c, s net.Conn) {
	t.Helper()
	c, err := client.Dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

// open returns how many streams a host remembers.
func open(h *Host) int {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	return len(h.streams)
}

func content(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := 0; i+8 <= n; i += 8 {
		binary.NativeEndian.PutUint64(b[i:], r.Uint64())
	}
	return b
}

// transfer sends size bytes, checks that they arrive, and returns how long it took.
func transfer(t *testing.T, from, to net.Conn, size int) time.Duration {
	t.Helper()
	want := content(size, uint64(size))
	start := time.Now()
	go func() {
		if _, err := from.Write(want); err != nil {
			t.Error(err)
		}
		from.Close()
	}()
	got, err := io.ReadAll(to)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d arrived, %v", len(got), len(want), err)
	}
	return time.Since(start)
}

func between(t *testing.T, what string, got, low, high time.Duration) {
	t.Helper()
	if got < low || got > high {
		t.Errorf("%s: took %v, want %v to %v", what, got, low, high)
	}
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client, _, l := pair(t, Link{Latency: 30 * time.Millisecond}, Link{Latency: 20 * time.Millisecond})
		defer l.Close()
		start := time.Now()
		c, err := client.Dial(t.Context(), "tcp", "10.0.0.2:1")
		if err != nil {
			t.Fatal(err)
		}
		between(t, "dial", time.Since(start), 100*time.Millisecond, 100*time.Millisecond)
		s, _ := l.Accept()
		between(t, "accept", time.Since(start), 150*time.Millisecond, 150*time.Millisecond)
		if c.RemoteAddr().String() != "10.0.0.2:1" || s.RemoteAddr().String() != c.LocalAddr().String() || s.LocalAddr().String() != "10.0.0.2:1" {
			t.Error(c.LocalAddr(), c.RemoteAddr(), s.LocalAddr(), s.RemoteAddr())
		}
		start = time.Now()
		c.Write([]byte("ping"))
		b := make([]byte, 10)
		if n, err := s.Read(b); n != 4 || err != nil {
			t.Error(n, err)
		}
		between(t, "one way", time.Since(start), 50*time.Millisecond, 50*time.Millisecond)
		c.Close()
		s.Close()
	})
}

func TestThroughput(t *testing.T) {
	for _, c := range []struct {
		name      string
		a, b      Link
		size      int
		low, high time.Duration
	}{
		{"uplink", Link{Up: 1e6, Latency: 10 * time.Millisecond}, Link{}, 10e6, 10 * time.Second, 11 * time.Second},
		{"downlink", Link{Latency: 10 * time.Millisecond}, Link{Down: 1e6}, 10e6, 10 * time.Second, 11 * time.Second},
		{"downlink, far", Link{Latency: 150 * time.Millisecond}, Link{Down: 1e6}, 10e6, 10 * time.Second, 13 * time.Second},
		{"fast", Link{Up: 12.5e6, Latency: 20 * time.Millisecond}, Link{Down: 12.5e6}, 50e6, 4 * time.Second, 5 * time.Second},
		{"slow", Link{Up: 5000}, Link{Down: 5000}, 50e3, 10 * time.Second, 11 * time.Second},
		{"perfect", Link{}, Link{}, 10e6, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, client, _, l := pair(t, c.a, c.b)
				defer l.Close()
				from, to := connect(t, client, l)
				defer to.Close()
				between(t, c.name, transfer(t, from, to, c.size), c.low, c.high)
			})
		})
	}
}

func TestDirectionsAreIndependent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		link := Link{Up: 1e6, Down: 1e6}
		_, client, _, l := pair(t, link, link)
		defer l.Close()
		a1, b1 := connect(t, client, l)
		a2, b2 := connect(t, client, l)
		var wg sync.WaitGroup
		wg.Go(func() { between(t, "there", transfer(t, a1, b1, 5e6), 5*time.Second, 6*time.Second) })
		wg.Go(func() { between(t, "back", transfer(t, b2, a2, 5e6), 5*time.Second, 6*time.Second) })
		wg.Wait()
		b1.Close()
		a2.Close()
	})
}

func TestLossSlowsOnly(t *testing.T) {
	took := func(loss float64) (d time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			_, client, _, l := pair(t, Link{Up: 1e6, Latency: 20 * time.Millisecond}, Link{Loss: loss, Jitter: 5 * time.Millisecond})
			defer l.Close()
			from, to := connect(t, client, l)
			defer to.Close()
			d = transfer(t, from, to, 3e6)
		})
		return d
	}
	none, some, much := took(0), took(0.01), took(0.1)
	if some < none || much < some*5/4 {
		t.Errorf("%v without loss, %v with 1 %%, %v with 10 %%", none, some, much)
	}
	between(t, "10 % loss", much, 0, 10*time.Minute)
	if again := took(0.1); again != much {
		t.Errorf("the same seed took %v and %v", much, again)
	}
}

func TestFairness(t *testing.T) {
	for name, links := range map[string][2]Link{
		"uplink":   {{Up: 1e6, Latency: 10 * time.Millisecond}, {}},
		"downlink": {{Latency: 10 * time.Millisecond}, {Down: 1e6}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, client, _, l := pair(t, links[0], links[1])
				defer l.Close()
				const flows = 20
				var got [flows]int
				var wg sync.WaitGroup
				for i := range flows {
					c, s := connect(t, client, l)
					wg.Go(func() {
						defer c.Close()
						c.SetWriteDeadline(time.Now().Add(30 * time.Second))
						for b := make([]byte, 1000*(i+1)); ; { // those that write more at once get no more
							if _, err := c.Write(b); err != nil {
								return
							}
						}
					})
					wg.Go(func() {
						n, _ := io.Copy(io.Discard, s)
						got[i] = int(n)
						s.Close()
					})
				}
				wg.Wait()
				sum := 0
				for i, n := range got {
					if sum += n; n < 1e6 || n > 2e6 {
						t.Errorf("flow %d got %d of 30 MB among %d", i, n, flows)
					}
				}
				if sum < 27e6 {
					t.Errorf("%d bytes in all", sum)
				}
			})
		})
	}
}

func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client, _, l := pair(t, Link{Latency: time.Millisecond}, Link{})
		defer l.Close()
		c, s := connect(t, client, l)
		c.SetWriteDeadline(time.Now().Add(time.Minute))
		n, err := c.Write(make([]byte, 100<<20))
		var ne net.Error
		if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
			t.Error(err)
		}
		if n < minWindow || n > maxWindow+sendBuffer+16<<10 {
			t.Errorf("%d bytes are on their way to a peer that does not read", n)
		}
		c.Close()
		if got, err := io.Copy(io.Discard, s); got != int64(n) || err != nil {
			t.Errorf("read %d of %d, %v", got, n, err)
		}
		s.Close()
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client, server, l := pair(t, Link{Latency: time.Millisecond}, Link{})
		defer l.Close()

		c, s := connect(t, client, l)
		c.Write([]byte("question"))
		c.(interface{ CloseWrite() error }).CloseWrite()
		if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Error("write after CloseWrite:", err)
		}
		if b, err := io.ReadAll(s); string(b) != "question" || err != nil {
			t.Errorf("%q, %v", b, err)
		}
		s.Write([]byte("answer"))
		s.Close()
		if b, err := io.ReadAll(c); string(b) != "answer" || err != nil {
			t.Errorf("half-closed: %q, %v", b, err)
		}
		c.Close()
		for _, x := range []net.Conn{c, s} {
			if _, err := x.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
				t.Error("read:", err)
			}
			if _, err := x.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
				t.Error("write:", err)
			}
			if err := x.Close(); !errors.Is(err, net.ErrClosed) {
				t.Error("close:", err)
			}
			if err := x.SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
				t.Error("deadline:", err)
			}
		}
		time.Sleep(time.Second)
		if open(client)+open(server) != 0 {
			t.Error("closed streams are remembered")
		}
	})
}

func TestReset(t *testing.T) {
	reset := func(t *testing.T, c net.Conn) {
		t.Helper()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Error("read:", err)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Error("write:", err)
		}
		c.Close()
	}
	for name, f := range map[string]func(t *testing.T, c, s net.Conn, server *Host){
		"unread data": func(t *testing.T, c, s net.Conn, _ *Host) {
			c.Write([]byte("x"))
			time.Sleep(time.Second)
			s.Close()
			reset(t, c)
		},
		"data after close": func(t *testing.T, c, s net.Conn, _ *Host) {
			s.Close()
			time.Sleep(time.Second)
			c.Write([]byte("x"))
			time.Sleep(time.Second)
			reset(t, c)
		},
		"linger 0": func(t *testing.T, c, s net.Conn, _ *Host) {
			s.(interface{ SetLinger(int) error }).SetLinger(0)
			s.Close()
			reset(t, c)
		},
		"death": func(t *testing.T, c, s net.Conn, server *Host) {
			s.Write([]byte("last words"))
			time.Sleep(time.Second)
			server.Kill()
			time.Sleep(time.Second)
			b := make([]byte, 20)
			if n, err := c.Read(b); string(b[:n]) != "last words" || err != nil {
				t.Error(n, err)
			}
			reset(t, c)
			if _, err := s.Read(b); !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		},
		"unread by the listener": func(t *testing.T, c, s net.Conn, server *Host) {
			l, _ := server.Listen(t.Context(), "tcp", ":2")
			c2, err := c.(*stream).host.Dial(t.Context(), "tcp", "10.0.0.2:2")
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			l.Close()
			reset(t, c2)
			c.Close()
			s.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, client, server, l := pair(t, Link{Latency: time.Millisecond}, Link{})
				defer l.Close()
				c, s := connect(t, client, l)
				f(t, c, s, server)
			})
		})
	}
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client, _, l := pair(t, Link{}, Link{})
		defer l.Close()
		c, s := connect(t, client, l)
		start := time.Now()
		c.SetReadDeadline(start.Add(time.Second))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		between(t, "deadline", time.Since(start), time.Second, time.Second)
		if _, err := c.Write([]byte("x")); err != nil {
			t.Error("a read deadline stops writes:", err)
		}
		c.SetReadDeadline(start.Add(time.Hour))
		go func() {
			time.Sleep(time.Minute)
			c.SetReadDeadline(time.Unix(1, 0)) // the usual way to wake a reader
		}()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		c.SetDeadline(time.Time{})
		s.Write([]byte("y"))
		if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Error(n, err)
		}
		go func() {
			time.Sleep(time.Second)
			c.Close()
		}()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		s.Close()
	})
}

func TestDialErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, client, server, l := pair(t, Link{Latency: 50 * time.Millisecond}, Link{})
		inner, err := server.Listen(t.Context(), "tcp", "127.0.0.1:7")
		if err != nil {
			t.Fatal(err)
		}
		n.Name("six", netip.MustParseAddr("2001:db8::1"))
		short, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		for _, c := range []struct {
			ctx     context.Context
			network string
			addr    string
			want    error
			took    time.Duration
		}{
			{short, "tcp", "10.9.9.9:1", context.DeadlineExceeded, 5 * time.Second},
			{t.Context(), "tcp", "10.0.0.2:9", syscall.ECONNREFUSED, 100 * time.Millisecond},
			{t.Context(), "tcp", "10.0.0.2:7", syscall.ECONNREFUSED, 100 * time.Millisecond},
			{t.Context(), "tcp", "10.9.9.9:1", syscall.ETIMEDOUT, 127*time.Second + 7*50*time.Millisecond},
			{short, "tcp", "10.0.0.2:1", context.DeadlineExceeded, 0},
			{cancelled, "tcp", "10.0.0.2:1", context.Canceled, 0},
			{t.Context(), "tcp", "[2001:db8::1]:1", syscall.ENETUNREACH, 0},
			{t.Context(), "tcp", "six:1", syscall.ENETUNREACH, 0},
			{t.Context(), "udp", "six:1", syscall.ENETUNREACH, 0},
			{t.Context(), "unix", "/x", net.UnknownNetworkError("unix"), 0},
		} {
			start := time.Now()
			conn, err := client.Dial(c.ctx, c.network, c.addr)
			var op *net.OpError
			if conn != nil || !errors.Is(err, c.want) || !errors.As(err, &op) || op.Op != "dial" {
				t.Errorf("%s %s: %v, %v", c.network, c.addr, conn, err)
			}
			if d := time.Since(start); d != c.took {
				t.Errorf("%s %s: took %v, want %v", c.network, c.addr, d, c.took)
			}
		}
		for _, bad := range []string{"nowhere:1", "10.0.0.2", "10.0.0.2:x", "10.0.0.2:70000"} {
			if _, err := client.Dial(t.Context(), "tcp", bad); err == nil {
				t.Error(bad, "is dialled")
			}
		}
		if _, err := client.Dial(t.Context(), "tcp6", "10.0.0.2:1"); err == nil {
			t.Error("dialled an IPv4 address as tcp6")
		}
		if open(client) != 0 {
			t.Error("failed dials are remembered")
		}
		l.Close()
		inner.Close()
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

func TestListenErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, server, l := pair(t, Link{}, Link{})
		defer l.Close()
		for _, c := range []struct {
			network, addr string
			want          error
		}{{"tcp", ":1", syscall.EADDRINUSE}, {"tcp", "10.0.0.9:2", syscall.EADDRNOTAVAIL}, {"tcp6", ":2", syscall.EADDRNOTAVAIL}} {
			if _, err := server.Listen(t.Context(), c.network, c.addr); !errors.Is(err, c.want) {
				t.Errorf("%v: %v", c, err)
			}
		}
		if _, err := server.ListenPacket(t.Context(), "udp", "10.0.0.9:2"); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Error(err)
		}
	})
}

func TestLoopback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		h := n.Host(addr(1), Link{Up: 1, Down: 1, Latency: time.Hour, Loss: 1})
		for _, where := range []string{"127.0.0.1:5", "localhost:6", ":7"} {
			l, err := h.Listen(t.Context(), "tcp", where)
			if err != nil {
				t.Fatal(err)
			}
			c, s := connect(t, h, l)
			transfer(t, c, s, 1e6)
			s.Close()
			l.Close()
		}
	})
}

func TestResolve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, client, _, l := pair(t, Link{}, Link{})
		defer l.Close()
		n.Name("server.example", netip.MustParseAddr("2001:db8::9"), addr(2))
		if a, err := client.Resolve(t.Context(), "server.example"); err != nil || len(a) != 2 || a[1] != addr(2) {
			t.Error(a, err)
		}
		c, err := client.Dial(t.Context(), "tcp", "server.example:1")
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		s, _ := l.Accept()
		s.Close()
		n.Name("server.example")
		var dns *net.DNSError
		if _, err := client.Resolve(t.Context(), "server.example"); !errors.As(err, &dns) || !dns.IsNotFound {
			t.Error(err)
		}
		if a, err := client.Resolve(t.Context(), "::ffff:1.2.3.4"); err != nil || a[0].String() != "1.2.3.4" {
			t.Error(a, err)
		}
	})
}

func TestPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, client, server, l := pair(t, Link{Up: 1e6, Latency: 10 * time.Millisecond}, Link{})
		third := n.Host(addr(3), Link{})
		defer l.Close()
		c, s := connect(t, client, l)
		go func() {
			time.Sleep(time.Second)
			n.Partition(client, server)
			if _, err := third.Dial(t.Context(), "tcp", "10.0.0.2:1"); err != nil {
				t.Error("a third host is cut off:", err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if _, err := client.Dial(ctx, "tcp", "10.0.0.2:1"); err == nil {
				t.Error("dialled across a partition")
			}
			time.Sleep(20 * time.Second)
			n.Heal(server, client)
		}()
		between(t, "transfer with a partition of 30 s", transfer(t, c, s, 3e6), 32*time.Second, 70*time.Second)
		s.Close()
	})
}

func TestDownForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client, server, l := pair(t, Link{Latency: 10 * time.Millisecond}, Link{})
		defer l.Close()
		c, s := connect(t, client, l)
		server.Down()
		start := time.Now()
		c.Write([]byte("x"))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Error(err)
		}
		between(t, "giving up", time.Since(start), giveUp, giveUp+maxTimeout+time.Second)
		c.Close()
		server.Up()
		s.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("the other end heard of it:", err)
		}
		s.Write([]byte("are you there?"))
		s.SetReadDeadline(time.Time{})
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
		s.Close()
	})
}

func TestKillWhileDialing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client, _, l := pair(t, Link{Latency: time.Second}, Link{})
		defer l.Close()
		for _, wait := range []time.Duration{time.Millisecond, 1500 * time.Millisecond} {
			go func() {
				time.Sleep(wait)
				client.Kill()
			}()
			if _, err := client.Dial(t.Context(), "tcp", "10.0.0.2:1"); !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		}
	})
}

func TestPackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(3)
		a := n.Host(addr(1), Link{Latency: 10 * time.Millisecond, Jitter: 20 * time.Millisecond})
		b := n.Host(addr(2), Link{Loss: 0.2})
		pa, err := a.ListenPacket(t.Context(), "udp", ":0")
		if err != nil {
			t.Fatal(err)
		}
		pb, err := b.ListenPacket(t.Context(), "udp4", "0.0.0.0:53")
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		const sent = 1000
		for i := range sent {
			if _, err := pa.WriteTo([]byte{byte(i >> 8), byte(i)}, pb.LocalAddr()); err != nil {
				t.Fatal(err)
			}
		}
		pb.SetReadDeadline(start.Add(time.Second))
		last, swapped, got := -1, 0, 0
		for buf := make([]byte, 10); ; got++ {
			n, from, err := pb.ReadFrom(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if n != 2 || from.String() != pa.LocalAddr().String() || err != nil {
				t.Fatal(n, from, err)
			}
			i := int(buf[0])<<8 | int(buf[1])
			if i < last {
				swapped++
			}
			last = i
		}
		if got < 750 || got > 850 || swapped < 100 {
			t.Errorf("%d of %d arrived, %d out of order", got, sent, swapped)
		}
		pa.Close()
		pb.Close()
		if _, _, err := pa.ReadFrom(nil); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if _, err := pa.WriteTo(nil, pb.LocalAddr()); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

func TestPacketsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(3)
		a, b := n.Host(addr(1), Link{Up: 2e6}), n.Host(addr(2), Link{Down: 1e6})
		pa, _ := a.ListenPacket(t.Context(), "udp", ":1")
		pb, _ := b.ListenPacket(t.Context(), "udp", ":1")
		start := time.Now()
		go func() {
			for range 10000 {
				pa.WriteTo(make([]byte, 1000-udpHeader), pb.LocalAddr())
			}
			between(t, "10 MB at 2 MB/s", time.Since(start), 4800*time.Millisecond, 5100*time.Millisecond)
		}()
		pb.SetReadDeadline(start.Add(10 * time.Second))
		got := 0
		for ; ; got++ {
			if _, _, err := pb.ReadFrom(make([]byte, 2000)); err != nil {
				break
			}
		}
		if got < 4900 || got > 5400 { // 1 MB/s for 5 s and what was queued then
			t.Errorf("%d packets arrived through a link that passes half", got)
		}
		if _, err := pa.WriteTo(make([]byte, maxDatagram+1), pb.LocalAddr()); !errors.Is(err, syscall.EMSGSIZE) {
			t.Error(err)
		}
		pa.Close()
		pb.Close()
	})
}

func TestConnectedPackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		a, b := n.Host(addr(1), Link{Latency: time.Millisecond}), n.Host(addr(2), Link{})
		pb, _ := b.ListenPacket(t.Context(), "udp", ":53")
		other, _ := b.ListenPacket(t.Context(), "udp", ":54")
		c, err := a.Dial(t.Context(), "udp", "10.0.0.2:53")
		if err != nil {
			t.Fatal(err)
		}
		c.Write([]byte("question"))
		buf := make([]byte, 100)
		_, from, err := pb.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		other.WriteTo([]byte("forged"), from)
		time.Sleep(time.Millisecond)
		pb.WriteTo([]byte("answer"), from)
		if n, err := c.Read(buf); string(buf[:n]) != "answer" || err != nil {
			t.Errorf("%q, %v", buf[:n], err)
		}
		pb.Close()
		c.Write([]byte("question"))
		if _, err := c.Read(buf); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Error(err)
		}
		other.Close()
		c.Close()
	})
}

// TestScale moves 100 MB over 1000 streams among 50 hosts.
func TestScale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		const hosts, each = 50, 100 << 10
		var all []*Host
		var wg sync.WaitGroup
		for i := range hosts {
			h := n.Host(addr(i), Link{Up: 2e6, Down: 10e6, Latency: time.Duration(i) * time.Millisecond, Loss: 0.001})
			all = append(all, h)
			l, err := h.Listen(t.Context(), "tcp", ":1")
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				defer l.Close()
				for range 20 {
					s, err := l.Accept()
					if err != nil {
						t.Error(err)
						return
					}
					wg.Go(func() {
						if got, err := io.Copy(io.Discard, s); got != each || err != nil {
							t.Error(got, err)
						}
						s.Close()
					})
				}
			})
		}
		for i, h := range all {
			for k := range 20 {
				wg.Go(func() {
					c, err := h.Dial(t.Context(), "tcp", fmt.Sprintf("%v:1", addr((i+k+1)%hosts)))
					if err != nil {
						t.Error(err)
						return
					}
					c.Write(make([]byte, each))
					c.Close()
				})
			}
		}
		wg.Wait()
	})
}

// TestRealTime checks that the network also works outside a bubble.
func TestRealTime(t *testing.T) {
	_, client, _, l := pair(t, Link{Latency: time.Microsecond}, Link{})
	defer l.Close()
	c, s := connect(t, client, l)
	transfer(t, c, s, 100e3)
	s.Close()
}

// TestQueue: a stream fills a queue and the line, what does not fit is lost, and others wait behind it.
func TestQueue(t *testing.T) {
	const rate, queue = 2.5e6, 250e3 // 100 ms
	for name, links := range map[string][2]Link{
		"downlink": {{Latency: 20 * time.Millisecond}, {Down: rate, Queue: queue}},
		"uplink":   {{Up: rate, Queue: queue, Latency: 20 * time.Millisecond}, {}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, client, server, l := pair(t, links[0], links[1])
				defer l.Close()
				from, to := connect(t, client, l)
				defer to.Close()
				p, err := server.ListenPacket(t.Context(), "udp", ":7")
				if err != nil {
					t.Fatal(err)
				}
				defer p.Close()
				q, err := client.Dial(t.Context(), "udp", "10.0.0.2:7")
				if err != nil {
					t.Fatal(err)
				}
				defer q.Close()
				done := make(chan struct{})
				go func() {
					between(t, name, transfer(t, from, to, 12.5e6), 5*time.Second, 5500*time.Millisecond)
					close(done)
				}()
				var delays []time.Duration
				for b, going := make([]byte, 100), true; going; {
					select {
					case <-done:
						going = false
						continue
					default:
					}
					start := time.Now()
					q.Write(b)
					p.SetReadDeadline(start.Add(time.Second))
					if _, _, err := p.ReadFrom(b); err == nil { // it may be lost
						delays = append(delays, time.Since(start)-20*time.Millisecond)
					}
				}
				slices.Sort(delays)
				between(t, "the median wait", delays[len(delays)/2], 40*time.Millisecond, 100*time.Millisecond)
				between(t, "the longest wait", delays[len(delays)-1], 90*time.Millisecond, 101*time.Millisecond)
			})
		})
	}
}
