package utp

import (
	"os"
	"syscall"
	"time"
)

// never is later than anything.
const never = 1<<63 - 1

// deadline returns when expire has to be called.
func (m *machine) deadline() time.Duration {
	if m.status == dead {
		return never
	}
	at := m.spoke + keepAlive
	if m.flight.len > 0 {
		at = min(at, m.progress+m.wait())
	}
	if m.suspect > 0 {
		at = min(at, m.suspect)
	}
	if m.stalled > 0 {
		at = min(at, m.stalled+m.trip.timeout(m.backOff))
	}
	if m.path.probe > 0 && m.path.peer > 0 {
		at = min(at, m.path.until)
	}
	if m.closed {
		at = min(at, m.linger)
	}
	return at
}

// wait is how long after the last progress something is done about what is in flight.
func (m *machine) wait() time.Duration {
	timeout := m.trip.timeout(m.backOff)
	if m.tailProbes == maxTailProbes || m.status == connecting || m.backOff > 0 {
		return timeout
	}
	return min(m.trip.tail()<<m.tailProbes, timeout)
}

// expire does what is due.
func (m *machine) expire(now time.Duration) {
	switch {
	case m.status == dead:
		return
	case m.closed && now >= m.linger:
		m.fail(os.NewSyscallError("write", syscall.ETIMEDOUT))
		return
	}
	if m.suspect > 0 && now >= m.suspect {
		m.judgeLate(now)
	}
	switch {
	case m.flight.len > 0 && now >= m.progress+m.wait():
		m.timeout(now)
	case m.stalled > 0 && now >= m.stalled+m.trip.timeout(m.backOff):
		m.stalled = now
		m.force = true
		m.countTimeout()
	}
	if m.path.probe > 0 && m.path.peer > 0 && now >= m.path.until {
		m.path.failed(now)
	}
	if now >= m.spoke+keepAlive && m.status == open {
		m.ackDue = true // so that routers on the way do not forget us
	}
}

// timeout is called when nothing has come back for too long.
func (m *machine) timeout(now time.Duration) {
	if m.wait() < m.trip.timeout(m.backOff) {
		m.tailProbes++
		m.probeTail()
		return
	}
	if m.countTimeout(); m.status == dead {
		return
	}
	m.progress = now
	m.tailProbes = 0
	for i := range m.flight.len {
		seq := m.flight.first + uint16(i)
		if p := m.flight.get(seq); p.fate == flying {
			m.lose(seq)
			if p.probe && p.tries == 1 {
				m.path.tries = pathProbes
				m.path.failed(now)
			}
		}
	}
	m.flight.forget()
	m.suspect = 0
	m.newest, m.recovery = m.flight.count, m.flight.count
	m.ledbat.timedOut(now, m.mss())
	if m.backOff > 1 {
		m.path.shrink(now)
	}
}

// countTimeout gives the connection up after too many.
func (m *machine) countTimeout() {
	m.timeouts++
	m.backOff++
	if m.timeouts > maxTimeouts || m.status == connecting && m.timeouts >= maxTries {
		m.fail(os.NewSyscallError("connect", syscall.ETIMEDOUT))
	}
}

// maxTailProbes is how often the last packet is sent again before there is a timeout: the answer may be lost too.
const maxTailProbes = 2

// probeTail sends the last packet that is flying again, so that the answer tells what is lost (RFC 8985 §7).
func (m *machine) probeTail() {
	for i := m.flight.len - 1; i >= 0; i-- {
		seq := m.flight.first + uint16(i)
		if m.flight.get(seq).fate == flying {
			m.lose(seq)
			return
		}
	}
}
