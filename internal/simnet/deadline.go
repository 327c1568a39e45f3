package simnet

import "time"

// deadline is guarded by the Net's lock.
type deadline struct {
	passed bool
	timer  *time.Timer
	wake   func()
}

func (d *deadline) set(n *Net, t time.Time) {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.passed = !t.IsZero() && !time.Now().Before(t)
	if d.passed || t.IsZero() {
		d.wake()
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(time.Until(t), func() {
		n.mu.Lock()
		defer n.unlock()
		if d.timer == timer { // not set anew meanwhile
			d.passed = true
			d.wake()
		}
	})
	d.timer = timer
	d.wake()
}
