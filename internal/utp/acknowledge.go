package utp

import (
	"math/bits"
	"time"
)

// acks is what one packet has acknowledged.
type acks struct {
	bytes int
	trip  time.Duration // shortest of packets that were sent once; 0: there is none
}

// acknowledge takes what a packet says of those that we sent.
func (m *machine) acknowledge(now time.Duration, p *packet) {
	before, full := m.flight.first, m.full()
	window := min(int(p.window), maxWindow)
	if p.diff != 0 && p.diff != 1<<31-1 { // which is what some say that have no sample
		m.delays.add(now, p.diff)
	}
	var a acks
	newly := int16(p.ack-(before-1)) > 0
	if newly {
		m.arriveUntil(now, p.ack, &a)
	}
	if !less(p.ack, m.flight.first-1) {
		if window > m.peerWindow {
			m.backOff = 0
		}
		m.peerWindow = window
		if len(p.sack) > 0 {
			m.arriveMask(now, p.ack+2, p.sack, &a)
		}
		m.duplicate(now, p, newly)
	}
	if a.trip > 0 {
		m.trip.add(a.trip)
	}
	m.judge(now)
	if a.bytes > 0 || newly {
		m.progress = now
		m.tailProbes = 0
		m.backOff = 0
	}
	if a.bytes > 0 {
		m.ledbat.acked(&news{now: now, bytes: a.bytes, mss: m.mss(), delay: m.queueing(), full: full,
			arrived: m.newest, sent: m.flight.count}, &m.trip)
	}
}

// queueing is the queueing delay, which is never more than a whole round trip.
func (m *machine) queueing() time.Duration {
	return min(m.delays.queueing(), m.trip.smooth+4*m.trip.deviation)
}

// full reports whether the congestion window is what holds us up.
func (m *machine) full() bool { return m.inFlight+2*m.mss() > int(m.ledbat.window) || m.lost > 0 }

// arriveUntil takes that all packets up to one have arrived.
func (m *machine) arriveUntil(now time.Duration, ack uint16, a *acks) {
	end := m.outStart
	for m.flight.len > 0 && !less(ack, m.flight.first) {
		p := m.flight.get(m.flight.first)
		m.arrive(now, p, a)
		end = max(end, p.off+int64(p.size))
		m.flight.pop()
	}
	m.out.discard(int(end - m.outStart))
	m.outStart = end
	if less(m.resend, m.flight.first) {
		m.resend = m.flight.first
	}
	m.dupAcks = 0
}

// arriveMask takes a selective acknowledgement: bit i is of the packet i after first.
func (m *machine) arriveMask(now time.Duration, first uint16, mask []byte, a *acks) {
	for i, b := range mask {
		for ; b != 0; b &= b - 1 {
			seq := first + uint16(8*i+bits.TrailingZeros8(b))
			if m.flight.has(seq) {
				m.arrive(now, m.flight.get(seq), a)
			}
		}
	}
}

// arrive takes that a packet has arrived.
func (m *machine) arrive(now time.Duration, p *sent, a *acks) {
	switch p.fate {
	case arrived:
		return
	case flying:
		m.inFlight -= int(p.size)
	case lost:
		m.lost--
	}
	trip := now - p.at
	switch {
	case p.tries == 1:
		if a.trip == 0 || trip < a.trip {
			a.trip = trip
		}
		if p.fate == lost { // it was only late
			m.late()
		}
		if p.probe {
			m.path.confirm(now, int(p.size)+headerLen)
		}
	case trip < m.trip.least/2: // the first one has arrived
		m.late()
	}
	p.fate = arrived
	a.bytes += int(p.size)
	if int32(p.n+1-m.newest) > 0 {
		m.newest = p.n + 1
	}
}

// late tells that a packet which was thought lost was overtaken by others.
func (m *machine) late() { m.reordering = min(2*m.reordering, maxReordering) }

// judge finds what is lost: what was sent before others that have arrived (RFC 8985 §6.2, with a distance instead of a time).
//
// Where too few follow, some time does instead.
func (m *machine) judge(now time.Duration) {
	known := m.flight.known
	for int32(m.newest-m.flight.known-m.reordering) > 0 {
		m.judgeNext(now)
	}
	for int32(m.newest-m.flight.known) > 0 && !m.flight.matters() {
		m.flight.known++
	}
	switch {
	case int32(m.newest-m.flight.known) <= 0:
		m.suspect = 0
	case m.suspect == 0 || m.flight.known != known:
		m.suspect = now + max(m.trip.smooth/4, minSuspicion)
	}
}

// minSuspicion is the least time after which a packet is lost that another has overtaken.
const minSuspicion = 5 * time.Millisecond

// judgeLate takes for lost all that others have overtaken, as it was waited for long enough.
func (m *machine) judgeLate(now time.Duration) {
	for m.suspect = 0; int32(m.newest-m.flight.known) > 0; {
		m.judgeNext(now)
	}
}

// judgeNext takes the oldest transmission of which nothing is known for lost.
func (m *machine) judgeNext(now time.Duration) {
	seq, ok := m.flight.next()
	if !ok {
		return
	}
	m.lose(seq)
	p := m.flight.get(seq)
	if p.probe && p.tries == 1 {
		m.path.tries = pathProbes
		m.path.failed(now)
		return // too long, and no sign of congestion
	}
	m.shrink(now, p.n)
}

// shrink makes the window smaller for the loss of a transmission, once in a round trip.
func (m *machine) shrink(now time.Duration, n uint32) {
	if int32(n-m.recovery) < 0 {
		return
	}
	m.recovery = m.flight.count
	m.ledbat.lost(now, m.mss(), m.queueing(), &m.trip)
}

// lose has a packet that is flying sent again.
func (m *machine) lose(seq uint16) {
	if m.lost == 0 || less(seq, m.resend) {
		m.resend = seq
	}
	p := m.flight.get(seq)
	p.fate = lost
	m.inFlight -= int(p.size)
	m.lost++
}

// duplicate counts acknowledgements that say nothing new: three of them, of one that tells nothing selectively, mean that the
// next packet is lost (BEP 29).
func (m *machine) duplicate(now time.Duration, p *packet, newly bool) {
	if newly || p.kind != kindState || len(p.sack) > 0 || m.flight.len == 0 || p.ack != m.flight.first-1 {
		return
	}
	if m.dupAcks++; m.dupAcks == 3 {
		if q := m.flight.get(m.flight.first); q.fate == flying {
			m.lose(m.flight.first)
			m.shrink(now, q.n)
		}
	}
}
