package mse

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"shoal/internal/ident"
	"shoal/internal/simnet"
)

var (
	swarm = ident.V1([]byte("the name of one ....")) // that B is in
	other = ident.V1([]byte("the name of another."))
)

// keys looks for swarm only.
func keys(h [sha1.Size]byte) (ident.V1, bool) { return swarm, h == KeyHash(swarm) }

// choose returns a Choose that will have m only.
func choose(m Methods) func(Methods) Methods {
	return func(provided Methods) Methods { return provided & m }
}

// bubble runs a test with a connection between two hosts of a simulated network: A has dialled B.
func bubble(t *testing.T, link simnet.Link, test func(t *testing.T, a, b net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1)
		from, to := n.Host(netip.MustParseAddr("10.0.0.1"), link), n.Host(netip.MustParseAddr("10.0.0.2"), link)
		l, err := to.Listen(t.Context(), "tcp", ":1")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		a, err := from.Dial(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		b, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		test(t, a, b)
	})
}

// trickle is a connection whose bytes come one at a time.
type trickle struct{ net.Conn }

func (c trickle) Read(b []byte) (int, error) { return c.Conn.Read(b[:min(len(b), 1)]) }

// queued is one end of a net.Pipe whose writes do not wait for the reader, as those of a socket.
type queued struct {
	net.Conn
	queue chan []byte
}

func pipe(t *testing.T) (a, b net.Conn) {
	var wg sync.WaitGroup
	end := func(c net.Conn) net.Conn {
		q := queued{c, make(chan []byte, 1<<10)}
		wg.Go(func() {
			for m := range q.queue {
				_, _ = c.Write(m)
			}
		})
		t.Cleanup(func() { c.Close(); close(q.queue) })
		return q
	}
	x, y := net.Pipe()
	t.Cleanup(wg.Wait)
	return end(x), end(y)
}

func (q queued) Write(b []byte) (int, error) {
	q.queue <- bytes.Clone(b)
	return len(b), nil
}

func content(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// send checks that bytes written to one connection are read from another.
func send(t *testing.T, from, to net.Conn, want []byte) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		sent := bytes.Clone(want)
		if n, err := from.Write(sent); n != len(sent) || err != nil {
			t.Errorf("%d bytes written: %v", n, err)
		}
		if !bytes.Equal(sent, want) {
			t.Error("Write changed what it was given")
		}
	})
	got := make([]byte, len(want))
	if n, err := io.ReadFull(to, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d read, right: %v, %v", n, len(want), bytes.Equal(got, want), err)
	}
	wg.Wait()
}

// handshake makes the handshake on both ends at once.
func handshake(t *testing.T, a, b net.Conn, provide Methods, ia []byte, o AcceptOptions) (x, y net.Conn, m Methods, r Result) {
	t.Helper()
	var wg sync.WaitGroup
	var errA error
	wg.Go(func() { x, m, errA = Initiate(a, swarm, provide, ia) })
	y, r, errB := Accept(b, o)
	if errB != nil {
		a.Close()
	}
	wg.Wait()
	if errA != nil || errB != nil {
		t.Fatalf("Initiate: %v; Accept: %v", errA, errB)
	}
	return x, y, m, r
}

// bothWays checks one handshake and that size bytes are sent each way after it.
func bothWays(t *testing.T, a, b net.Conn, provide, chosen Methods, ia []byte, size int) {
	t.Helper()
	given := bytes.Clone(ia)
	x, y, m, r := handshake(t, a, b, provide, ia, AcceptOptions{Keys: keys, Choose: choose(chosen), AllowPlain: true})
	if m != chosen || r != (Result{true, chosen, swarm}) {
		t.Errorf("A has method %d, B %v", m, r)
	}
	if !bytes.Equal(ia, given) {
		t.Error("the payload was changed")
	}
	if chosen == Plain && (x != a || len(ia) == 0 && y != b) {
		t.Errorf("a plain connection is a %T and a %T", x, y)
	}
	if len(ia) > 0 && Bare(y) != y {
		t.Error("bare before the payload was read")
	}
	got := make([]byte, len(ia))
	if _, err := io.ReadFull(y, got); err != nil || !bytes.Equal(got, ia) {
		t.Errorf("payload %q: %v", got, err)
	}
	if chosen == Plain && Bare(y) != b {
		t.Errorf("a plain connection is a %T after the payload", Bare(y))
	}
	send(t, x, y, content(size, 1))
	send(t, y, x, content(size, 2))
	send(t, x, y, content(7, 3))
}

func TestEveryChoice(t *testing.T) {
	for _, c := range []struct{ provide, chosen Methods }{{Plain, Plain}, {RC4, RC4}, {Plain | RC4, Plain}, {Plain | RC4, RC4}} {
		for _, ia := range []int{0, 1, 68, MaxPayload} {
			t.Run(fmt.Sprintf("%d of %d with %d bytes", c.chosen, c.provide, ia), func(t *testing.T) {
				bubble(t, simnet.Link{Latency: 20 * time.Millisecond}, func(t *testing.T, a, b net.Conn) {
					bothWays(t, a, b, c.provide, c.chosen, content(ia, 9), 50_000)
				})
				t.Run("pipe", func(t *testing.T) {
					a, b := pipe(t)
					bothWays(t, a, b, c.provide, c.chosen, content(ia, 9), 50_000)
				})
				t.Run("byte by byte", func(t *testing.T) {
					a, b := pipe(t)
					bothWays(t, trickle{a}, trickle{b}, c.provide, c.chosen, content(min(ia, 999), 9), 1000)
				})
			})
		}
	}
}

func TestNoCommonMethod(t *testing.T) {
	for _, c := range []struct{ provide, chosen Methods }{{Plain, RC4}, {RC4, Plain}, {RC4 | Plain, 0}} {
		bubble(t, simnet.Link{}, func(t *testing.T, a, b net.Conn) {
			var wg sync.WaitGroup
			wg.Go(func() {
				if _, _, err := Initiate(a, swarm, c.provide, nil); err == nil {
					t.Error("Initiate made a connection")
				}
			})
			if _, _, err := Accept(b, AcceptOptions{Keys: keys, Choose: choose(c.chosen)}); !errors.Is(err, ErrMethod) {
				t.Errorf("Accept: %v", err)
			}
			b.Close()
			wg.Wait()
		})
	}
	for _, chosen := range []Methods{0, Plain, 3, 4, RC4 | 8} { // A said RC4
		bubble(t, simnet.Link{}, func(t *testing.T, a, b net.Conn) {
			var wg sync.WaitGroup
			wg.Go(func() { _ = (&reference{key: swarm, private: 77, methods: chosen}).accept(b) })
			if _, _, err := Initiate(a, swarm, RC4, nil); !errors.Is(err, ErrMethod) {
				t.Errorf("Initiate of RC4 when %d was chosen: %v", chosen, err)
			}
			wg.Wait()
		})
	}
}

func TestBadArguments(t *testing.T) {
	a, _ := pipe(t)
	if _, _, err := Initiate(a, swarm, 4, nil); err == nil {
		t.Error("no method was provided")
	}
	if _, _, err := Initiate(a, swarm, RC4, make([]byte, MaxPayload+1)); err == nil {
		t.Error("a payload was too long")
	}
}

func TestPlainHandshake(t *testing.T) {
	hello := plainHandshake + "reservedthe name of one ....-XX0000-123456789012"
	for _, slow := range []bool{false, true} {
		bubble(t, simnet.Link{}, func(t *testing.T, a, b net.Conn) {
			conn := b
			if slow {
				conn = trickle{b}
			}
			if _, err := io.WriteString(a, hello); err != nil {
				t.Fatal(err)
			}
			c, r, err := Accept(conn, AcceptOptions{Keys: keys, Choose: choose(RC4), AllowPlain: true})
			if err != nil || r != (Result{Method: Plain}) {
				t.Fatal(r, err)
			}
			got := make([]byte, len(hello))
			if _, err := io.ReadFull(c, got); err != nil || string(got) != hello {
				t.Errorf("%q, %v", got, err)
			}
			if Bare(c) != conn {
				t.Errorf("it is a %T", Bare(c))
			}
			send(t, a, c, content(1000, 1))
			send(t, c, a, content(1000, 2))
		})
	}
}

// TestReference speaks with a second implementation, with paddings of every kind.
func TestReference(t *testing.T) {
	for _, pads := range [][2]int{{0, 0}, {1, 511}, {512, 512}, {300, 2}} {
		for _, m := range []Methods{Plain, RC4} {
			r := reference{key: swarm, private: 0x123456789ABCDEF + int64(pads[0]), pad1: pads[0], pad2: pads[1], methods: m, payload: content(68, 4)}
			encrypt, decrypt := func(b []byte) []byte { return b }, func(b []byte) []byte { return b }
			bubble(t, simnet.Link{}, func(t *testing.T, a, b net.Conn) {
				ref := r
				var wg sync.WaitGroup
				wg.Go(func() {
					if err := ref.initiate(a); err != nil {
						t.Errorf("the reference with %v: %v", pads, err)
					}
				})
				c, got, err := Accept(b, AcceptOptions{Keys: keys, Choose: choose(m)})
				if err != nil || got.Method != m {
					t.Fatalf("Accept with %v: %v, %v", pads, got, err)
				}
				wg.Wait()
				if m == RC4 {
					encrypt, decrypt = ref.out, ref.in
				}
				exchange(t, c, a, ref.payload, encrypt, decrypt)
			})
			bubble(t, simnet.Link{}, func(t *testing.T, a, b net.Conn) {
				ref := r
				var wg sync.WaitGroup
				wg.Go(func() {
					if err := ref.accept(b); err != nil {
						t.Errorf("the reference with %v: %v", pads, err)
					}
				})
				c, got, err := Initiate(a, swarm, Plain|RC4, []byte("payload"))
				if err != nil || got != m {
					t.Fatalf("Initiate with %v: %v, %v", pads, got, err)
				}
				wg.Wait()
				if string(ref.got) != "payload" || ref.theirs != Plain|RC4 {
					t.Errorf("the reference got %q and methods %d", ref.got, ref.theirs)
				}
				if m == RC4 {
					encrypt, decrypt = ref.out, ref.in
				}
				exchange(t, c, b, nil, encrypt, decrypt)
			})
		}
	}
}

// exchange checks that c is understood by the reference on raw, from which first is expected before all.
func exchange(t *testing.T, c, raw net.Conn, first []byte, encrypt, decrypt func([]byte) []byte) {
	t.Helper()
	want := content(1000, 5)
	if _, err := raw.Write(encrypt(want)); err != nil {
		t.Error(err)
	}
	want = append(bytes.Clone(first), want...)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("from the reference came other bytes: %v", err)
	}
	want = content(1000, 6)
	if _, err := c.Write(want); err != nil {
		t.Error(err)
	}
	got = got[:len(want)]
	if _, err := io.ReadFull(raw, got); err != nil || !bytes.Equal(decrypt(got), want) {
		t.Errorf("to the reference came other bytes: %v", err)
	}
}
