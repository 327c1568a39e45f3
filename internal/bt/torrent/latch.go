package torrent

import "sync"

// latch is something that happens once. Its zero value is ready, and costs no channel unless somebody waits.
type latch struct {
	mu       sync.Mutex
	happened bool
	c        chan struct{} // nil until somebody asks for it before it happened
}

// past is the channel of everything that has happened.
var past = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// done returns a channel that is closed when it happens.
func (l *latch) done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.happened:
		return past
	case l.c == nil:
		l.c = make(chan struct{})
	}
	return l.c
}

// isSet reports whether it has happened.
func (l *latch) isSet() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.happened
}

// set makes it happen; a second time changes nothing.
func (l *latch) set() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.c != nil {
		close(l.c)
	}
	l.happened, l.c = true, nil
}
