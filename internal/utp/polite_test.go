package utp

import (
	"context"
	"fmt"
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

// The line of these tests: 20 Mbit/s with a queue of 100 ms in front, of which packets of Ethernet carry 96.8 % as payload.
const (
	lineRate = 2.5e6
	payload  = 1452.0 / 1500
)

// long is how long is measured: what the race detector slows is run again without it.
const long = 25*time.Second - race*18*time.Second

var line = simnet.Link{Down: lineRate, Queue: lineRate / 10}

// TestCrowdedAlone: a flow that has a line for itself fills it, and hardly delays others.
func TestCrowdedAlone(t *testing.T) {
	for _, rtt := range []time.Duration{10 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond} {
		t.Run(rtt.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, line)
				defer s.end()
				flow := s.utp(s.sender(rtt / 2))
				during(5*time.Second, flow)
				wait := make(chan time.Duration, 1)
				go func() { wait <- s.waits(s.sender(rtt/2), rtt/2, long) }()
				got := during(long, flow)[0] / lineRate / payload
				w := <-wait
				t.Logf("%.1f %% of the line, %v in the queue", 100*got, w)
				if got < 0.95 || w > 25*time.Millisecond {
					t.Errorf("%.1f %% of the line, %v in the queue", 100*got, w)
				}
			})
		})
	}
}

// TestCrowdedBesideTCP: a TCP flow keeps the line, whoever came first, in the downlink of the one who receives and in the uplink of the one who
// sends.
func TestCrowdedBesideTCP(t *testing.T) {
	for _, c := range []struct {
		name     string
		first    bool // uTP is
		down, up simnet.Link
	}{
		{"uTP first, downlink", true, line, simnet.Link{}},
		{"TCP first, downlink", false, line, simnet.Link{}},
		{"uTP first, uplink", true, simnet.Link{}, simnet.Link{Up: lineRate, Queue: line.Queue}},
		{"TCP first, uplink", false, simnet.Link{}, simnet.Link{Up: lineRate, Queue: line.Queue}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, c.down)
				defer s.end()
				var utp, tcp *atomic.Int64
				h := s.sender(25 * time.Millisecond)
				if c.up.Latency = 25 * time.Millisecond; c.up.Up > 0 {
					h.SetLink(c.up)
				}
				if c.first {
					utp = s.utp(h)
				} else {
					tcp = s.tcp(h)
				}
				time.Sleep(5 * time.Second)
				if c.first {
					tcp = s.tcp(h)
				} else {
					utp = s.utp(h)
				}
				time.Sleep(3 * time.Second)
				got := during(long, tcp, utp)
				t.Logf("TCP has %.1f %% of the line, uTP %.1f %%", 100*got[0]/lineRate, 100*got[1]/lineRate)
				if got[0]/lineRate < 0.9 {
					t.Errorf("TCP has %.1f %% of the line, uTP %.1f %%", 100*got[0]/lineRate, 100*got[1]/lineRate)
				}
			})
		})
	}
}

// TestCrowdedLatecomer: of two flows, the one that begins later gets its half.
func TestCrowdedLatecomer(t *testing.T) {
	for _, rtt := range []time.Duration{10 * time.Millisecond, 50 * time.Millisecond} {
		t.Run(rtt.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, line)
				defer s.end()
				a := s.utp(s.sender(rtt / 2))
				time.Sleep(5 * time.Second)
				b := s.utp(s.sender(rtt / 2))
				time.Sleep(10 * time.Second)
				got := during(long, a, b)
				share := got[1] / (got[0] + got[1])
				t.Logf("it gets %.1f %%, and both %.1f %% of the line", 100*share, 100*(got[0]+got[1])/lineRate/payload)
				if share < 0.4 || share > 0.6 {
					t.Errorf("it gets %.1f %%", 100*share)
				}
			})
		})
	}
}

// TestCrowdedGigabit: 1 Gbit/s at 50 ms, 4,300 packets on their way.
func TestCrowdedGigabit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, simnet.Link{Down: 125e6})
		defer s.end()
		flow := s.utp(s.sender(25 * time.Millisecond))
		time.Sleep(time.Second)
		got := during(time.Second-race*700*time.Millisecond, flow)[0] / 125e6
		t.Logf("%.1f %% of the line", 100*got)
		if got < 0.9 {
			t.Errorf("%.1f %% of the line", 100*got)
		}
	})
}

// TestCrowdedLossyLine: losses by chance are not taken for a full line at once, though they are for congestion.
func TestCrowdedLossyLine(t *testing.T) {
	for _, loss := range []float64{0.001, 0.01, 0.05} {
		t.Run(fmt.Sprint(loss), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lossy := line
				lossy.Loss = loss
				s := newStage(t, lossy)
				defer s.end()
				utp := s.utp(s.sender(25 * time.Millisecond))
				tcp := newStage(t, lossy)
				defer tcp.end()
				other := tcp.tcp(tcp.sender(25 * time.Millisecond))
				got := during(long, utp, other)
				t.Logf("uTP %.0f kB/s, TCP without uTP beside it %.0f kB/s", got[0]/1e3, got[1]/1e3)
				if got[0] < got[1]/4 || got[0] < 30e3 {
					t.Errorf("%.0f kB/s, where TCP has %.0f kB/s", got[0]/1e3, got[1]/1e3)
				}
			})
		})
	}
}
