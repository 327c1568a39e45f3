//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"shoal/internal/netx"
)

// Every torrent has peersEach peers on this machine, told by their ports; the first seedsEach are seeds.
const (
	peersEach = 10
	seedsEach = 2
)

// Packets of BEP 15.
const (
	protocolID  = 0x41727101980
	announceLen = 98
	connect     = 0
	announce    = 1
)

// lost is how long an answer may take.
const lost = time.Second

// client is one socket that announces for many peers.
type client struct {
	conn     netx.PacketConn
	to       netip.AddrPort
	torrents int
	id       uint64
	random   *rand.Rand

	mu        sync.Mutex
	sent      []time.Time // by transaction id, zero if it is answered
	next      uint32
	latencies []time.Duration
	answered  int
	missing   int
	refused   int

	out, in []netx.Packet
}

func newClient(n netx.Network, to netip.AddrPort, torrents int, seed uint64, most int) (*client, error) {
	conn, err := n.ListenPacket(context.Background(), "udp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &client{conn: netx.Packets(conn), to: to, torrents: torrents, random: rand.New(rand.NewPCG(seed, seed)), sent: make([]time.Time, 1<<16)}
	c.out, c.in = make([]netx.Packet, most), make([]netx.Packet, most)
	for i := range most {
		c.out[i] = netx.Packet{Addr: to, Data: make([]byte, announceLen)}
		c.in[i].Data = make([]byte, 0, 2048)
	}
	return c, c.connect()
}

// connect gets a connection id.
func (c *client) connect() error {
	b := binary.BigEndian.AppendUint64(nil, protocolID)
	b = binary.BigEndian.AppendUint32(b, connect)
	b = binary.BigEndian.AppendUint32(b, 7)
	for range 10 {
		if _, err := c.conn.WritePackets([]netx.Packet{{Addr: c.to, Data: b}}); err != nil {
			return err
		}
		_ = c.conn.SetReadDeadline(time.Now().Add(lost))
		for {
			n, err := c.conn.ReadPackets(c.in[:1])
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				time.Sleep(100 * time.Millisecond) // it does not listen yet
				break
			}
			if n == 1 && len(c.in[0].Data) == 16 { // not what was late
				c.id = binary.BigEndian.Uint64(c.in[0].Data[8:])
				return nil
			}
		}
	}
	return errors.New("no answer to a connect")
}

// fill makes a packet of an announce of a peer of a torrent.
func (c *client) fill(b []byte, torrent, peer int, event uint32, tx uint32) {
	binary.BigEndian.PutUint64(b, c.id)
	binary.BigEndian.PutUint32(b[8:], announce)
	binary.BigEndian.PutUint32(b[12:], tx)
	name := infohash(torrent)
	copy(b[16:], name[:])
	copy(b[36:], "-SL0001-load-")
	left := uint64(1)
	if peer < seedsEach {
		left = 0
	}
	binary.BigEndian.PutUint64(b[64:], left)
	binary.BigEndian.PutUint32(b[80:], event)
	binary.BigEndian.PutUint32(b[92:], 50) // addresses wanted
	binary.BigEndian.PutUint16(b[96:], uint16(1024+torrent%5000*peersEach+peer))
}

// infohash names a torrent.
func infohash(torrent int) (name [20]byte) {
	r := rand.NewPCG(uint64(torrent), 1)
	binary.BigEndian.PutUint64(name[:], r.Uint64())
	binary.BigEndian.PutUint64(name[8:], r.Uint64())
	binary.BigEndian.PutUint32(name[16:], uint32(r.Uint64()))
	return name
}

// events are what a hundred announces tell: most are regular, a few peers come, complete and go.
var events = func() (e [100]uint32) {
	copy(e[:], []uint32{1, 1, 2, 2, 3, 3})
	return e
}()

// send sends n announces, of random torrents unless pick says of which.
func (c *client) send(n int, pick func() (torrent, peer int)) error {
	c.mu.Lock()
	now := time.Now()
	for i := range n {
		torrent, peer, event := c.random.IntN(c.torrents), c.random.IntN(peersEach), events[c.random.IntN(len(events))]
		if pick != nil {
			torrent, peer = pick()
			event = 2
		}
		c.fill(c.out[i].Data, torrent, peer, event, c.next)
		c.sent[c.next%uint32(len(c.sent))] = now
		c.next++
	}
	c.mu.Unlock()
	_, err := c.conn.WritePackets(c.out[:n])
	return err
}

// receive waits for answers and returns how many came.
func (c *client) receive() (int, error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(lost))
	n, err := c.conn.ReadPackets(c.in)
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.in[:n] {
		b := c.in[i].Data
		if len(b) < 20 || binary.BigEndian.Uint32(b) != announce {
			c.refused++
			continue
		}
		at := &c.sent[binary.BigEndian.Uint32(b[4:])%uint32(len(c.sent))]
		if at.IsZero() {
			continue // too late
		}
		c.latencies = append(c.latencies, now.Sub(*at))
		*at = time.Time{}
		c.answered++
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	return n, err
}

// saturate keeps window announces under way until the time has come.
func (c *client) saturate(until time.Time, window int, pick func() (int, int)) error {
	if err := c.send(window, pick); err != nil {
		return err
	}
	for under := window; time.Now().Before(until); {
		n, err := c.receive()
		if err != nil {
			return err
		}
		if n == 0 { // the rest was lost
			c.missing += under
			n = under
		}
		if err := c.send(n, pick); err != nil {
			return err
		}
	}
	return nil
}

// pace sends so many announces a second, whatever comes back.
func (c *client) pace(until time.Time, rate float64) error {
	var reader sync.WaitGroup
	reader.Go(func() {
		for time.Now().Before(until.Add(lost / 10)) {
			if _, err := c.receive(); err != nil {
				return
			}
		}
	})
	defer reader.Wait()
	begin := time.Now()
	for sent := 0; time.Now().Before(until); {
		due := min(int(time.Since(begin).Seconds()*rate)-sent, len(c.out))
		if due < 1 {
			time.Sleep(time.Duration(float64(time.Second) / rate))
			continue
		}
		if err := c.send(due, nil); err != nil {
			return err
		}
		sent += due
	}
	return nil
}

// result is what one run has measured.
type result struct {
	rate             float64       // announces answered a second
	p50, p99         time.Duration // what was lost counts as the longest wait
	missing, refused int
}

// load is many clients of one server.
type load struct {
	clients []*client
}

func newLoad(to netip.AddrPort, clients, torrents, most int) (*load, error) {
	n := netx.NewHost(netx.Options{})
	l := &load{}
	for i := range clients {
		c, err := newClient(n, to, torrents, uint64(i)+1, most)
		if err != nil {
			return nil, fmt.Errorf("%v: %w", to, err)
		}
		l.clients = append(l.clients, c)
	}
	return l, nil
}

func (l *load) close() {
	for _, c := range l.clients {
		c.conn.Close()
	}
}

// run lets every client work at once, for so many seconds, and returns what they have measured together.
func (l *load) run(seconds float64, work func(*client) error) (result, error) {
	errs := make([]error, len(l.clients))
	var wg sync.WaitGroup
	for i, c := range l.clients {
		c.answered, c.missing, c.refused, c.latencies = 0, 0, 0, c.latencies[:0]
		clear(c.sent)
		wg.Go(func() { errs[i] = work(c) })
	}
	wg.Wait()
	var r result
	var all []time.Duration
	for _, c := range l.clients {
		r.rate += float64(c.answered) / seconds
		r.missing += c.missing
		r.refused += c.refused
		for _, at := range c.sent {
			if !at.IsZero() && time.Since(at) > lost/10 {
				r.missing++
			}
		}
		all = append(all, c.latencies...)
	}
	for range r.missing { // who waits in vain waits longest
		all = append(all, lost)
	}
	if len(all) > 0 {
		slices.Sort(all)
		r.p50, r.p99 = all[len(all)/2], all[len(all)*99/100]
	}
	err := errors.Join(errs...)
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return r, err
}

// populate announces every peer of every torrent once.
func (l *load) populate(torrents, window int) error {
	_, err := l.run(1, func(c *client) error {
		first := slices.Index(l.clients, c)
		next, total := 0, (torrents-first+len(l.clients)-1)/len(l.clients)*peersEach
		under := 0
		for next < total || under > 0 {
			n := min(window-under, total-next)
			if n > 0 {
				if err := c.send(n, func() (int, int) {
					at := next
					next++
					return first + at/peersEach*len(l.clients), at % peersEach
				}); err != nil {
					return err
				}
				under += n
			}
			got, err := c.receive()
			if err != nil {
				return err
			}
			if under -= got; got == 0 {
				under = 0
			}
		}
		return nil
	})
	return err
}
