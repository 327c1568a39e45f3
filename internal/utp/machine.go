package utp

import (
	"os"
	"syscall"
	"time"
)

// status is where a connection is in its life.
type status uint8

const (
	connecting status = iota // a SYN was sent
	open
	dead // nothing more is sent or taken
)

const (
	maxDatagram   = 65_000 // bytes: what IPv4 and IPv6 carry, headers of tunnels taken off
	maxFlight     = 16_000 // packets; sequence numbers tell half of 65,536 apart
	maxTries      = 5      // of a SYN: 31 s
	maxTimeouts   = 6      // in a row without a word: 64 s at least
	keepAlive     = 29 * time.Second
	lingerTime    = 30 * time.Second // for what was written before a connection was closed
	maxReordering = 1 << 10
)

// machine is one end of a connection (BEP 29) without a clock, a socket or a lock: packets and times go in, packets, times
// and bytes come out. Times count from any moment on. After whatever was called, send has to be called until it adds nothing,
// and then expire at the time that deadline returns.
type machine struct {
	sendID, recvID uint16
	status         status
	err            error // why it is dead; nil if it has ended as it should

	// Sending.
	out        buffer // what was written and is not acknowledged
	outStart   int64  // its place in the stream
	cut        int64  // up to here the stream is in packets
	flight     flight
	inFlight   int           // bytes of payload that are flying
	newest     uint32        // of the transmissions that have arrived, and one more
	reordering uint32        // so many transmissions later it is lost (RFC 8985 §6.2)
	suspect    time.Duration // when what was overtaken is lost; 0: nothing was
	recovery   uint32        // a loss of a transmission before is of a round trip that the window has shrunk for
	lost       int           // packets that have to be sent again
	resend     uint16        // none before it has
	dupAcks    int
	peerWindow int
	fin        bool // to be sent behind what was written
	finSent    bool
	tailProbes int           // how often a packet was sent again to learn what is lost
	force      bool          // one packet may be sent beyond the other's window
	timeouts   int           // in a row without a word from the other
	backOff    int           // timeouts in a row without progress
	progress   time.Duration // since when the timeout runs
	stalled    time.Duration // since when the other's window holds all up; 0: it does not
	spoke      time.Duration // when something was last sent
	ledbat     ledbat
	delays     delays
	trip       roundTrip
	path       path

	// Receiving.
	in       buffer // what can be read
	got      uint16 // all up to it have arrived
	early    early
	reply    uint32 // µs, how long the last packet was on its way by both clocks
	theirs   delays
	ackDue   bool
	offered  int // the window that was last told
	window   window
	tight    bool // the socket holds too much
	finSeq   uint16
	finKnown bool
	eof      bool
	closed   bool // nobody reads any more
	linger   time.Duration
}

func newMachine(now time.Duration, sendID, recvID, seq uint16, limit int) *machine {
	m := &machine{sendID: sendID, recvID: recvID, reordering: 3, peerWindow: firstPeerWindow, spoke: now, progress: now}
	m.flight.first = seq
	m.path.limit = limit
	m.path.size = min(basePath, limit)
	m.ledbat = newLedbat(m.path.size)
	m.window.size = firstRoom
	return m
}

// firstPeerWindow is what the other may take before it has said how much.
const firstPeerWindow = 64 << 10

// dial returns a machine that connects.
func dial(now time.Duration, recvID, seq uint16, limit int) *machine {
	m := newMachine(now, recvID+1, recvID, seq, limit)
	m.push(now, kindSyn, 0)
	m.lose(m.flight.first) // it has to be sent
	return m
}

// answer returns a machine that was connected to by a SYN, which was answered with the sequence number seq.
func answer(now time.Duration, synID, synSeq, seq uint16, limit int) *machine {
	m := newMachine(now, synID, synID+1, seq, limit)
	m.status = open
	m.got = synSeq
	return m
}

// nextSeq is the sequence number of the next new packet.
func (m *machine) nextSeq() uint16 { return m.flight.first + uint16(m.flight.len) }

// receive takes a packet of the connection. It reports whether a reader or writer may have something to do.
func (m *machine) receive(now time.Duration, p *packet) (woke bool) {
	if m.status == dead {
		return false
	}
	if p.kind == kindSyn {
		m.ackDue = m.status == open && p.seq == m.got // our answer was lost
		return false
	}
	behind := m.flight.first - 1 - p.ack // how far the acknowledgement is behind the last one
	ahead := int(p.ack - (m.flight.first - 1))
	if int16(behind) <= 0 && ahead > m.flight.len {
		return false // of what was not sent: of another connection, or forged
	}
	if p.kind == kindReset {
		if behind > 3 && int16(behind) > 0 {
			return false
		}
		m.fail(m.resetError())
		return true
	}
	if m.status == connecting {
		if ahead != m.flight.len || m.flight.count == 0 { // of another SYN, or before ours was sent
			return false
		}
		m.status = open
		m.got = p.seq - 1
		m.ackDue = true // so that the other knows that we are where we say
		woke = true
	}
	m.timeouts = 0
	m.measure(now, p)
	m.acknowledge(now, p)
	had := m.in.len
	m.take(p)
	return woke || m.in.len > had || m.eof || m.status == dead
}

// resetError is what a reset means.
func (m *machine) resetError() error {
	if m.status == connecting {
		return os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}
	return os.NewSyscallError("read", syscall.ECONNRESET)
}

// measure takes the times in a packet.
func (m *machine) measure(now time.Duration, p *packet) {
	if p.time != 0 {
		m.reply = max(1, micros(now-p.waited)-p.time) // that we are slow is no sign of a full line
		// If the other's clock is the faster one, its packets seem to take less and less time, and ours more and more.
		if drift := m.theirs.add(now, m.reply); drift < 0 {
			m.delays.shift(uint32(-drift))
		}
	}
	if p.largest > 0 {
		m.path.told(now, p.largest)
	}
	m.path.heard(p.size)
}

// micros is a time as packets tell it.
func micros(now time.Duration) uint32 { return uint32(now / time.Microsecond) }

// writable returns how many more bytes may be written: as many as are on their way twice, so that a slow connection holds little.
func (m *machine) writable() int { return max(minOut, 2*int(m.ledbat.window)) - m.out.len }

// roomy is for how much room a writer that waits is woken.
func (m *machine) roomy() int { return max(minOut, 2*int(m.ledbat.window)) / 4 }

// minOut is how many bytes a connection holds for its peer at least, if they are written.
const minOut = 32 << 10

// write takes bytes to send, at most writable.
func (m *machine) write(p []byte) { m.out.write(p) }

// endWrite sends a FIN behind what was written.
func (m *machine) endWrite() { m.fin = true }

// close ends both directions: what was written is still sent, for a while, and what comes is dropped.
func (m *machine) close(now time.Duration) {
	m.fin, m.closed = true, true
	m.linger = now + lingerTime
	m.in.release()
	m.early.release()
	if m.status == connecting {
		m.fail(nil)
	}
}

// ended reports whether the other has all that was written, and knows.
func (m *machine) ended() bool { return m.finSent && m.flight.len == 0 }

// fail ends the connection at once. What has come can still be read.
func (m *machine) fail(err error) {
	if m.status == dead {
		return
	}
	m.err = err
	m.finish()
}

func (m *machine) finish() {
	m.status = dead
	m.out.release()
	m.early.release()
	m.flight = flight{first: m.flight.first}
	m.lost, m.inFlight = 0, 0
}
