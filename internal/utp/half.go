package utp

import "time"

const (
	maxHalf  = 4096             // connections that were answered and not confirmed, in all; the oldest go first
	halfTime = 20 * time.Second // that one may take
)

// half remembers whom a SYN was answered, until something comes that knows of the answer: only then is the sender where it says it
// is. Nothing else is kept for a SYN.
type half struct {
	entries map[key]halfOpen
	order   []key // as they came; some are not there any more
}

type halfOpen struct {
	id, synSeq uint16 // of the SYN
	seq        uint16 // of the first packet that we will send
	largest    int    // that the other end reads
	at         time.Duration
}

// knock takes a SYN and returns the answer, nil if there is none. more says whether there may be another connection.
func (h *half) knock(now time.Duration, k key, p *packet, more bool) *packet {
	e, known := h.entries[k]
	if known && e.synSeq != p.seq {
		known = false // of another connection
	}
	if !known {
		if !more {
			return nil
		}
		e = halfOpen{id: p.id, synSeq: p.seq, seq: random(), largest: p.largest, at: now}
		h.put(now, k, e)
	}
	return &packet{
		header: header{kind: kindState, id: e.id, time: max(1, micros(now)), diff: max(1, micros(now)-p.time), window: firstRoom,
			seq: e.seq, ack: e.synSeq},
		largest: p.largest,
	}
}

func (h *half) put(now time.Duration, k key, e halfOpen) {
	if h.entries == nil {
		h.entries = map[key]halfOpen{}
	}
	for len(h.order) > 0 {
		oldest := h.order[0]
		o, ok := h.entries[oldest]
		if ok && len(h.order) < maxHalf && now-o.at < halfTime {
			break
		}
		if ok {
			delete(h.entries, oldest)
		}
		h.order = h.order[1:]
	}
	h.entries[k] = e
	h.order = append(h.order, k)
}

func (h *half) drop(k key) { delete(h.entries, k) }

// confirm removes and returns the entry of a packet, if it acknowledges our answer.
func (h *half) confirm(k key, p *packet) (halfOpen, bool) {
	e, ok := h.entries[k]
	if !ok || p.ack != e.seq-1 && p.ack != e.seq {
		return halfOpen{}, false
	}
	delete(h.entries, k)
	return e, true
}
