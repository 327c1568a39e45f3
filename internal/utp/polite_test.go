package utp

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"shoal/internal/netx"
	"shoal/internal/simnet"
)

// ethernet writes as a path does that carries no more than Ethernet.
func ethernet(write func([]netx.Packet) (int, error)) func([]netx.Packet) (int, error) {
	return func(packets []netx.Packet) (int, error) {
		for i := range packets {
			if min(packets[i].Size, len(packets[i].Data)) <= ethernet4 {
				if _, err := write(packets[i : i+1]); err != nil {
					return i, err
				}
			}
		}
		return len(packets), nil
	}
}

// simEnd opens an end on a simulated host, behind Ethernet.
func simEnd(t testing.TB, h *simnet.Host) *end {
	t.Helper()
	c, err := h.ListenPacket(context.Background(), "udp", ":1")
	if err != nil {
		t.Fatal(err)
	}
	return endOf(c, Config{Write: ethernet(netx.Packets(c).WritePackets)})
}

// stage is a receiver behind a line, which several senders share.
type stage struct {
	*testing.T
	net      *simnet.Net
	receiver *simnet.Host
	sink     *end
	hosts    byte
	ends     []*end
	conns    []net.Conn
}

func newStage(t *testing.T, line simnet.Link) *stage {
	s := &stage{T: t, net: simnet.New(1), hosts: 1}
	s.receiver = s.net.Host(netip.AddrFrom4([4]byte{10, 0, 0, 1}), line)
	s.sink = simEnd(t, s.receiver)
	s.ends = append(s.ends, s.sink)
	return s
}

// sender adds a host.
func (s *stage) sender(latency time.Duration) *simnet.Host {
	s.hosts++
	return s.net.Host(netip.AddrFrom4([4]byte{10, 0, 0, s.hosts}), simnet.Link{Latency: latency})
}

// flow sends from one connection to another, without end, and counts what arrives.
func (s *stage) flow(from, to net.Conn) *atomic.Int64 {
	s.conns = append(s.conns, from, to)
	var got atomic.Int64
	go func() {
		for p := make([]byte, 64<<10); ; {
			if _, err := from.Write(p); err != nil {
				return
			}
		}
	}()
	go func() {
		for p := make([]byte, 64<<10); ; {
			n, err := to.Read(p)
			got.Add(int64(n))
			if err != nil {
				return
			}
		}
	}()
	return &got
}

// utp begins a uTP flow from a host.
func (s *stage) utp(h *simnet.Host) *atomic.Int64 {
	e := simEnd(s.T, h)
	s.ends = append(s.ends, e)
	c, d := connect(s.T, e, s.sink)
	return s.flow(c, d)
}

// tcp begins a TCP flow from a host.
func (s *stage) tcp(h *simnet.Host) *atomic.Int64 {
	l, err := s.receiver.Listen(context.Background(), "tcp", ":0")
	if err != nil {
		s.Fatal(err)
	}
	defer l.Close()
	c, err := h.Dial(context.Background(), "tcp", fmt.Sprint(s.receiver.Addr(), ":", l.Addr().(*net.TCPAddr).Port))
	if err != nil {
		s.Fatal(err)
	}
	d, err := l.Accept()
	if err != nil {
		s.Fatal(err)
	}
	return s.flow(c, d)
}

// waits sends a small datagram through the line each 10 ms for a while, and returns the median of what each waits in queues.
func (s *stage) waits(h *simnet.Host, latency, during time.Duration) time.Duration {
	p, err := s.receiver.ListenPacket(context.Background(), "udp", ":7")
	if err != nil {
		s.Fatal(err)
	}
	defer p.Close()
	q, err := h.Dial(context.Background(), "udp", "10.0.0.1:7")
	if err != nil {
		s.Fatal(err)
	}
	defer q.Close()
	go func() {
		for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			b, _ := time.Now().MarshalBinary()
			if _, err := q.Write(b); err != nil {
				return
			}
		}
	}()
	var delays []time.Duration
	p.SetReadDeadline(time.Now().Add(during + time.Second))
	for b := make([]byte, 100); ; {
		n, _, err := p.ReadFrom(b)
		if err != nil {
			break
		}
		var sent time.Time
		if err := sent.UnmarshalBinary(b[:n]); err != nil {
			s.Fatal(err)
		}
		delays = append(delays, time.Since(sent)-latency)
	}
	slices.Sort(delays)
	return delays[len(delays)/2]
}

// during returns how much is counted meanwhile, in bytes a second.
func during(d time.Duration, counters ...*atomic.Int64) (rates []float64) {
	for _, c := range counters {
		rates = append(rates, -float64(c.Load()))
	}
	time.Sleep(d)
	for i, c := range counters {
		rates[i] = (rates[i] + float64(c.Load())) / d.Seconds()
	}
	return rates
}

func (s *stage) end() {
	for _, c := range s.conns {
		c.Close()
	}
	for _, e := range s.ends {
		e.close()
	}
}

var _ = io.EOF

func TestExperiment(t *testing.T) {
	for _, lat := range []time.Duration{25} {
		lat *= time.Millisecond
		for _, queue := range []int{125e3, 250e3, 500e3} {
			line := simnet.Link{Down: 2.5e6, Queue: queue}
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, line)
				u := s.utp(s.sender(lat))
				r := during(5*time.Second, u)
				r2 := during(60*time.Second, u)
				w := s.waits(s.sender(lat), lat, 30*time.Second)
				t.Logf("lat %v q %d: alone %.1f%% then %.1f%%, wait %v", lat, queue, r[0]/2.5e4, r2[0]/2.5e4, w)
				tc := s.tcp(s.sender(lat))
				during(5*time.Second, u)
				r = during(60*time.Second, u, tc)
				t.Logf("   utp first, tcp later: utp %.1f%% tcp %.1f%%", r[0]/2.5e4, r[1]/2.5e4)
				s.end()
			})
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, line)
				tc := s.tcp(s.sender(lat))
				r := during(30*time.Second, tc)
				u := s.utp(s.sender(lat))
				r2 := during(60*time.Second, u, tc)
				t.Logf("   tcp alone %.1f%%; utp later: utp %.1f%% tcp %.1f%%", r[0]/2.5e4, r2[0]/2.5e4, r2[1]/2.5e4)
				s.end()
			})
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, line)
				u := s.utp(s.sender(lat))
				during(30*time.Second, u)
				v := s.utp(s.sender(lat))
				for range 4 {
					r := during(30*time.Second, u, v)
					t.Logf("   two: first %.1f%% second %.1f%%", r[0]/2.5e4, r[1]/2.5e4)
				}
				w := s.waits(s.sender(lat), lat, 30*time.Second)
				t.Logf("   wait %v", w)
				s.end()
			})
		}
	}
}
