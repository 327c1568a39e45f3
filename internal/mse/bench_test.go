package mse

import (
	"io"
	"net"
	"sync"
	"testing"
)

// BenchmarkKeyExchange is what one side computes for one connection.
func BenchmarkKeyExchange(b *testing.B) {
	theirs := keyPairOf(unhex(known.b)).public
	for b.Loop() {
		if _, ok := newKeyPair().secret(&theirs); !ok {
			b.Fatal("no secret")
		}
	}
}

// BenchmarkHandshake is both sides, over TCP.
func BenchmarkHandshake(b *testing.B) {
	for b.Loop() {
		x, y := secured(b)
		x.Close()
		y.Close()
	}
}

// BenchmarkSend has one goroutine write and another read, as they would payload: 256 KiB in one writev.
func BenchmarkSend(b *testing.B) {
	const span, block = 256 << 10, 16 << 10
	write := func(c net.Conn, p []byte) error {
		_, err := c.Write(p)
		return err
	}
	writeVector := func(c net.Conn, p []byte) error {
		var bufs [span / block][]byte
		for i := range bufs {
			bufs[i] = p[i*block:][:block]
		}
		_, err := c.(interface{ WriteVector([][]byte) (int64, error) }).WriteVector(bufs[:])
		return err
	}
	run := func(name string, open func(testing.TB) (x, y net.Conn), write func(net.Conn, []byte) error) {
		b.Run(name, func(b *testing.B) {
			x, y := open(b)
			b.SetBytes(span)
			var wg sync.WaitGroup
			b.ResetTimer()
			wg.Go(func() {
				p := make([]byte, span)
				for range b.N {
					if err := write(x, p); err != nil {
						b.Error(err)
						return
					}
				}
			})
			p := make([]byte, span)
			for range b.N {
				if _, err := io.ReadFull(y, p); err != nil {
					b.Error(err)
					break
				}
			}
			wg.Wait()
		})
	}
	run("plain", func(t testing.TB) (x, y net.Conn) { return sockets(t) }, write)
	run("RC4 Write", secured, write)
	run("RC4 WriteVector", secured, writeVector)
}
