//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"shoal/internal/bt/wire"
)

// firstPiece finds the first payload byte in what a peer sends.
type firstPiece struct {
	begun int    // bytes of wire.Protocol seen: an encrypted handshake goes before it, and on a local network nothing behind it is encrypted
	skip  int    // bytes to pass over: the rest of the handshake, then that of each message
	head  []byte // of the message at hand: length and id, and of a Piece message all before its second byte of payload
	found bool
}

func newFirstPiece() *firstPiece { return &firstPiece{skip: wire.HandshakeLen - len(wire.Protocol)} }

// write looks at the next bytes and reports whether payload has come.
func (f *firstPiece) write(p []byte) bool {
	for len(p) > 0 && !f.found {
		if f.begun < len(wire.Protocol) {
			if p[0] != wire.Protocol[f.begun] {
				f.begun = 0
			}
			if p[0] == wire.Protocol[f.begun] {
				f.begun++
			}
			p = p[1:]
			continue
		}
		if f.skip > 0 {
			n := min(f.skip, len(p))
			f.skip -= n
			p = p[n:]
			continue
		}
		f.head = append(f.head, p[0])
		p = p[1:]
		f.message()
	}
	return f.found
}

// message judges what is there of a message.
func (f *firstPiece) message() {
	if len(f.head) < 4 {
		return
	}
	size := int(binary.BigEndian.Uint32(f.head))
	switch {
	case size == 0:
		f.head = f.head[:0]
	case len(f.head) == 4:
	case wire.ID(f.head[4]) != wire.Piece:
		f.skip, f.head = size-1, f.head[:0]
	case len(f.head) > wire.PieceHeaderLen:
		f.found = true
	}
}

// firstByte is how long it takes from starting `shoal get MAGNET --peer ADDRESS` until the first byte of payload is on its way to it.
func (b *bench) firstByte() error {
	c, _ := b.client("shoal")
	seed, err := b.seeder(c, b.mid)
	if err != nil {
		return err
	}
	defer seed.stop()
	for n := range b.Starts {
		rate, err := b.quiet(0)
		if err != nil {
			return err
		}
		took, err := b.startGet()
		if err != nil {
			return err
		}
		b.keep("first", c.name, n, values{probe: rate, "first_ms": float64(took.Microseconds()) / 1000})
	}
	return nil
}

// startGet fetches through a proxy that watches what the seed sends.
func (b *bench) startGet() (time.Duration, error) {
	addr := peerAddr(38) + ":20038"
	seen := make(chan time.Time, 1)
	p, err := proxyAt(addr, seedAddr, func(near, far net.Conn) {
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _ = io.Copy(far, near)
			far.Close()
		})
		watchPayload(near, far, seen)
		near.Close()
		wg.Wait()
	})
	if err != nil {
		return 0, err
	}
	defer p.close()
	home, err := b.fresh("get")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(home)
	cmd := exec.Command(b.shoal, "get", "magnet:?xt=urn:btih:"+b.mid.hash, "--peer", addr, "--isolated", "-o", filepath.Join(home, "out"))
	cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+home)
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	select {
	case at := <-seen:
		return at.Sub(began), nil
	case <-time.After(20 * time.Second):
		return 0, errors.New("no payload within 20 s")
	}
}

// watchPayload passes on what the seed sends, and says when the first byte of payload was passed on.
func watchPayload(near io.Writer, far io.Reader, seen chan<- time.Time) {
	f := newFirstPiece()
	buf := make([]byte, 64<<10)
	for {
		n, err := far.Read(buf)
		first := !f.found && f.write(buf[:n])
		if _, err := near.Write(buf[:n]); err != nil {
			return
		}
		if first {
			seen <- time.Now()
		}
		if err != nil {
			return
		}
	}
}
