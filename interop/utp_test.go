//go:build linux

package interop

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// udpRelay passes UDP on to a client and back, and nothing else, so that whoever comes by it speaks uTP. It has an address of its own,
// and loses, repeats and reorders some.
type udpRelay struct {
	ip      string
	target  netip.AddrPort
	loss    float64
	front   *net.UDPConn
	wg      sync.WaitGroup
	carried atomic.Int64 // bytes

	mu    sync.Mutex
	rand  *rand.Rand
	backs map[netip.AddrPort]*net.UDPConn // by who is in front
	held  map[*net.UDPConn]func()         // a datagram that the next one overtakes
}

// startRelay starts a relay to an address, which ends with the test.
func startRelay(t *testing.T, target string, loss float64) *udpRelay {
	t.Helper()
	r := &udpRelay{ip: newIP(), target: netip.MustParseAddrPort(target), loss: loss, rand: rand.New(rand.NewPCG(1, 2)),
		backs: map[netip.AddrPort]*net.UDPConn{}, held: map[*net.UDPConn]func(){}}
	r.front = r.listen(t, peerPort)
	r.wg.Go(func() {
		r.read(r.front, func(b []byte, from netip.AddrPort) {
			if back := r.back(t, from); back != nil {
				r.pass(back, b, r.target)
			}
		})
	})
	t.Cleanup(func() {
		r.front.Close()
		r.mu.Lock()
		for _, c := range r.backs {
			c.Close()
		}
		r.backs = nil
		r.mu.Unlock()
		r.wg.Wait()
	})
	return r
}

func (r *udpRelay) listen(t *testing.T, port uint16) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(r.ip), port)))
	if err != nil {
		t.Error(err)
		return nil
	}
	c.SetReadBuffer(4 << 20)
	return c
}

func (r *udpRelay) addr() string { return listenAddr(r.ip) }

// back returns the socket that speaks to the target for one in front, nil after the end.
func (r *udpRelay) back(t *testing.T, from netip.AddrPort) *net.UDPConn {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.backs == nil || r.backs[from] != nil {
		return r.backs[from]
	}
	c := r.listen(t, 0)
	if c == nil {
		return nil
	}
	r.backs[from] = c
	r.wg.Go(func() { r.read(c, func(b []byte, _ netip.AddrPort) { r.pass(r.front, b, from) }) })
	return c
}

// read takes what a socket receives until it is closed.
func (r *udpRelay) read(c *net.UDPConn, take func(b []byte, from netip.AddrPort)) {
	for b := make([]byte, 1<<16); ; {
		n, from, err := c.ReadFromUDPAddrPort(b)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err == nil:
			take(append([]byte(nil), b[:n]...), from)
		}
	}
}

// pass sends a datagram on, or not at all, or twice, or after the next one.
func (r *udpRelay) pass(c *net.UDPConn, b []byte, to netip.AddrPort) {
	send := func() {
		c.WriteToUDPAddrPort(b, to)
		r.carried.Add(int64(len(b)))
	}
	r.mu.Lock()
	chance, before := r.rand.Float64(), r.held[c]
	delete(r.held, c)
	if chance >= 2*r.loss && chance < 3*r.loss {
		r.held[c] = send
	}
	r.mu.Unlock()
	switch {
	case chance < r.loss:
	case chance < 2*r.loss:
		send()
		send()
	case chance >= 3*r.loss:
		send()
	}
	if before != nil {
		before()
	}
}

// announce is a tracker that knows of one peer only.
func announce(t *testing.T, peer string) string {
	t.Helper()
	a := netip.MustParseAddrPort(peer)
	compact := append(a.Addr().AsSlice(), byte(a.Port()>>8), byte(a.Port()))
	l, err := net.Listen("tcp4", newIP()+":0")
	must(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "d8:intervali5e5:peers6:%se", compact)
	})}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return fmt.Sprintf("http://%s/announce", l.Addr())
}

var short = content{"short.bin", func(add func(string, int)) { add("", 6<<20+12345) }}

// TestUTP: whole torrents over uTP alone, to and from real clients, whoever of the two has dialled, with losses, repetitions and
// reordering in between, and without.
func TestUTP(t *testing.T) {
	t.Parallel()
	for _, other := range []string{"libtorrent", "transmission"} {
		for _, way := range []string{"to", "from"} {
			for _, dialler := range []string{"shoal", other} {
				for _, loss := range []float64{0, 0.02} {
					if loss == 0 && dialler == other {
						continue
					}
					t.Run(fmt.Sprintf("%s %s, %s dials, %v lost", way, other, dialler, loss), func(t *testing.T) {
						t.Parallel()
						transferUTP(t, other, way == "to", dialler == "shoal", loss)
					})
				}
			}
		}
	}
}

func transferUTP(t *testing.T, other string, seeds, dials bool, loss float64) {
	from, to := t.TempDir(), t.TempDir()
	path := short.make(t, from)
	ours := listenAddr(newIP())
	them := starters[other](t, options{UTP: true})
	target := them.addr()
	if !dials {
		target = ours
	}
	relay := startRelay(t, target, loss)
	made := newLibtorrent(t, options{}).create(t, path, "v1", []string{announce(t, relay.addr())}, nil)
	args := []string{made.file, "--no-tracker", "--listen", ours, "--isolated"}
	if dials {
		args = append(args, "--peer", relay.addr())
	}
	binary, err := shoalBinary()
	must(t, err)
	add := func(dir string) {
		must(t, them.add(made.file, dir))
		if !dials && other == "libtorrent" {
			must(t, them.addPeer(relay.addr()))
		}
	}
	began := time.Now()
	if seeds {
		seeder := start(t, "shoal seed", t.TempDir(), false, binary, append([]string{"seed", "--dir", from}, args...)...)
		waitListening(t, seeder, ours)
		add(to)
		waitComplete(t, "the leecher has everything", them, running(them))
	} else {
		add(from)
		waitComplete(t, "the seeder has checked its data", them, running(them))
		began = time.Now()
		leecher := start(t, "shoal get", t.TempDir(), false, binary, append([]string{"get", "-o", to}, args...)...)
		if code := leecher.wait(t); code != 0 {
			t.Fatalf("shoal get ended with code %d", code)
		}
	}
	t.Logf("it took %v, and %d MB went through the relay", time.Since(began).Round(time.Millisecond), relay.carried.Load()>>20)
	sameTree(t, path, filepath.Join(to, short.name))
	if n := relay.carried.Load(); n < 6<<20 {
		t.Errorf("%d bytes went by the relay", n)
	}
}
