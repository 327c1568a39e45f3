package session_test

import (
	"context"
	"io"
	"net"
	"sync"
	"time"

	"shoal/internal/block"
	"shoal/internal/bt/wire"
	"shoal/internal/ident"
	"shoal/internal/simnet"
)

// attacker is a peer whose messages are written by hand.
type attacker struct {
	w    *world
	host *simnet.Host
	c    *content
	conn net.Conn
	id   ident.PeerID
	fast bool
	gone chan struct{} // closed when the victim has ended the connection, once somebody reads
}

func (w *world) attacker(c *content) *attacker {
	return &attacker{w: w, host: w.host(dsl), c: c, id: ident.NewPeerID("-XX0001-"), fast: true}
}

// dial connects.
func (a *attacker) dial(victim *node) {
	a.w.Helper()
	conn, err := a.host.Dial(context.Background(), "tcp", victim.at().String())
	if err != nil {
		a.w.Fatal(err)
	}
	a.conn, a.gone = conn, make(chan struct{})
}

func (a *attacker) close() {
	if a.conn != nil {
		a.conn.Close()
	}
}

// send writes raw bytes. It does not mind that the victim may have hung up.
func (a *attacker) send(b []byte) {
	a.conn.SetWriteDeadline(time.Now().Add(5 * time.Minute))
	a.conn.Write(b)
}

// drip sends one byte after the other.
func (a *attacker) drip(b []byte, pause time.Duration) {
	for i := range b {
		a.send(b[i : i+1])
		time.Sleep(pause)
	}
}

func (a *attacker) handshake() []byte {
	bits := []int{wire.BitExtended}
	if a.fast {
		bits = append(bits, wire.BitFast)
	}
	return wire.AppendHandshake(nil, wire.Handshake{Reserved: wire.OurReserved(bits...), InfoHash: a.c.torrent.Info.Hash.Key(), PeerID: a.id})
}

// hello exchanges handshakes, and returns the victim's.
func (a *attacker) hello() wire.Handshake {
	a.w.Helper()
	a.send(a.handshake())
	return a.hear()
}

func (a *attacker) hear() wire.Handshake {
	a.w.Helper()
	var b [wire.HandshakeLen]byte
	if _, err := io.ReadFull(a.conn, b[:]); err != nil {
		a.w.Fatal("no handshake: ", err)
	}
	h, err := wire.ParseHandshake(b[:])
	if err != nil {
		a.w.Fatal(err)
	}
	return h
}

// drain reads and forgets what the victim sends.
func (a *attacker) drain() {
	go func() {
		defer close(a.gone)
		io.Copy(io.Discard, a.conn)
	}()
}

// answer reads the victim's messages and sends what f returns for each.
func (a *attacker) answer(f func(m *wire.Message) []byte) {
	pool := block.NewPool(1 << 20)
	go func() {
		defer close(a.gone)
		dec := wire.NewDecoder(a.conn, func() *block.Block { return pool.Get(nil) }, wire.DefaultLimits)
		var m wire.Message
		for dec.Next(&m) == nil {
			m.Block.Release()
			m.Block = nil
			if b := f(&m); b != nil {
				a.send(b)
			}
		}
	}()
}

// dropped reports whether the victim ends the connection in time.
func (a *attacker) dropped(within time.Duration) bool {
	select {
	case <-a.gone:
		return true
	case <-time.After(within):
		return false
	}
}

// extHandshake is an extension handshake with the ids that shoal gives, too.
func extHandshake(size int64) []byte {
	h := wire.ExtHandshake{M: map[string]uint8{wire.ExtPEX: 1, wire.ExtMetadata: 2}, MetadataSize: size, Port: 6881}
	return wire.AppendExtended(nil, 0, h.Append(nil))
}

// liar has everything, unchokes everybody and sends zeros.
func liar(m *wire.Message) []byte {
	if m.ID != wire.Request {
		return nil
	}
	b := wire.AppendPieceHeader(nil, m.Piece, m.Begin, int(m.Length))
	return append(b, make([]byte, m.Length)...)
}

// accept has the attacker listen and do something with every connection, until the returned function is called.
func (a *attacker) accept(do func(net.Conn)) (stop func()) {
	ln, err := a.host.Listen(context.Background(), "tcp", ":6881")
	if err != nil {
		a.w.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			do(c)
			c.Close()
		}
	})
	return func() {
		ln.Close()
		wg.Wait()
	}
}
