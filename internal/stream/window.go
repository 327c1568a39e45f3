package stream

import (
	"time"

	"shoal/internal/bt/torrent"
	"shoal/internal/layout"
)

// Bounds of what a reader has fetched ahead of the place that it reads at.
const (
	DefaultAhead = 64 << 20 // bytes
	aheadTime    = 60 * time.Second
	dueTime      = 10 * time.Second // of that has deadlines: it comes in order
	minDue       = 2 << 20          // bytes of it, however slow the content seems to be
	minAhead     = 16 << 20
	maxDue       = 128  // pieces
	maxAhead     = 1024 // pieces
	// index is how much of either end of a file is fetched early: players look there for where things are (MP4's moov, Matroska's cues, AVI's idx1).
	index     = 512 << 10
	indexTime = time.Second // after the place that is read
)

// window is what a reader wants soon: pieces by time and, after those, a run of pieces, rarest first.
type window struct {
	due        []torrent.Due
	last       int // of the run from the place that is read whose pieces are in due
	first, end int
}

// plan makes the window of a reader at pos of a file, which will read on at rate bytes/s, at most ahead bytes ahead.
func plan(l *layout.Layout, file int, pos int64, rate float64, ahead int64) window {
	f := &l.Files[file]
	if f.Length == 0 || pos >= f.Length {
		return window{}
	}
	seconds := func(d time.Duration) int64 { return int64(rate * d.Seconds()) }
	ahead = min(max(seconds(aheadTime), minAhead), ahead, maxAhead*l.PieceLength)
	urgent := min(max(seconds(dueTime), minDue), ahead, maxDue*l.PieceLength)

	piece := func(at int64) int { return int((f.Offset + min(at, f.Length-1)) / l.PieceLength) }
	w := window{first: piece(pos), end: piece(pos+ahead) + 1}
	var named []int
	add := func(p int, in time.Duration) {
		for _, n := range named {
			if n == p {
				return
			}
		}
		named = append(named, p)
		w.due = append(w.due, torrent.Due{Piece: p, In: in})
	}
	w.last = piece(pos + urgent)
	for p := w.first; p <= w.last; p++ {
		until := max(0, l.PieceOffset(p)-f.Offset-pos)
		in := time.Duration(float64(until) / rate * float64(time.Second))
		if p > w.first && len(named) > 0 && in >= indexTime {
			addIndex(piece, f.Length, min(index, ahead/8), add)
		}
		add(p, in)
	}
	addIndex(piece, f.Length, min(index, ahead/8), add)
	return w
}

// addIndex names the pieces of either end of a file: one at least.
func addIndex(piece func(int64) int, length, n int64, add func(int, time.Duration)) {
	for p := piece(max(0, length-n)); p <= piece(length-1); p++ {
		add(p, indexTime)
	}
	for p := piece(0); p <= piece(min(n, length)-1); p++ {
		add(p, indexTime)
	}
}
