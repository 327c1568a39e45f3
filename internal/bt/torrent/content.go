package torrent

import (
	"errors"
	"fmt"
	"time"

	"shoal/internal/bitfield"
	"shoal/internal/bt/hashes"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/peer"
	"shoal/internal/bt/picker"
	"shoal/internal/bt/swarm"
	"shoal/internal/bt/wire"
	"shoal/internal/ident"
	"shoal/internal/storage"
)

// learned takes the info, given or fetched. v2 piece layers may still be missing; then they are fetched first.
func (t *Torrent) learned(info *metainfo.Info) {
	expected, err := metainfo.NewHashes(info, t.cfg.Layers)
	if err != nil {
		t.fail(err)
		return
	}
	t.info, t.hashes, t.fetch = info, expected, nil
	h := info.Hash
	t.infoHash.Store(&h)
	if info.Private {
		t.cfg.Swarm.Private = true
		t.sw.SetPrivate()
		t.dropPublic()
	}
	if info.HasV2 {
		t.hashServer = hashes.NewServer(expected)
	}
	missing := len(expected.MissingLayers()) > 0
	if missing {
		t.startLayers(t.now())
	}
	if !missing || info.HasV1 {
		t.open()
	}
}

// open opens the files, which may take a while, in a goroutine, when it is the torrent's turn.
func (t *Torrent) open() {
	t.phase = Opening
	t.known.set()
	t.wanted = make([]bool, len(t.info.Layout.Files))
	for i := range t.wanted {
		t.wanted[i] = true
	}
	if t.cfg.Select != nil {
		copy(t.wanted, t.cfg.Select(t.info))
	}
	skip := make([]bool, len(t.wanted))
	for i, w := range t.wanted {
		t.wanted[i] = w && !t.cfg.Swarm.Transient
		skip[i] = !w && !t.cfg.Swarm.Transient
	}
	spec := storage.Spec{
		Layout: &t.info.Layout, Root: t.cfg.Root, Journal: t.cfg.Journal, Skip: skip, Paths: t.cfg.Paths,
		ReadOnly: t.cfg.ReadOnly, Preallocate: t.cfg.Preallocate,
		NewSum: func() storage.Sum { return t.hashes.NewSum() },
		Done:   t.storageDone,
	}
	learned, what := t.cfg.Learned, Learned{t.info, t.hashes}
	t.cfg.Start = nil // it has served, and may be large
	t.enter(t.cfg.Opening, func(leave func()) {
		t.goes(func() {
			if learned != nil {
				learned(what)
			}
			h, err := t.cfg.Store.Open(spec)
			leave()
			if !t.box.Post(swarm.Event{Kind: swarm.Other, Arg: openedStore{h, err}}) && err == nil {
				h.Close()
			}
		})
	})
}

// openedStore is the outcome of opening the files: Arg of an event of kind swarm.Other.
type openedStore struct {
	handle storage.Handle
	err    error
}

func (t *Torrent) storageDone(results ...storage.Result) {
	events := make([]swarm.Event, len(results))
	for i, r := range results {
		events[i] = swarm.Event{Kind: swarm.Stored, Arg: r}
	}
	t.box.Post(events...)
}

// opened begins the swarm with what the journal vouches for, and has the rest of what is on disk checked first.
func (t *Torrent) opened(h storage.Handle, err error) {
	if err != nil {
		t.fail(err)
		return
	}
	t.store = h
	sound := h.Sound()
	switch {
	case t.cfg.Complete:
		sound = bitfield.New(t.info.Layout.Pieces())
		sound.Fill()
	case t.cfg.Recheck:
		sound = bitfield.New(t.info.Layout.Pieces())
	}
	t.view = bitfield.NewShared(t.info.Layout.Pieces())
	now := t.now()
	t.sw.Begin(now, &t.info.Layout, sound, t.view)
	if t.cfg.Sequential {
		t.sw.SetSequential(true)
	}
	t.reads.Store(&readable{t.info, h, t.view})
	t.conns(func(_ ident.Peer, c *peer.Conn) { c.SetContent(t.content()) })
	t.prioritise(now)
	t.web = t.sites()
	var check []int
	if !sound.All() {
		present := h.Present()
		for i := range t.info.Layout.Pieces() {
			if present.Has(i) && !sound.Has(i) {
				check = append(check, i)
			}
		}
	}
	if len(check) == 0 {
		t.settle(now)
		return
	}
	t.phase, t.checking, t.toCheck = Checking, len(check), len(check)
	t.sw.Step(now, swarm.Event{Kind: swarm.Pause, OK: true})
	h.Recheck(check)
}

// settle goes on once it is known what is there.
func (t *Torrent) settle(now time.Duration) {
	t.sw.Step(now, swarm.Event{Kind: swarm.Pause, OK: false})
	t.phase = Downloading
	if t.sw.Done() {
		t.phase, t.seedingSince = Seeding, now
	}
	t.publish() // before anybody who waits for it looks
	t.settled.set()
	if t.phase == Seeding {
		t.finished.set()
	}
	t.tickWeb(now)
	t.find()
}

// stored looks at an outcome of the disk before the swarm takes it.
func (t *Torrent) stored(now time.Duration, r storage.Result) {
	if r.Err != nil && !errors.Is(r.Err, storage.ErrClosed) {
		t.diskFailed(now, r.Err)
	}
	if r.Recheck {
		t.checking--
		if t.checking == 0 && t.phase == Checking {
			defer t.do(func() { t.settle(t.now()) }) // after the swarm has taken this result
		}
	}
}

// diskFailed pauses the torrent; tickDisk tries again.
func (t *Torrent) diskFailed(now time.Duration, err error) {
	t.failure, t.full = err, errors.Is(err, storage.ErrFull)
	t.retryAt = now + diskRetry
	t.sw.Step(now, swarm.Event{Kind: swarm.Pause, OK: true})
	t.publish()
	t.waiting.wakeAll()
}

const (
	diskRetry = 2 * time.Second
	// headroom is how much must be free before a full disk counts as having room again.
	headroom = 8 << 20
)

// tickDisk goes on after a failure of the disk, when there is room again if it was full.
func (t *Torrent) tickDisk(now time.Duration) {
	if t.failure == nil || t.store == nil || now < t.retryAt {
		return
	}
	t.retryAt = now + diskRetry
	if t.full {
		_, missing := t.sw.Missing()
		if free, _, err := t.store.Room(); err != nil || free < min(headroom, missing+t.info.Layout.PieceLength) {
			return
		}
	}
	t.failure, t.full = nil, false
	t.sw.Step(now, swarm.Event{Kind: swarm.Pause, OK: false})
}

// fail ends all hope until the person does something.
func (t *Torrent) fail(err error) {
	t.failure, t.phase = err, Failed
	t.publish()
	t.settled.set()
	t.waiting.wakeAll()
}

// completed notes that every wanted piece has come.
func (t *Torrent) completed() {
	if t.phase == Checking || t.phase == Opening {
		return // found on disk
	}
	t.phase, t.seedingSince = Seeding, t.now()
	t.countAll(t.now()) // whoever waits for the end reads totals that are whole
	t.publish()
	if t.sw.Complete() {
		for _, f := range *t.finders.Load() {
			f.Completed()
		}
		t.tickFinders()
	}
	t.finished.set()
	t.tickWeb(t.now())
	t.conns(func(_ ident.Peer, c *peer.Conn) {
		if ext := c.Extension(wire.ExtUploadOnly); ext != 0 {
			c.Queue(func(b []byte) []byte { return wire.AppendExtended(b, ext, wire.AppendUploadOnly(nil, true)) })
			t.touched = append(t.touched, c)
		}
	})
	t.publish()
}

// prioritise derives the priority of each piece from the files that it holds.
func (t *Torrent) prioritise(now time.Duration) {
	lay := &t.info.Layout
	prio := make([]picker.Priority, lay.Pieces())
	t.wantedBytes = 0
	for i := range lay.Files {
		p := picker.Normal
		if t.priorities != nil && t.wanted[i] {
			p = t.priorities[i]
		}
		if !t.keeps(i) {
			p = picker.Skip
		} else {
			t.wantedBytes += lay.Files[i].Length
		}
		first, end := lay.FilePieces(i)
		for k := first; k < end; k++ {
			prio[k] = max(prio[k], p)
		}
	}
	t.sw.SetPriorities(now, prio)
}

// SetFilePriority changes how much a file is wanted; picker.Skip leaves it out.
func (t *Torrent) SetFilePriority(file int, p picker.Priority) error {
	var err error
	if e := t.call(func() { err = t.setFilePriority(file, p) }); e != nil {
		return e
	}
	return err
}

func (t *Torrent) setFilePriority(file int, p picker.Priority) error {
	switch {
	case t.store == nil:
		return errors.New("the content is not known yet")
	case file < 0 || file >= len(t.wanted):
		return fmt.Errorf("file %d of %d", file, len(t.wanted))
	}
	if t.priorities == nil {
		t.priorities = make([]picker.Priority, len(t.wanted))
		for i := range t.priorities {
			t.priorities[i] = picker.Normal
		}
	}
	before := t.keeps(file)
	t.priorities[file] = p
	t.wanted[file] = p != picker.Skip && !t.cfg.Swarm.Transient
	if err := t.rekeep(file, before); err != nil {
		return err
	}
	t.prioritise(t.now())
	t.resume()
	t.publish()
	return nil
}

// SetSequential makes pieces be fetched in order.
func (t *Torrent) SetSequential(on bool) error {
	return t.call(func() {
		t.cfg.Sequential = on
		if t.store != nil {
			t.sw.SetSequential(on)
		}
	})
}

// Relocate moves the content below another folder.
func (t *Torrent) Relocate(root string) error {
	return t.withStore(func(h storage.Handle) error { return h.Relocate(root) })
}

// Rename gives a file another path below the download folder. The path must be safe: relative, without "..".
func (t *Torrent) Rename(file int, path string) error {
	return t.withStore(func(h storage.Handle) error { return h.Rename(file, path) })
}

// withStore runs f outside of the loop, because it may take long.
func (t *Torrent) withStore(f func(storage.Handle) error) error {
	var h storage.Handle
	if err := t.call(func() { h = t.store }); err != nil {
		return err
	}
	if h == nil {
		return errors.New("the content is not known yet")
	}
	return f(h)
}
