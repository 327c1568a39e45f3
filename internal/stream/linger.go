package stream

import (
	"sync"
	"time"

	"shoal/internal/bt/torrent"
)

// linger is for how long what a client wanted is still fetched after it has closed its connection: browsers close it when they have enough for
// the moment, and open another when they want more.
const linger = 10 * time.Second

// lingering holds the readers of clients that are gone, one for each file. The next reader of the file takes its place: after a seek nothing
// is fetched any more for where the player was.
type lingering struct {
	mu    sync.Mutex
	files map[file]*rest
}

type file struct {
	t     *torrent.Torrent
	index int
}

type rest struct {
	r     *Reader
	timer *time.Timer
}

// keep closes a reader after a while.
func (l *lingering) keep(f file, r *Reader) {
	l.end(f)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.files == nil {
		l.files = map[file]*rest{}
	}
	x := &rest{r: r}
	x.timer = time.AfterFunc(linger, func() {
		l.mu.Lock()
		if l.files[f] == x {
			delete(l.files, f)
		}
		l.mu.Unlock()
		r.Close()
	})
	l.files[f] = x
}

// end closes the reader that was kept of a file.
func (l *lingering) end(f file) {
	l.mu.Lock()
	x := l.files[f]
	delete(l.files, f)
	l.mu.Unlock()
	if x != nil {
		x.timer.Stop()
		x.r.Close()
	}
}
