package utp

import (
	"bytes"
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// check fails if a machine contradicts itself.
func (m *machine) check() error {
	inFlight, missing, cut := 0, 0, m.outStart
	for i := range m.flight.len {
		p := m.flight.get(m.flight.first + uint16(i))
		if p.off != cut {
			return fmt.Errorf("packet %d begins at %d, the one before ended at %d", i, p.off, cut)
		}
		cut += int64(p.size)
		switch p.fate {
		case flying:
			inFlight += int(p.size)
		case lost:
			missing++
			if less(m.flight.first+uint16(i), m.resend) {
				return fmt.Errorf("packet %d is lost, but looked for only from %d on", m.flight.first+uint16(i), m.resend)
			}
		}
	}
	kept, bytes := 0, 0
	for _, b := range m.early.ring {
		if b != nil {
			kept++
			bytes += cost(b)
		}
	}
	switch {
	case m.status != dead && cut != m.cut:
		return fmt.Errorf("packets end at %d, not %d", cut, m.cut)
	case m.status != dead && m.cut > m.outStart+int64(m.out.len):
		return fmt.Errorf("cut up to %d of %d", m.cut, m.outStart+int64(m.out.len))
	case inFlight != m.inFlight || missing != m.lost:
		return fmt.Errorf("%d bytes fly and %d packets are lost, not %d and %d", inFlight, missing, m.inFlight, m.lost)
	case kept != m.early.count || bytes != m.early.bytes:
		return fmt.Errorf("%d early packets with %d bytes, not %d and %d", kept, bytes, m.early.count, m.early.bytes)
	case m.flight.len > maxFlight || m.early.count > maxEarly:
		return fmt.Errorf("%d packets in flight, %d early", m.flight.len, m.early.count)
	case m.in.len > m.window.size+maxDatagram || m.early.bytes > maxRoom+maxDatagram:
		return fmt.Errorf("%d and %d bytes are held, in a window of %d", m.in.len, m.early.bytes, m.window.size)
	case m.window.size < firstRoom || m.window.size > maxRoom:
		return fmt.Errorf("a window of %d", m.window.size)
	case !(m.ledbat.window >= minWindow*1000 && m.ledbat.window <= maxWindow):
		return fmt.Errorf("a congestion window of %f", m.ledbat.window)
	case m.path.size > m.path.limit || m.path.size < 1:
		return fmt.Errorf("a path of %d", m.path.size)
	}
	return nil
}

// weather is what happens to datagrams on a simulated path.
type weather struct {
	latency, jitter time.Duration
	loss, twice     float64 // probabilities
	mtu             int     // of the path; longer ones are lost if they may not be cut
	drift           float64 // by how much b's clock is faster
	ahead           time.Duration
}

// world has two machines and the path between them, in virtual time.
type world struct {
	testing.TB
	weather
	rand  *rand.Rand
	now   time.Duration
	a, b  *machine
	onWay arrivals
	order int
	sent  int // bytes of datagrams
}

type arrival struct {
	at    time.Duration
	order int
	to    *machine
	data  []byte
}

type arrivals []arrival

func (a arrivals) Len() int { return len(a) }
func (a arrivals) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].order < a[j].order
}
func (a arrivals) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *arrivals) Push(x any)   { *a = append(*a, x.(arrival)) }
func (a *arrivals) Pop() any {
	x := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return x
}

// newWorld makes two ends that have connected before the weather became bad.
func newWorld(t testing.TB, seed uint64, w weather) *world {
	if w.mtu == 0 {
		w.mtu = ethernet4
	}
	x := &world{TB: t, weather: w, rand: rand.New(rand.NewPCG(seed, 1)), now: time.Second}
	x.a = dial(x.now, 7, uint16(x.rand.Uint32()), maxDatagram)
	x.b = answer(x.clock(x.b), 7, x.a.flight.first, uint16(x.rand.Uint32()), maxDatagram)
	if seed%2 == 0 { // ours, or another's
		x.a.path.peer, x.b.path.peer = maxDatagram, maxDatagram
	}
	x.b.ackDue = true
	x.weather.loss = 0
	x.flush(x.a)
	x.flush(x.b)
	for x.a.status == connecting {
		x.step(never)
	}
	x.weather.loss = w.loss
	return x
}

// clock is the time by a machine's clock: b's has another epoch, and drifts.
func (x *world) clock(m *machine) time.Duration {
	if m == x.a {
		return x.now
	}
	return x.ahead + x.now + time.Duration(x.drift*float64(x.now))
}

// real is the opposite of clock.
func (x *world) real(m *machine, at time.Duration) time.Duration {
	if m == x.a || at == never {
		return at
	}
	return time.Duration(float64(at-x.ahead)/(1+x.drift)) + time.Microsecond
}

// flush puts on the way what a machine wants to send.
func (x *world) flush(m *machine) {
	for {
		o := newOutput(netip.AddrPort{})
		m.send(x.clock(m), o)
		if err := m.check(); err != nil {
			x.Fatal(err)
		}
		for i := range o.packets {
			for d := range o.packets[i].Datagrams {
				x.carry(m, d, o.packets[i].DontFragment)
			}
		}
		n := len(o.packets)
		o.free()
		if n == 0 {
			return
		}
	}
}

func (x *world) carry(from *machine, d []byte, whole bool) {
	to := x.a
	if from == x.a {
		to = x.b
	}
	x.sent += len(d)
	for n := 1; n > 0; n-- {
		if x.rand.Float64() < x.twice {
			n++
		}
		if len(d) > x.mtu && whole || x.rand.Float64() < x.loss {
			continue
		}
		at := x.now + x.latency
		if x.jitter > 0 {
			at += time.Duration(x.rand.Int64N(int64(x.jitter)))
		}
		x.order++
		heap.Push(&x.onWay, arrival{at, x.order, to, bytes.Clone(d)})
	}
}

// step does the next thing, and reports false if there is none before a time.
func (x *world) step(until time.Duration) bool {
	m, at := x.a, x.a.deadline()
	if b := x.real(x.b, x.b.deadline()); b < at {
		m, at = x.b, b
	}
	if len(x.onWay) > 0 && x.onWay[0].at <= at {
		if x.onWay[0].at > until {
			return false
		}
		p := heap.Pop(&x.onWay).(arrival)
		x.now = p.at
		var q packet
		if !parse(p.data, &q) {
			x.Fatal("a packet of ours is none")
		}
		p.to.receive(x.clock(p.to), &q)
		m = p.to
	} else {
		if at > until {
			return false
		}
		x.now = max(x.now, at)
		m.expire(x.clock(m))
	}
	if err := m.check(); err != nil {
		x.Fatal(err)
	}
	x.flush(m)
	return true
}

// transfer writes to one end and reads from the other until all has come, and returns how long that took.
func (x *world) transfer(from, to *machine, want []byte, limit time.Duration) time.Duration {
	start, end := x.now, x.now+limit
	var got []byte
	p := make([]byte, 100_000)
	for left := want; ; {
		if n := min(len(left), max(from.writable(), 0)); n > 0 {
			from.write(left[:n])
			left = left[n:]
			x.flush(from)
		}
		if len(left) == 0 && !from.fin {
			from.endWrite()
			x.flush(from)
		}
		if n := to.read(x.clock(to), p[:x.rand.IntN(len(p))]); n > 0 {
			got = append(got, p[:n]...)
			x.flush(to)
			continue
		}
		if to.eof && to.in.len == 0 && from.ended() {
			break
		}
		if !x.step(end) || from.status == dead || to.status == dead {
			x.Fatalf("after %v: %d of %d bytes have come; %v, %v", x.now-start, len(got), len(want), from.err, to.err)
		}
	}
	if !bytes.Equal(got, want) {
		x.Fatalf("%d other bytes came, not %d", len(got), len(want))
	}
	return x.now - start
}

// TestWeather: whatever a path does, all comes as it was written.
func TestWeather(t *testing.T) {
	for _, w := range []weather{
		{},
		{latency: time.Millisecond, mtu: maxDatagram},
		{latency: 20 * time.Millisecond, jitter: 30 * time.Millisecond},
		{latency: 20 * time.Millisecond, loss: 0.05, twice: 0.05},
		{latency: 5 * time.Millisecond, jitter: 20 * time.Millisecond, loss: 0.05, twice: 0.1},
		{latency: 100 * time.Millisecond, loss: 0.2, mtu: 1300},
		{latency: 3 * time.Millisecond, loss: 0.02, mtu: 9000, ahead: time.Hour, drift: 1e-4},
	} {
		t.Run(fmt.Sprintf("%+v", w), func(t *testing.T) {
			for seed := range uint64(5) {
				x := newWorld(t, seed, w)
				x.transfer(x.a, x.b, content(300_000, seed), 10*time.Minute)
				x.transfer(x.b, x.a, content(100_000, seed+1), 10*time.Minute)
			}
		})
	}
}

// FuzzWeather is TestWeather with any weather.
func FuzzWeather(f *testing.F) {
	f.Add(uint64(1), uint8(10), uint8(0), uint8(5), uint8(5), uint16(1400), uint16(60000))
	f.Add(uint64(2), uint8(0), uint8(40), uint8(20), uint8(0), uint16(9000), uint16(10))
	f.Add(uint64(3), uint8(200), uint8(200), uint8(0), uint8(50), uint16(65000), uint16(1))
	f.Fuzz(func(t *testing.T, seed uint64, latency, jitter, loss, twice uint8, mtu, size uint16) {
		x := newWorld(t, seed, weather{
			latency: time.Duration(latency) * time.Millisecond, jitter: time.Duration(jitter) * time.Millisecond,
			loss: min(float64(loss)/256, 0.08), twice: min(float64(twice)/256, 0.5), mtu: max(int(mtu), basePath),
		})
		x.transfer(x.a, x.b, content(int(size), seed), time.Hour)
		x.transfer(x.b, x.a, content(int(size)/3, seed), time.Hour)
	})
}
