package swarm

import (
	"time"

	"shoal/internal/bt/picker"
)

// Bounds of a pipeline, in blocks.
const (
	firstTarget = 4
	minTarget   = 2
	// webTarget is the least of a web seed: each of its answers costs a round trip, so a run has to be long.
	webTarget = 64
	maxTarget = 1500
	// defaultReqQ is assumed of a peer that does not say how many requests it queues. 250 is the customary limit.
	defaultReqQ = 250
	// slack is how much longer than a round trip the requests under way should last.
	slack = 500 * time.Millisecond
)

type request struct {
	picker.Block
	length int32
	gone   bool // answered, rejected or cancelled
}

// pipeline is the requests under way to one peer. Their number follows the bandwidth-delay product: now and then one request
// is timed, which gives the round trip and the bytes delivered meanwhile.
type pipeline struct {
	queue  []request // oldest first from head
	head   int
	under  int // requests not gone
	target int
	least  int // the target never falls below it

	delivered int64 // bytes
	lastData  time.Duration
	started   time.Duration // when the pipeline was last empty before a request
	snubbed   bool
	swept     time.Duration // when it was found so

	probe      picker.Block
	probing    bool
	probeAt    time.Duration
	probeBytes int64
	rtt        time.Duration // smallest seen
	rate       float64       // bytes/s, of late
}

func (q *pipeline) push(b picker.Block, length int32, now time.Duration) {
	if q.under == 0 {
		q.started = now
	}
	if q.head > 64 && q.head*2 > len(q.queue) {
		q.queue = append(q.queue[:0], q.queue[q.head:]...)
		q.head = 0
	}
	q.queue = append(q.queue, request{Block: b, length: length})
	q.under++
}

// find returns the place of a request under way, or -1.
func (q *pipeline) find(b picker.Block) int {
	for i := q.head; i < len(q.queue); i++ {
		if r := &q.queue[i]; !r.gone && r.Block == b {
			return i
		}
	}
	return -1
}

func (q *pipeline) remove(i int) {
	q.queue[i].gone = true
	q.under--
	for q.head < len(q.queue) && q.queue[q.head].gone {
		q.head++
	}
	if q.head == len(q.queue) {
		q.queue, q.head = q.queue[:0], 0
	}
}

// each calls f for every request under way.
func (q *pipeline) each(f func(request)) {
	for _, r := range q.queue[q.head:] {
		if !r.gone {
			f(r)
		}
	}
}

func (q *pipeline) clear() {
	q.queue, q.head, q.under, q.probing = q.queue[:0], 0, 0, false
}

// sent starts timing the newest request unless one is being timed.
func (q *pipeline) sent(now time.Duration) {
	if !q.probing && len(q.queue) > q.head {
		q.probe, q.probing = q.queue[len(q.queue)-1].Block, true
		q.probeAt, q.probeBytes = now, q.delivered
	}
}

// received accounts for an arrived block and adapts the target.
func (q *pipeline) received(b picker.Block, n int, now time.Duration, limit int) {
	q.delivered += int64(n)
	q.lastData = now
	if !q.probing || b != q.probe {
		return
	}
	q.probing = false
	took := max(now-q.probeAt, 10*time.Microsecond)
	if q.rtt == 0 || took < q.rtt {
		q.rtt = took
	}
	q.rate = float64(q.delivered-q.probeBytes) / took.Seconds()
	blocks := q.rate * (q.rtt + slack).Seconds() / (16 << 10)
	grown := min(int(blocks)+1, 2*q.target) // at most double a round trip
	q.target = clamp(max(grown, q.target*3/4), q.least, limit)
}

func clamp(v, lo, hi int) int { return max(min(v, hi), min(lo, hi)) }

// before returns how many requests under way have to be answered until a block is there, itself included.
func (q *pipeline) before(b picker.Block) int {
	n := 0
	for i := q.head; i < len(q.queue); i++ {
		if r := &q.queue[i]; !r.gone {
			n++
			if r.Block == b {
				break
			}
		}
	}
	return n
}

// eta estimates how long from now the first n requests under way will take. An answer on its way counts as half there.
func (q *pipeline) eta(now time.Duration, n int) time.Duration {
	if q.rate <= 0 {
		return time.Hour
	}
	each := time.Duration((16 << 10) / q.rate * float64(time.Second))
	d := time.Duration(n) * each
	if q.under == 0 {
		return d + q.rtt
	}
	return max(d-min(now-max(q.lastData, q.started), each), each/2)
}

// overdue reports whether the peer has sent nothing for so long that others should be asked too.
func (q *pipeline) overdue(now time.Duration) bool {
	if q.under == 0 {
		return false
	}
	limit := 5 * time.Second
	if q.rate > 0 { // three blocks' time at its late rate, for slow but honest peers
		limit = max(limit, min(30*time.Second, time.Duration(3*(16<<10)/q.rate*float64(time.Second))))
	}
	return now-max(q.lastData, q.started) > limit
}
