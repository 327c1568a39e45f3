package utp

import "time"

// take takes the part of a packet that is for the reader.
func (m *machine) take(p *packet) {
	if p.kind != kindData && p.kind != kindFin || m.status == dead {
		return
	}
	m.ackDue = true
	d := int(int16(p.seq - m.got))
	if p.kind == kindFin {
		if d > 0 && !m.finKnown {
			m.finKnown, m.finSeq = true, p.seq
		}
	} else if d > 0 && !(m.finKnown && !less(p.seq, m.finSeq)) {
		m.takeData(d, p.payload)
	}
	if m.finKnown && m.got+1 == m.finSeq && !m.eof {
		m.got++
		m.eof = true
		m.early.release()
	}
}

// takeData takes a packet d places after the last one in order.
func (m *machine) takeData(d int, payload []byte) {
	switch {
	case d == 1 && m.closed:
		m.got++
	case d == 1 && m.in.len < m.limit():
		m.got++
		m.in.write(payload)
	case d > 1 && d < maxEarly && m.in.len+m.early.bytes+len(payload) <= m.limit():
		m.early.put(m.got, d, payload)
		return
	default:
		return // there is no room; it comes again
	}
	for m.early.has(m.got + 1) {
		m.got++
		if m.early.take(m.got, &m.in); m.closed {
			m.in.release()
		}
	}
}

// read moves what has come to p and returns how much.
func (m *machine) read(now time.Duration, p []byte) int {
	n := m.in.read(p)
	m.consumed(now, n)
	return n
}

// consumed tells that so much was read: when there is much more room than the other end knows, it is told.
func (m *machine) consumed(now time.Duration, n int) {
	m.window.consumed(now, n, m.trip.least)
	if m.status == open && m.room()-m.offered >= m.window.size/4 && !m.eof {
		m.ackDue = true
	}
}

// limit is how many bytes may be held for the reader.
func (m *machine) limit() int {
	if m.tight {
		return leastRoom
	}
	return m.window.size
}

// room is the window to offer.
func (m *machine) room() int { return max(0, m.limit()-m.in.len) }

// held is how many bytes are held for the reader.
func (m *machine) held() int { return m.in.len + m.early.bytes }
