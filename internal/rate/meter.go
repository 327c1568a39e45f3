package rate

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// smoothing is the time constant of a Meter: what happened so long ago counts 1/e of what happens now.
const smoothing = 5 * time.Second

// Meter counts bytes and smooths their rate. Its zero value is ready; it is safe for concurrent use.
type Meter struct {
	total atomic.Int64

	mu      sync.Mutex
	last    time.Time // of the last Rate
	counted int64     // total at last
	rate    float64   // bytes per second, not yet divided by weight
	weight  float64   // 0 … 1: how much of a full history rate stands for
}

// Add counts n bytes.
func (m *Meter) Add(n int) { m.total.Add(int64(n)) }

// Total returns the bytes counted so far.
func (m *Meter) Total() int64 { return m.total.Load() }

// Rate returns the smoothed rate in bytes per second over about the last five seconds before now. What was counted
// since the previous call is taken as spread evenly over that time, so it should be called about once a second; the
// first call starts the clock and returns 0.
func (m *Meter) Rate(now time.Time) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last.IsZero() {
		m.last, m.counted = now, m.total.Load()
		return 0
	}
	if passed := now.Sub(m.last).Seconds(); passed > 0 {
		total := m.total.Load()
		keep := math.Exp(-passed / smoothing.Seconds())
		m.rate = m.rate*keep + float64(total-m.counted)/passed*(1-keep)
		m.weight = m.weight*keep + 1 - keep
		m.last, m.counted = now, total
	}
	if m.weight == 0 || m.rate < 1 {
		return 0
	}
	return m.rate / m.weight
}
