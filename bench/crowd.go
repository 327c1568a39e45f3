//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"shoal/internal/block"
	"shoal/internal/bt/wire"
	"shoal/internal/ident"
	"shoal/internal/netx"
)

// stranger is a peer of ours that speaks just enough of the protocol to be served or to sit idle.
type stranger struct {
	net.Conn
	dec *wire.Decoder
}

// crowdAddr is the i-th stranger's address: one each, as clients distrust many peers at one.
func crowdAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 78, byte(i >> 8), byte(i)}) }

// meet connects the i-th stranger with a peer: handshakes (BEP 3, 10), no piece yet (BEP 6), interested.
func meet(ctx context.Context, i int, addr string, swarm ident.V1, blocks *block.Pool) (*stranger, error) {
	c, err := netx.NewHost(netx.Options{Bind: crowdAddr(i)}).Dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	hello := wire.AppendHandshake(nil, wire.Handshake{Reserved: wire.OurReserved(wire.BitExtended, wire.BitFast), InfoHash: swarm, PeerID: ident.NewPeerID("-BE0001-")})
	ext := wire.ExtHandshake{M: map[string]uint8{wire.ExtPEX: 1, wire.ExtMetadata: 2}, Version: "bench", ReqQ: 500, Port: 6881}
	hello = wire.AppendExtended(hello, 0, ext.Append(nil))
	hello = wire.AppendInterested(wire.AppendHaveNone(hello))
	answer := make([]byte, wire.HandshakeLen)
	if _, err = c.Write(hello); err == nil {
		_, err = io.ReadFull(c, answer)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	_ = c.SetDeadline(time.Time{})
	return &stranger{c, wire.NewDecoder(c, func() *block.Block { return blocks.Get(ctx.Done()) }, wire.DefaultLimits)}, nil
}

// crowd has n strangers meet a peer, at most 100 at once, and do something each until ctx ends.
type crowd struct {
	wg   sync.WaitGroup
	here atomic.Int64 // strangers that are connected
}

// gather returns once all have met the peer.
func (w *crowd) gather(ctx context.Context, first, n int, addr string, swarm ident.V1, do func(i int, s *stranger)) error {
	blocks := block.NewPool(64 << 20)
	slots := make(chan struct{}, 100)
	var mu sync.Mutex
	var errs []error
	var met sync.WaitGroup
	for i := first; i < first+n; i++ {
		slots <- struct{}{}
		met.Go(func() {
			defer func() { <-slots }()
			s, err := meet(ctx, i, addr, swarm, blocks)
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
				return
			}
			w.here.Add(1)
			w.wg.Go(func() {
				defer w.here.Add(-1)
				stop := context.AfterFunc(ctx, func() { s.Close() })
				defer stop()
				defer s.Close()
				do(i, s)
			})
		})
	}
	met.Wait()
	if len(errs) > 0 {
		return fmt.Errorf("%d of %d peers did not get in: %w", len(errs), n, errors.Join(errs[:min(len(errs), 3)]...))
	}
	return nil
}

// idler reads what comes and says nothing but keep-alives (BEP 3).
func idler(_ int, s *stranger) {
	gone := make(chan struct{})
	defer close(gone)
	go func() {
		for alive := time.NewTicker(time.Minute); ; {
			select {
			case <-alive.C:
				_, _ = s.Write(wire.AppendKeepAlive(nil)) // an error comes to the reader, too
			case <-gone:
				return
			}
		}
	}()
	var m wire.Message
	for s.dec.Next(&m) == nil {
		m.Block.Release()
		s.dec.Idle()
	}
}
