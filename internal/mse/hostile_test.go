package mse

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"shoal/internal/simnet"
)

// counted counts what is read from and written to a connection.
type counted struct {
	net.Conn
	read, wrote int
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read += n
	return n, err
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.wrote += n
	return n, err
}

const (
	patience = 30 * time.Second
	maxReply = keyLen + maxPad                             // of B, before A has named a swarm
	maxSync  = keyLen + maxPad + 40 + headLen + maxPad + 2 // of A, up to IA
)

var publicKeys = map[string][]byte{
	"0":       make([]byte, keyLen),
	"1":       one.FillBytes(make([]byte, keyLen)),
	"P-1":     last.FillBytes(make([]byte, keyLen)),
	"P":       prime.FillBytes(make([]byte, keyLen)),
	"2^768-1": bytes.Repeat([]byte{0xff}, keyLen),
}

// strangers are peers that B must not answer. What they send in all is less than minDrain beyond where it is wrong.
func strangers() map[string]func(io.ReadWriter) error {
	m := map[string]func(io.ReadWriter) error{
		"of an unknown swarm":       (&reference{key: other, private: 5, methods: RC4, payload: make([]byte, 68)}).initiate,
		"whose VC is not zero":      (&reference{key: swarm, private: 5, methods: RC4, vc: 1}).initiate,
		"whose PadC is too long":    (&reference{key: swarm, private: 5, methods: RC4, pad2: 513}).initiate,
		"whose PadC is very long":   (&reference{key: swarm, private: 5, methods: RC4, claim: 0xffff}).initiate,
		"whose PadA is too long":    (&reference{key: swarm, private: 5, methods: RC4, pad1: 513}).initiate,
		"that is plain":             func(c io.ReadWriter) error { return say(c, append([]byte(plainHandshake), make([]byte, 200)...)) },
		"that sends noise":          func(c io.ReadWriter) error { return say(c, content(1000, 7)) },
		"that sends a key, no more": func(c io.ReadWriter) error { return say(c, content(96, 7)) },
		"that sends little":         func(c io.ReadWriter) error { return say(c, content(19, 7)) },
		"that sends nothing":        func(c io.ReadWriter) error { return nil },
	}
	for name, key := range publicKeys {
		m["with public key "+name] = func(c io.ReadWriter) error { return say(c, append(key, content(600, 8)...)) }
	}
	return m
}

func say(c io.Writer, b []byte) error {
	_, err := c.Write(b)
	return err
}

// TestStrangersLearnNothing checks that all who do not know a swarm see the same: a public key, and then silence up to the deadline.
func TestStrangersLearnNothing(t *testing.T) {
	for name, stranger := range strangers() {
		bubble(t, simnet.Link{}, func(t *testing.T, a, b net.Conn) {
			var wg sync.WaitGroup
			wg.Go(func() { _ = stranger(a) })
			c := &counted{Conn: b}
			began := time.Now()
			c.SetDeadline(began.Add(patience))
			conn, r, err := Accept(c, AcceptOptions{Keys: keys, Choose: choose(RC4)})
			if conn != nil || r != (Result{}) || !errors.Is(err, ErrHandshake) && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("one %s: %v, %v, %v", name, conn, r, err)
			}
			if took := time.Since(began); took != patience {
				t.Errorf("one %s was sent off after %v", name, took)
			}
			if c.wrote > maxReply || c.wrote > 0 != (c.read >= keyLen) {
				t.Errorf("one %s got %d bytes for %d", name, c.wrote, c.read)
			}
			b.Close()
			wg.Wait()
		})
	}
}

// TestFlood checks that of a peer that never ends a bounded number of bytes is read.
func TestFlood(t *testing.T) {
	fewest, most := 1<<30, 0
	for i := range 20 {
		bubble(t, simnet.Link{}, func(t *testing.T, a, b net.Conn) {
			var wg sync.WaitGroup
			wg.Go(func() {
				for say(a, content(4000, uint64(i))) == nil {
				}
			})
			c := &counted{Conn: b}
			if _, _, err := Accept(c, AcceptOptions{Keys: keys, Choose: choose(RC4), AllowPlain: true}); !errors.Is(err, ErrHandshake) {
				t.Error(err)
			}
			fewest, most = min(fewest, c.read), max(most, c.read)
			b.Close()
			wg.Wait()
		})
	}
	if most > maxSync+maxDrain || fewest < keyLen+maxPad+minDrain || fewest == most {
		t.Errorf("from %d to %d bytes were read", fewest, most)
	}
}

// TestBadAnswers checks that A gives up on whoever is no B of its swarm, with no more read than needed.
func TestBadAnswers(t *testing.T) {
	cases := map[string]func(io.ReadWriter) error{
		"of another swarm":        (&liar{reference{key: other, private: 5, methods: RC4}}).accept,
		"whose VC is not zero":    (&liar{reference{key: swarm, private: 5, methods: RC4, vc: 1, pad2: 512}}).accept,
		"whose PadB is too long":  (&liar{reference{key: swarm, private: 5, methods: RC4, pad1: 513}}).accept,
		"whose PadD is too long":  (&liar{reference{key: swarm, private: 5, methods: RC4, pad2: 513}}).accept,
		"whose PadD is very long": (&liar{reference{key: swarm, private: 5, methods: RC4, claim: 0xffff}}).accept,
		"that sends noise":        func(c io.ReadWriter) error { return say(c, content(3000, 7)) },
	}
	for name, key := range publicKeys {
		cases["with public key "+name] = func(c io.ReadWriter) error { return say(c, append(key, content(600, 8)...)) }
	}
	for name, answer := range cases {
		bubble(t, simnet.Link{}, func(t *testing.T, a, b net.Conn) {
			var wg sync.WaitGroup
			wg.Go(func() { _ = answer(b) })
			c := &counted{Conn: a}
			c.SetDeadline(time.Now().Add(patience))
			if conn, _, err := Initiate(c, swarm, RC4|Plain, []byte("payload")); conn != nil || !errors.Is(err, ErrHandshake) {
				t.Errorf("one %s: %v, %v", name, conn, err)
			}
			if c.read > maxSync {
				t.Errorf("of one %s %d bytes were read", name, c.read)
			}
			a.Close()
			wg.Wait()
		})
	}
}

// liar is a B that takes any swarm for its own and has noise to follow.
type liar struct{ reference }

func (l *liar) accept(c io.ReadWriter) error {
	theirs, err := l.read(c, keyLen)
	if err != nil {
		return err
	}
	l.request(theirs) // has the same keys, the other way round
	return say(c, slices.Concat(l.opening(), l.in(l.head()), content(1000, 3)))
}

// cut is a connection that ends our direction after some bytes.
type cut struct {
	net.Conn
	left int
}

func (c *cut) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b[:min(len(b), c.left)])
	if c.left -= n; err == nil && c.left == 0 {
		err = c.Conn.(interface{ CloseWrite() error }).CloseWrite()
	}
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return n, err
}

// TestTruncation ends either side's stream at every byte.
func TestTruncation(t *testing.T) {
	a := reference{key: swarm, private: 5, pad1: 2, pad2: 3, methods: RC4 | Plain, payload: []byte("payload")}
	whole := keyLen + a.pad1 + 40 + headLen + a.pad2 + 2 + len(a.payload)
	for _, m := range []Methods{RC4, Plain} {
		for n := range whole {
			bubble(t, simnet.Link{}, func(t *testing.T, from, to net.Conn) {
				ref := a
				var wg sync.WaitGroup
				wg.Go(func() { _ = ref.initiate(&cut{from, n}) })
				c, _, err := Accept(to, AcceptOptions{Keys: keys, Choose: choose(m), AllowPlain: true})
				if err == nil {
					_, err = io.ReadFull(c, make([]byte, len(a.payload)))
				}
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("of the %d bytes of A %d came: %v", whole, n, err)
				}
				to.Close()
				wg.Wait()
			})
		}
	}
	b := reference{key: swarm, private: 5, pad1: 2, pad2: 3, methods: RC4}
	whole = keyLen + b.pad1 + headLen + b.pad2
	for n := range whole {
		bubble(t, simnet.Link{}, func(t *testing.T, from, to net.Conn) {
			ref := b
			var wg sync.WaitGroup
			wg.Go(func() { _ = ref.accept(&cut{to, n}) })
			if _, _, err := Initiate(from, swarm, RC4, nil); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("of the %d bytes of B %d came: %v", whole, n, err)
			}
			from.Close()
			wg.Wait()
		})
	}
}

// slow is a connection that sends a byte a second.
type slow struct{ net.Conn }

func (c slow) Write(b []byte) (int, error) {
	for i := range b {
		time.Sleep(time.Second)
		if err := say(c.Conn, b[i:i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

func TestSlowPeers(t *testing.T) {
	bubble(t, simnet.Link{Latency: time.Second}, func(t *testing.T, a, b net.Conn) {
		bothWays(t, slow{a}, slow{b}, RC4|Plain, RC4, []byte("payload"), 5000)
	})
	bubble(t, simnet.Link{}, func(t *testing.T, a, b net.Conn) {
		began := time.Now()
		b.SetDeadline(began.Add(patience))
		var wg sync.WaitGroup
		wg.Go(func() { _, _, _ = Initiate(slow{a}, swarm, RC4, nil) })
		_, _, err := Accept(b, AcceptOptions{Keys: keys, Choose: choose(RC4)})
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != patience {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		b.Close()
		wg.Wait()
	})
	bubble(t, simnet.Link{}, func(t *testing.T, a, b net.Conn) {
		began := time.Now()
		a.SetDeadline(began.Add(patience))
		if _, _, err := Initiate(a, swarm, RC4, nil); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != patience {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

// script is a connection that yields given bytes and forgets what is sent.
type script struct {
	net.Conn
	in   *bytes.Reader
	sent int
}

func (s *script) Read(b []byte) (int, error)  { return s.in.Read(b) }
func (s *script) Write(b []byte) (int, error) { s.sent += len(b); return len(b), nil }

func FuzzAccept(f *testing.F) {
	for _, key := range publicKeys {
		f.Add(key, true)
	}
	f.Add([]byte(plainHandshake+"........"), true)
	f.Add([]byte(plainHandshake+"........"), false)
	f.Add(content(700, 1), true)
	f.Fuzz(func(t *testing.T, data []byte, plain bool) {
		o := AcceptOptions{Keys: keys, Choose: choose(RC4), AllowPlain: plain}
		s := &script{in: bytes.NewReader(data)}
		c, r, err := Accept(s, o)
		read := len(data) - s.in.Len()
		switch {
		case (c == nil) != (err != nil):
			t.Errorf("%v with error %v", c, err)
		case err == nil && (!plain || r.Handshake || read != len(plainHandshake)):
			t.Errorf("%v after %d bytes", r, read)
		case read > maxSync+maxDrain || s.sent > maxReply:
			t.Errorf("%d bytes were read and %d sent", read, s.sent)
		}
	})
}

// FuzzRequest has an A that knows the swarm say anything where VC would begin, after a padding.
func FuzzRequest(f *testing.F) {
	f.Add(make([]byte, 200), uint16(1))
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x07payload"), uint16(200))
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03\x02\x01\x00\x07"), uint16(512))
	f.Add([]byte{}, uint16(513))
	f.Fuzz(fuzzRequest)
}

func fuzzRequest(t *testing.T, data []byte, pad uint16) {
	pad %= 600
	ours := keyPairOf(unhex(known.b))
	secret, _ := ours.secret((*[keyLen]byte)(unhex(known.ya)))
	in := newStream("keyA", secret, swarm)
	req1, req3 := hash("req1", secret), hash("req3", secret)
	req2 := KeyHash(swarm)
	m := slices.Concat(make([]byte, pad), req1[:], refXor(req2[:], req3[:]))
	sealed := refCipher(refHash([]byte("keyA"), secret, swarm[:]), dropped)(data)
	s := &script{in: bytes.NewReader(append(m, sealed...))}
	key, err := readKey(s, secret, keys)
	if (err == nil) != (pad <= maxPad) || err == nil && key != swarm {
		t.Fatalf("after a padding of %d bytes: %v", pad, err)
	}
	if err != nil {
		return
	}
	methods, payload, err := readRequest(s, in)
	valid := len(data) >= headLen+2 && bytes.Equal(data[:vcLen], make([]byte, vcLen)) && be.Uint16(data[vcLen+4:]) <= maxPad &&
		len(data) >= headLen+int(be.Uint16(data[vcLen+4:]))+2
	if valid != (err == nil) {
		t.Fatalf("of %x: %v", data, err)
	}
	if valid {
		end := headLen + int(be.Uint16(data[vcLen+4:]))
		if methods != Methods(be.Uint32(data[vcLen:]))&3 || payload != int(be.Uint16(data[end:])) || s.in.Len() != len(data)-end-2 {
			t.Errorf("of %x: methods %d, %d bytes of payload, %d not read", data, methods, payload, s.in.Len())
		}
	}
}

func FuzzInitiate(f *testing.F) {
	for _, key := range publicKeys {
		f.Add(key)
	}
	f.Add(unhex(known.yb))
	f.Add(append(unhex(known.yb), content(700, 1)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &script{in: bytes.NewReader(data)}
		if c, _, err := Initiate(s, swarm, RC4|Plain, []byte("payload")); c != nil || err == nil {
			t.Errorf("%v with error %v", c, err) // eight bytes that cannot be known were guessed
		}
		if read := len(data) - s.in.Len(); read > maxSync || s.sent > maxSync+len("payload") {
			t.Errorf("%d bytes were read and %d sent", read, s.sent)
		}
	})
}

// FuzzAnswer has B say anything where VC would begin, after a padding.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0}, uint16(0))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 1}, uint16(512))
	f.Add(make([]byte, 40), uint16(513))
	f.Fuzz(func(t *testing.T, data []byte, pad uint16) {
		pad %= 600
		key := content(20, 1)
		sealed := refCipher(key, 0)(data)
		s := &script{in: bytes.NewReader(append(make([]byte, pad), sealed...))}
		m, err := answer(s, newRC4(key))
		valid := pad <= maxPad && len(data) >= headLen && bytes.Equal(data[:vcLen], make([]byte, vcLen)) &&
			be.Uint16(data[vcLen+4:]) <= maxPad && len(data) >= headLen+int(be.Uint16(data[vcLen+4:]))
		if valid && (err != nil || m != Methods(be.Uint32(data[vcLen:]))) || !valid && err == nil {
			t.Errorf("after %d bytes %x: %d, %v", pad, data, m, err)
		}
	})
}
