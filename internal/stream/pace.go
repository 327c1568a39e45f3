package stream

import "time"

// pace estimates how fast content will be read on: what was read of late, and never less than what a film of its size needs.
type pace struct {
	least float64 // bytes/s
	rate  float64
	since time.Time
	bytes int64
}

const (
	filmTime = 2 * time.Hour // a file lasts no longer, as far as the least is concerned
	slowest  = 64 << 10      // bytes/s
	fastest  = 12 << 20      // 100 Mbit/s: who reads faster fills a buffer
	paceTime = 2 * time.Second
)

func newPace(size, known int64, now time.Time) pace {
	least := max(slowest, float64(size)/filmTime.Seconds())
	if known > 0 {
		least = float64(known)
	}
	least = min(least, fastest)
	return pace{least: least, rate: least, since: now}
}

// read notes that n bytes were read.
func (p *pace) read(n int, now time.Time) {
	p.bytes += int64(n)
	passed := now.Sub(p.since)
	if passed < paceTime {
		return
	}
	seen := min(float64(p.bytes)/passed.Seconds(), fastest)
	p.rate = max(p.least, p.rate+0.5*(seen-p.rate))
	p.since, p.bytes = now, 0
}

// moved forgets what was read before a seek.
func (p *pace) moved(now time.Time) { p.since, p.bytes = now, 0 }
