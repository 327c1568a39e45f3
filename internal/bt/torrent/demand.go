package torrent

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"shoal/internal/bt/picker"
)

// Demand is what one reader wants soon of a file. Several of a torrent add up: of a piece that several want, the earliest deadline counts, and what one
// takes back the others still want. As long as there is one of a file, the file is wanted, whatever its priority.
type Demand struct {
	t         *Torrent
	file      int
	deadlines []picker.Deadline // on the swarm's clock
	soon      []int32
}

// Due is a piece and in how much time it is needed.
type Due struct {
	Piece int
	In    time.Duration
}

// Demand begins to read a file. The content must be known and open: wait for Settled. Close must follow.
func (t *Torrent) Demand(file int) (*Demand, error) {
	d := &Demand{t: t, file: file}
	var err error
	if e := t.call(func() { err = t.addDemand(d) }); e != nil {
		return nil, e
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// Demanded reports whether anybody reads the content.
func (t *Torrent) Demanded() bool { return t.demanded.Load() }

func (t *Torrent) addDemand(d *Demand) error {
	switch {
	case t.failure != nil:
		return t.failure
	case t.store == nil:
		return errors.New("the content is not known yet")
	case d.file < 0 || d.file >= len(t.wanted):
		return fmt.Errorf("file %d of %d", d.file, len(t.wanted))
	}
	kept := t.keeps(d.file)
	t.demands = append(t.demands, d)
	t.demanded.Store(true)
	return t.rekeep(d.file, kept)
}

// Set replaces what is wanted: pieces by time, and after them those of the run from first to before end, rarest first. It does not wait.
func (d *Demand) Set(due []Due, first, end int) {
	t := d.t
	t.do(func() {
		if !slices.Contains(t.demands, d) {
			return
		}
		d.deadlines, d.soon = d.deadlines[:0], d.soon[:0]
		now, n := t.now(), t.info.Layout.Pieces()
		for _, p := range due {
			if p.Piece >= 0 && p.Piece < n {
				d.deadlines = append(d.deadlines, picker.Deadline{Piece: int32(p.Piece), At: int64(now + p.In)})
			}
		}
		for i := max(first, 0); i < min(end, n); i++ {
			d.soon = append(d.soon, int32(i))
		}
		t.demand()
	})
}

// Close ends the reading.
func (d *Demand) Close() {
	t := d.t
	t.do(func() {
		i := slices.Index(t.demands, d)
		if i < 0 {
			return
		}
		kept := t.keeps(d.file)
		t.demands = slices.Delete(t.demands, i, i+1)
		t.demanded.Store(len(t.demands) > 0)
		t.demand()
		if err := t.rekeep(d.file, kept); err != nil {
			t.diskFailed(t.now(), err)
		}
	})
}

// demand tells the swarm what all readers together want.
func (t *Torrent) demand() {
	var deadlines []picker.Deadline
	var soon []int32
	at := map[int32]int{} // by piece: its place in deadlines
	for _, d := range t.demands {
		for _, x := range d.deadlines {
			if i, twice := at[x.Piece]; twice {
				deadlines[i].At = min(deadlines[i].At, x.At)
			} else if !t.view.Has(int(x.Piece)) {
				at[x.Piece] = len(deadlines)
				deadlines = append(deadlines, x)
			}
		}
	}
	for _, d := range t.demands {
		for _, piece := range d.soon {
			if _, twice := at[piece]; !twice && !t.view.Has(int(piece)) {
				soon = append(soon, piece)
			}
		}
	}
	t.sw.SetDemand(t.now(), deadlines, soon)
	t.resume()
}

// keeps reports whether a file is wanted: by the person, or because it is read. Of what is given up again nothing is wanted for long.
func (t *Torrent) keeps(file int) bool {
	return t.wanted[file] || !t.cfg.Swarm.Transient && slices.ContainsFunc(t.demands, func(d *Demand) bool { return d.file == file })
}

// rekeep has what changes about a file done, given whether it was wanted before.
func (t *Torrent) rekeep(file int, before bool) error {
	keep := t.keeps(file)
	if keep == before {
		return nil
	}
	if err := t.store.SetSkip(file, !keep); err != nil {
		return err
	}
	t.prioritise(t.now())
	t.resume()
	t.publish()
	return nil
}

// resume goes on with a torrent that had everything, when more is wanted.
func (t *Torrent) resume() {
	if t.phase == Seeding && !t.sw.Done() {
		t.phase = Downloading
	}
	t.tickWeb(t.now())
}
