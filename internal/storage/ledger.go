package storage

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// compactAbove is the size in bytes from which a journal is rewritten in the background.
const compactAbove = 4 << 20

// maxJournals is how many journals stay open between a record and the next sync, over all content: more are opened for each record.
const maxJournals = 64

// ledger remembers which pieces are good, in memory and in a journal file.
//
// It writes nothing until there is something to say, so that content which is only seeded leaves the record of its
// clean close alone. A journal that cannot be written is no reason to fail: the ledger goes on in memory and tries at
// the next sync to write the journal anew. The methods that sync must be serialised by their caller.
type ledger struct {
	disk  disk
	dir   string // folder of the journal
	base  string // its name; empty: nothing is kept on disk
	print [sha256.Size]byte
	files int
	inUse *atomic.Int32 // journals that are open, over all content

	mu      sync.Mutex
	v       *vouched
	f       file   // open from the first record until the next sync
	pending bool   // something was recorded since the last sync
	size    int64  // bytes of the journal that are whole; 0: it does not exist
	begun   bool   // this run has its recOpen
	opening []byte // records to put behind that
	err     error  // the journal is not what it should be: write it anew
	buf     []byte
}

// openLedger reads a journal. The error is a warning: the ledger is usable and vouches for nothing.
func openLedger(d disk, inUse *atomic.Int32, journal string, print [sha256.Size]byte, pieces, files int) (*ledger, error) {
	l := &ledger{disk: d, inUse: inUse, print: print, files: files, v: newVouched(pieces)}
	if journal == "" {
		return l, nil
	}
	l.v.boot = d.bootID()
	l.dir, l.base = filepath.Dir(journal), filepath.Base(journal)
	dir, err := d.open(l.dir, false)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, err
	}
	defer dir.close()
	b, err := readWhole(dir, l.base)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, err
	}
	v, n, err := decodeJournal(b, print, pieces, files)
	if err != nil {
		return l, errors.Join(fmt.Errorf("%s: %w; it is set aside", journal, err), dir.rename(l.base, l.base+".corrupt"))
	}
	if v.clean == nil && (v.boot != l.v.boot || v.boot == "") {
		v.distrust() // what was not synced may have been lost
	}
	v.boot = l.v.boot
	l.v, l.size = v, int64(n)
	return l, nil
}

func readWhole(dir folder, name string) ([]byte, error) {
	f, err := dir.openFile(name, 0)
	if err != nil {
		return nil, err
	}
	defer f.close()
	fi, err := f.stat()
	if err != nil {
		return nil, err
	}
	if fi.Size() > journalMax {
		return nil, fmt.Errorf("journal %s has %d bytes, more than %d", name, fi.Size(), journalMax)
	}
	b := make([]byte, fi.Size())
	if len(b) == 0 {
		return b, nil
	}
	_, err = f.ReadAt(b, 0)
	return b, err
}

// good records pieces that are in the files.
func (l *ledger) good(pieces []uint32) {
	if l.base == "" {
		return // nobody will ask
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range pieces {
		l.v.add(int(p))
	}
	l.write(func(b []byte) []byte { return appendPieces(b, recGood, pieces) })
}

// bad withdraws pieces.
func (l *ledger) bad(pieces []uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range pieces {
		l.v.withdraw(int(p))
	}
	l.write(func(b []byte) []byte { return appendPieces(b, recBad, pieces) })
}

// doubt withdraws pieces that turned out to be gone when the journal was opened. It is written only with the first
// record: should the files come back, untouched, the journal is still right about them.
func (l *ledger) doubt(pieces []uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range pieces {
		l.v.withdraw(int(p))
	}
	l.opening = appendPieces(l.opening, recBad, pieces)
}

// distrust withdraws what was not synced, because a sync failed.
func (l *ledger) distrust() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.v.distrust()
	l.write(func(b []byte) []byte { return appendRecord(b, recDistrust, nil) })
}

// setAside records whether the bytes of files are in the parts file. Good pieces that are recorded later are
// understood so; for those recorded before, it has to be synced.
func (l *ledger) setAside(files []int, aside bool) {
	if len(files) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range files {
		l.v.setAside(f, aside)
	}
	l.write(func(b []byte) []byte {
		for _, f := range files {
			b = appendAside(b, f, aside)
		}
		return b
	})
}

// rename records, durably, the path that a file is about to have.
func (l *ledger) rename(file int, path string) error {
	l.mu.Lock()
	l.v.rename(file, path)
	l.write(func(b []byte) []byte { return appendRename(b, file, path) })
	l.mu.Unlock()
	return l.sync()
}

// unsynced returns how many good pieces a power loss may take.
func (l *ledger) unsynced() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.v.unsynced)
}

// mark records, durably, that the files of the n oldest unsynced pieces are synced.
func (l *ledger) mark(n int) error {
	l.mu.Lock()
	if n == 0 && !l.pending && l.err == nil {
		l.mu.Unlock()
		return nil
	}
	if n > len(l.v.unsynced) { // some were withdrawn as a whole meanwhile
		n = len(l.v.unsynced)
	}
	l.v.mark(n)
	l.write(func(b []byte) []byte {
		return appendRecord(b, recMark, func(b []byte) []byte { return binary.LittleEndian.AppendUint32(b, uint32(n)) })
	})
	if l.size > compactAbove+int64(len(l.v.good.Bytes()))*8 {
		l.err = errors.Join(l.err, l.rewrite(nil))
	}
	l.mu.Unlock()
	return l.sync()
}

// close records a clean close, unless nothing has been recorded in this run. The files must be synced.
func (l *ledger) close(stamps []stamp) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.begun {
		return l.letGo()
	}
	l.v.mark(len(l.v.unsynced))
	return errors.Join(l.rewrite(stamps), l.letGo())
}

// move ties the journal to another folder.
func (l *ledger) move(print [sha256.Size]byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.print = print
	if l.size == 0 {
		return nil
	}
	return l.rewrite(nil)
}

// remove deletes the journal.
func (l *ledger) remove() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.base == "" {
		return nil
	}
	err := l.letGo()
	dir, e := l.disk.open(l.dir, false)
	if errors.Is(e, fs.ErrNotExist) {
		return err
	}
	if e != nil {
		return errors.Join(err, e)
	}
	defer dir.close()
	return errors.Join(err, dir.remove(l.base))
}

// write appends records. It is called with mu held.
func (l *ledger) write(fill func([]byte) []byte) {
	if l.base == "" || l.err != nil {
		return
	}
	if l.size == 0 { // a whole journal says this too
		l.err = errors.Join(l.rewrite(nil), l.spare())
		l.pending = true
		return
	}
	if l.err = l.begin(); l.err != nil {
		return
	}
	l.pending = true
	l.buf = fill(l.buf[:0])
	if _, l.err = l.f.WriteAt(l.buf, l.size); l.err == nil {
		l.size += int64(len(l.buf))
	}
	l.err = errors.Join(l.err, l.spare())
}

// spare lets the file go if too many journals are open. It is called with mu held.
func (l *ledger) spare() error {
	if l.inUse.Load() <= maxJournals {
		return nil
	}
	return l.letGo()
}

// open opens the journal for writing. It is called with mu held.
func (l *ledger) open(dir folder) (err error) {
	if l.f, err = dir.openFile(l.base, forWriting); err != nil {
		l.f = nil
		return err
	}
	l.inUse.Add(1)
	return nil
}

// begin opens the journal if it is not open and says that a run begins. It is called with mu held.
func (l *ledger) begin() error {
	if l.f != nil {
		return nil
	}
	dir, err := l.disk.open(l.dir, true)
	if err != nil {
		return err
	}
	defer dir.close()
	if err = l.open(dir); err != nil {
		return err
	}
	if l.begun {
		return nil
	}
	if err := l.f.truncate(l.size); err != nil { // a record that a crash cut
		return err
	}
	l.buf = appendRecord(l.buf[:0], recOpen, func(b []byte) []byte { return append(b, l.v.boot...) })
	l.buf = append(l.buf, l.opening...)
	if _, err := l.f.WriteAt(l.buf, l.size); err != nil {
		return err
	}
	l.size += int64(len(l.buf))
	l.begun, l.opening = true, nil
	return nil
}

// rewrite replaces the journal by the shortest that says the same, and with stamps that it was closed. It is called
// with mu held.
func (l *ledger) rewrite(stamps []stamp) error {
	if l.base == "" {
		return nil
	}
	dir, err := l.disk.open(l.dir, true)
	if err != nil {
		return err
	}
	defer dir.close()
	b := appendWhole(nil, l.v, l.print, l.files)
	if stamps != nil {
		b = appendClean(b, stamps)
	}
	name := l.base + ".new"
	f, err := dir.openFile(name, forWriting|creating|emptied)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.sync()
	}
	if err = errors.Join(err, f.close()); err != nil {
		return errors.Join(err, dir.remove(name))
	}
	err = l.letGo()
	if err = errors.Join(err, dir.rename(name, l.base)); err != nil {
		return err
	}
	l.size, l.begun, l.opening, l.err = int64(len(b)), true, nil, nil
	if err = l.open(dir); err != nil {
		return err
	}
	return dir.sync(l.base)
}

// sync makes what was recorded survive a power loss, and lets the file go.
func (l *ledger) sync() error {
	l.mu.Lock()
	if l.err != nil {
		l.err = l.rewrite(nil)
	}
	if l.pending && l.f == nil && l.err == nil {
		l.err = l.begin()
	}
	f, err := l.f, l.err
	l.pending = false
	l.mu.Unlock()
	if f == nil || err != nil {
		return err
	}
	err = f.sync()
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(err, l.letGo())
}

// letGo closes the file. It is called with mu held.
func (l *ledger) letGo() error {
	f := l.f
	l.f = nil
	l.buf = nil
	if f == nil {
		return nil
	}
	l.inUse.Add(-1)
	return f.close()
}
