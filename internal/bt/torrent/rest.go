package torrent

import (
	"time"

	"shoal/internal/bt/swarm"
)

// A torrent without peers rests while nothing is due: its loop ends, and with it the goroutine and its ticker. The state stays,
// and belongs to nobody. The next event in the mailbox starts the loop again; so does the alarm, at the time of the next
// announce, dial or try of the disk.

// rest reports whether the loop is to end here, because the torrent rests. Then somebody else may own it already.
func (t *Torrent) rest(now time.Duration) bool {
	if t.closing.Load() || t.linked() {
		return false
	}
	t.hurry()
	at, ok := t.due()
	if ok && at <= now {
		return false
	}
	t.rates = rates{at: now, down: t.rates.down, up: t.rates.up, lastDown: t.rates.lastDown}
	t.links, t.free, t.touched = nil, nil, nil
	if !t.asking() {
		t.ctx, t.cancel = nil, nil // nobody uses it: there is no dial under way either
	}
	t.sw.Rest()
	t.publish()
	if ok {
		t.setAlarm(at - now)
	}
	return t.box.Rest(t.wake)
}

// wake starts the loop of a torrent that rests.
func (t *Torrent) wake() { go t.run() }

// setAlarm has the loop look around after d.
func (t *Torrent) setAlarm(d time.Duration) {
	if t.alarm == nil {
		t.alarm = time.AfterFunc(d, t.nudge)
	} else {
		t.alarm.Reset(d)
	}
}

// nudge wakes the loop without telling it anything.
func (t *Torrent) nudge() { t.box.Post(swarm.Event{Kind: swarm.Other}) }

// linked reports whether there is any link.
func (t *Torrent) linked() bool {
	for _, l := range t.links {
		if l != nil {
			return true
		}
	}
	return false
}

// due returns when there is something to do though nothing happens before; ok is false if never.
func (t *Torrent) due() (at time.Duration, ok bool) {
	sooner := func(d time.Duration, is bool) {
		if is && (!ok || d < at) {
			at, ok = d, true
		}
	}
	sooner(t.sw.NextDial())
	sooner(t.retryAt, t.failure != nil && t.store != nil)
	if t.wantsWeb() {
		for _, s := range t.web {
			sooner(s.retryAt, s.link == nil && !s.barred)
		}
	}
	for _, f := range *t.finders.Load() {
		next, is := f.Next()
		sooner(next.Sub(t.begun), is && t.finding && !f.asking)
	}
	return at, ok
}
