package utp

import "time"

// mss is how long a packet of data is at most, header included: no longer than Ethernet's but where a window has some of it.
func (m *machine) mss() int {
	return min(m.path.size, max(ethernet4, int(m.ledbat.window)/8))
}

// send adds to o what is to be sent now, as far as there is room. Whoever calls it sends that and calls it again, until it adds
// nothing.
func (m *machine) send(now time.Duration, o *output) {
	if m.status == dead {
		return
	}
	before := o.used
	m.sendLost(now, o)
	if m.status == open && m.lost == 0 {
		m.sendNew(now, o)
		m.sendFin(now, o)
		m.sendProbe(now, o)
	}
	if m.ackDue && o.fits(headerLen+2+bitsLen+2+maxSack) {
		if o.used == before || m.early.count > 0 || m.path.tell > 0 {
			m.sendState(now, o, 0)
		}
		m.ackDue = false
	}
	m.stall(now)
	if m.closed && m.ended() && !m.ackDue {
		m.finish()
	}
}

// sendLost sends what is lost again.
func (m *machine) sendLost(now time.Duration, o *output) {
	for m.lost > 0 {
		for m.flight.get(m.resend).fate != lost {
			m.resend++
		}
		p := m.flight.get(m.resend)
		if !o.fits(headerLen+2+bitsLen+int(p.size)) || m.inFlight > 0 && m.inFlight+int(p.size) > int(m.ledbat.window) {
			return
		}
		m.lost--
		m.transmit(now, m.resend, o)
	}
}

// sendNew cuts packets from what was written and sends them.
func (m *machine) sendNew(now time.Duration, o *output) {
	for m.flight.len < maxFlight && o.fits(max(m.mss(), ethernet6)) {
		rest := int(m.outStart + int64(m.out.len) - m.cut)
		n := min(rest, m.mss()-headerLen)
		probe := 0
		if m.path.peer == 0 && rest >= ethernet6 {
			if probe = m.path.due(now); probe > 0 {
				n = probe - headerLen
			}
		}
		ahead := int(m.cut - m.outStart) // that the other may have to hold
		switch {
		case n == 0:
			return
		case m.force: // the window may have opened, and the news of it be lost
			m.force = false
		case ahead+n > m.peerWindow && (ahead > 0 || m.peerWindow == 0):
			return
		case m.inFlight > 0 && m.inFlight+n > int(m.ledbat.window):
			return
		}
		m.push(now, kindData, n)
		if probe > 0 {
			m.flight.get(m.nextSeq() - 1).probe = true
			m.path.sent(now, probe, &m.trip)
		}
		m.transmit(now, m.nextSeq()-1, o)
	}
}

// sendFin sends a FIN once all that was written is sent.
func (m *machine) sendFin(now time.Duration, o *output) {
	if m.fin && !m.finSent && m.cut == m.outStart+int64(m.out.len) && o.fits(headerLen) {
		m.finSent = true
		m.push(now, kindFin, 0)
		m.transmit(now, m.nextSeq()-1, o)
	}
}

// push adds a packet with the next n bytes of what was written.
func (m *machine) push(now time.Duration, k kind, n int) {
	if m.flight.len == 0 {
		m.progress = now
	}
	p := m.flight.push()
	p.kind, p.off, p.size = k, m.cut, uint16(n)
	m.cut += int64(n)
	m.inFlight += n
}

// transmit sends a packet that is in flight, for the first time or again.
func (m *machine) transmit(now time.Duration, seq uint16, o *output) {
	p := m.flight.get(seq)
	if p.fate == lost {
		p.fate = flying
		m.inFlight += int(p.size)
	}
	p.tries = min(p.tries+1, 100)
	p.at = now
	p.n = m.flight.number(seq)
	if p.kind == kindSyn {
		m.sendSyn(now, seq, o)
		return
	}
	b := o.add(headerLen+int(p.size), p.probe && p.tries == 1)
	h := m.header(now, p.kind, seq)
	h.put(b, extEnd)
	m.out.at(int(p.off-m.outStart), b[headerLen:])
}

// header returns the header of a packet that is sent now.
func (m *machine) header(now time.Duration, k kind, seq uint16) header {
	m.spoke = now
	m.offered = m.room()
	return header{kind: k, id: m.sendID, time: max(1, micros(now)), diff: m.reply, window: uint32(m.offered), seq: seq, ack: m.got}
}

// sendSyn sends a SYN, which tells how long a datagram we read.
func (m *machine) sendSyn(now time.Duration, seq uint16, o *output) {
	b := o.add(headerLen+2+bitsLen, false)
	h := m.header(now, kindSyn, seq)
	h.id = m.recvID
	h.put(b, extBits)
	putLargest(b[headerLen:], extEnd, m.path.limit)
}

// putLargest writes an extension that has a length.
func putLargest(b []byte, next byte, n int) {
	b[0], b[1] = next, bitsLen
	copy(b[2:], bitsMagic)
	be.PutUint32(b[6:], uint32(n))
}

// sendState sends an acknowledgement, or a probe of the path of so many bytes, which is one with padding.
func (m *machine) sendState(now time.Duration, o *output, probe int) {
	var mask [maxSack]byte
	sack := m.early.mask(m.got, mask[:])
	tell := m.path.tell > 0 && m.path.peer > 0
	ext, n := byte(extEnd), headerLen
	if sack > 0 {
		ext, n = extSack, n+2+sack
	}
	if tell {
		m.path.tell--
		ext, n = extBits, n+2+bitsLen
	}
	b := o.add(max(n, probe), probe > 0)
	h := m.header(now, kindState, m.nextSeq())
	h.put(b, ext)
	b = b[headerLen:]
	if tell {
		next := byte(extEnd)
		if sack > 0 {
			next = extSack
		}
		putLargest(b, next, m.path.largest)
		b = b[2+bitsLen:]
	}
	if sack > 0 {
		b[0], b[1] = extEnd, byte(sack)
		copy(b[2:], mask[:sack])
		b = b[2+sack:]
	}
	clear(b)
}

// sendProbe sends a probe of the path to one of our own, while there is something to send: an idle connection needs none.
func (m *machine) sendProbe(now time.Duration, o *output) {
	if m.path.peer == 0 || m.out.len < basePath || !o.fits(max(ethernet4, m.path.next())) {
		return
	}
	if n := m.path.due(now); n > 0 && n <= max(ethernet4, int(m.ledbat.window)/4) {
		m.path.sent(now, n, &m.trip)
		m.sendState(now, o, n)
	}
}

// stall notes whether the other's window holds everything up.
func (m *machine) stall(now time.Duration) {
	held := m.status == open && m.flight.len == 0 && m.cut < m.outStart+int64(m.out.len)
	if !held {
		m.stalled = 0
	} else if m.stalled == 0 {
		m.stalled = max(now, 1)
	}
}
