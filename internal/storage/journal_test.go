package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"shoal/internal/bitfield"
)

const testPieces, testFiles = 20, 3

var testPrint = [32]byte{1, 2, 3}

// sampleJournal is a journal with every kind of record, and where each begins.
func sampleJournal() (b []byte, starts []int) {
	b = appendHeader(nil, testPrint, testPieces, testFiles)
	set := bitfield.New(testPieces)
	set.Add(0)
	for _, add := range []func([]byte) []byte{
		func(b []byte) []byte {
			return appendRecord(b, recOpen, func(b []byte) []byte { return append(b, "boot"...) })
		},
		func(b []byte) []byte {
			return appendRecord(b, recSnapshot, func(b []byte) []byte { return append(b, set.Bytes()...) })
		},
		func(b []byte) []byte { return appendPieces(b, recGood, []uint32{3, noPiece, 4, 5}) },
		func(b []byte) []byte { return appendPieces(b, recBad, []uint32{4, 9}) },
		func(b []byte) []byte {
			return appendRecord(b, recMark, func(b []byte) []byte { return binary.LittleEndian.AppendUint32(b, 3) })
		},
		func(b []byte) []byte { return appendPieces(b, recGood, []uint32{7}) },
		func(b []byte) []byte { return appendAside(b, 1, true) },
		func(b []byte) []byte { return appendRename(b, 2, "a/b") },
		func(b []byte) []byte { return appendRecord(b, recDistrust, nil) },
		func(b []byte) []byte { return appendPieces(b, recGood, []uint32{8}) },
		func(b []byte) []byte { return appendClean(b, []stamp{{1, 2}, {-1, 0}, {3, 4}, {5, 6}}) },
	} {
		starts = append(starts, len(b))
		b = add(b)
	}
	return b, append(starts, len(b))
}

func members(s *bitfield.Set) (m []int) {
	for i := range s.Len() {
		if s.Has(i) {
			m = append(m, i)
		}
	}
	return m
}

func TestJournalReplay(t *testing.T) {
	b, _ := sampleJournal()
	v, n, err := decodeJournal(b, testPrint, testPieces, testFiles)
	if err != nil || n != len(b) {
		t.Fatal(n, err)
	}
	// 3 was marked; 4 was withdrawn before; 5 and 7 came after the mark and were distrusted; 8 came after that.
	if good, synced := members(&v.good), members(&v.synced); !slices.Equal(good, []int{0, 3, 8}) || !slices.Equal(synced, []int{0, 3}) {
		t.Error(good, synced)
	}
	if !v.aside[1] || !reflect.DeepEqual(v.renamed, map[int][]string{2: {"a/b"}}) || v.boot != "boot" {
		t.Error(v.aside, v.renamed, v.boot)
	}
	if !slices.Equal(v.clean, []stamp{{1, 2}, {-1, 0}, {3, 4}, {5, 6}}) {
		t.Error(v.clean)
	}
	again, _, err := decodeJournal(appendWhole(nil, v, testPrint, testFiles), testPrint, testPieces, testFiles)
	v.clean = nil
	if err != nil || !reflect.DeepEqual(again, v) {
		t.Errorf("%+v, want %+v, %v", again, v, err)
	}
}

// Wherever a crash cuts a journal, the records before count and nothing else does.
func TestJournalTorn(t *testing.T) {
	b, starts := sampleJournal()
	for cut := headerLen; cut <= len(b); cut++ {
		whole, _ := slices.BinarySearch(starts, cut+1)
		_, n, err := decodeJournal(b[:cut], testPrint, testPieces, testFiles)
		if err != nil || n != starts[whole-1] {
			t.Fatalf("cut at %d: %d bytes whole, want %d, %v", cut, n, starts[whole-1], err)
		}
		zeros := append(bytes.Clone(b[:starts[whole-1]]), make([]byte, 100)...)
		if _, n, err := decodeJournal(zeros, testPrint, testPieces, testFiles); err != nil || n != starts[whole-1] {
			t.Fatalf("zeros from %d: %d, %v", starts[whole-1], n, err)
		}
	}
}

// A flipped bit is noticed: before the last record it spoils the journal, in it that record is dropped.
func TestJournalDamage(t *testing.T) {
	b, starts := sampleJournal()
	last := starts[len(starts)-2]
	for bit := range len(b) * 8 {
		c := bytes.Clone(b)
		c[bit/8] ^= 1 << (bit % 8)
		_, n, err := decodeJournal(c, testPrint, testPieces, testFiles)
		switch {
		case bit/8 < last && !errors.Is(err, errCorrupt):
			// A damaged length can make the rest look like the beginning of one last record, never like whole ones.
			if at := starts[recordAt(starts, bit/8)]; err != nil || n != at || bit/8 < at+1 || bit/8 >= at+5 {
				t.Fatalf("bit %d: %d bytes whole, %v", bit, n, err)
			}
		case bit/8 >= last && err == nil && n != last:
			t.Fatalf("bit %d: %d bytes whole", bit, n)
		}
	}
}

func recordAt(starts []int, at int) int {
	i, found := slices.BinarySearch(starts, at)
	if !found {
		i--
	}
	return i
}

func TestJournalRefuses(t *testing.T) {
	b, starts := sampleJournal()
	head := b[:starts[1]]
	for name, c := range map[string][]byte{
		"empty":           nil,
		"piece too high":  appendPieces(bytes.Clone(head), recGood, []uint32{testPieces}),
		"bad piece":       appendPieces(bytes.Clone(head), recBad, []uint32{noPiece}),
		"file too high":   appendRename(bytes.Clone(head), testFiles, "x"),
		"aside too high":  appendAside(bytes.Clone(head), testFiles, true),
		"mark too far":    appendRecord(bytes.Clone(head), recMark, func(b []byte) []byte { return append(b, 1, 0, 0, 0) }),
		"spare bits":      appendRecord(bytes.Clone(head), recSnapshot, func(b []byte) []byte { return append(b, 0, 0, 1) }),
		"unknown kind":    append(appendRecord(bytes.Clone(head), 99, nil), b[starts[1]:]...),
		"another version": append([]byte("shoaljnl\x02"), b[9:]...),
	} {
		if _, _, err := decodeJournal(c, testPrint, testPieces, testFiles); !errors.Is(err, errCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, p := range [][2]int{{testPieces + 1, testFiles}, {testPieces, testFiles + 1}} {
		if _, _, err := decodeJournal(b, testPrint, p[0], p[1]); err == nil {
			t.Errorf("accepted for %v", p)
		}
	}
}

func FuzzJournal(f *testing.F) {
	b, starts := sampleJournal()
	f.Add(b[headerLen:])
	for i := range starts[1:] {
		f.Add(b[starts[i]:starts[i+1]])
	}
	f.Fuzz(func(t *testing.T, records []byte) {
		// The fuzzer does not guess checksums: make them right.
		journal := appendHeader(nil, testPrint, testPieces, testFiles)
		for len(records) >= frameLen {
			n := min(int(records[1]), len(records)-frameLen)
			journal = appendRecord(journal, kind(records[0]), func(b []byte) []byte { return append(b, records[5:5+n]...) })
			records = records[frameLen+n:]
		}
		journal = append(journal, records...)
		v, n, err := decodeJournal(journal, testPrint, testPieces, testFiles)
		if err != nil {
			return
		}
		if n > len(journal) || v.synced.Count() > v.good.Count() {
			t.Fatalf("%d bytes of %d, %d synced of %d", n, len(journal), v.synced.Count(), v.good.Count())
		}
		again, _, err := decodeJournal(appendWhole(nil, v, testPrint, testFiles), testPrint, testPieces, testFiles)
		if err != nil || !bytes.Equal(again.good.Bytes(), v.good.Bytes()) || !bytes.Equal(again.synced.Bytes(), v.synced.Bytes()) {
			t.Fatalf("%+v, then %+v, %v", v, again, err)
		}
	})
}

// bootDisk is the machine's disk after so many starts of it. Its syncs and writes can be made to fail.
type bootDisk struct {
	osDisk
	boot string
}

func (d bootDisk) bootID() string { return d.boot }

func testLedger(t *testing.T, path, boot string) *ledger {
	t.Helper()
	l, err := openLedger(bootDisk{boot: boot}, new(atomic.Int32), path, testPrint, testPieces, testFiles)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLedgerOverCrashes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "journal")
	stamps := make([]stamp, testFiles+1)
	want := func(boot string, good ...int) *ledger {
		t.Helper()
		l := testLedger(t, path, boot)
		if got := members(&l.v.good); !slices.Equal(got, good) {
			t.Fatalf("after boot %s: %v, want %v", boot, got, good)
		}
		return l
	}
	l := want("1")
	l.good([]uint32{1, 2})
	if err := l.mark(l.unsynced()); err != nil {
		t.Fatal(err)
	}
	l.good([]uint32{3})
	n := l.unsynced()
	l.good([]uint32{4}) // while the files of 3 were being synced
	if err := l.mark(n); err != nil {
		t.Fatal(err)
	}
	want("1", 1, 2, 3, 4)  // the process was killed
	l = want("2", 1, 2, 3) // the power failed
	l.good([]uint32{5})    // the new run begins to write
	want("2", 1, 2, 3, 5)  //
	l = want("3", 1, 2, 3) //
	l.bad([]uint32{2})     //
	l.good([]uint32{6})    //
	if l.mark(l.unsynced()) != nil || l.close(stamps) != nil {
		t.Fatal("close")
	}
	l = want("4", 1, 3, 6)
	if l.v.clean == nil {
		t.Fatal("no clean close")
	}
	before, _ := os.ReadFile(path)
	if err := errors.Join(l.mark(l.unsynced()), l.close(stamps)); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(after, before) {
		t.Fatal("a run without news wrote to the journal")
	}
	l = want("5", 1, 3, 6)
	l.doubt([]uint32{3})
	want("5", 1, 3, 6) // not written yet
	l.good([]uint32{7})
	l = want("5", 1, 6, 7)
	l.good([]uint32{8})
	l.distrust()
	want("5", 1, 6)
	// Without a boot id every start may follow a power failure.
	l = testLedger(t, path, "")
	l.good([]uint32{9})
	want("", 1, 6)
	l.remove()
	want("")
}

func TestLedgerSetsCorruptAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	if err := os.WriteFile(path, []byte("shoaljnl, or not"), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := openLedger(osDisk{}, new(atomic.Int32), path, testPrint, testPieces, testFiles)
	if !errors.Is(err, errCorrupt) || !strings.Contains(err.Error(), path) {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path + ".corrupt"); err != nil || string(b) != "shoaljnl, or not" {
		t.Fatal(b, err)
	}
	l.good([]uint32{1})
	if l = testLedger(t, path, bootID()); l.v.good.Count() != 1 {
		t.Fatal("the new journal is not in use")
	}
}

// A journal that cannot be written does no harm, and is written anew when it can be.
func TestLedgerUnwritable(t *testing.T) {
	dir := t.TempDir()
	blocked := filepath.Join(dir, "state")
	if err := os.WriteFile(blocked, nil, 0o644); err != nil { // a file where the folder should be
		t.Fatal(err)
	}
	l, err := openLedger(osDisk{}, new(atomic.Int32), filepath.Join(blocked, "journal"), testPrint, testPieces, testFiles)
	if err == nil {
		t.Fatal("no warning")
	}
	l.good([]uint32{1})
	if err := l.mark(l.unsynced()); err == nil {
		t.Fatal("no error")
	}
	l.good([]uint32{2})
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	if err := l.mark(l.unsynced()); err != nil {
		t.Fatal(err)
	}
	l = testLedger(t, filepath.Join(blocked, "journal"), "another")
	if got := members(&l.v.good); !slices.Equal(got, []int{1, 2}) {
		t.Fatal(got)
	}
}

func TestLedgerCompacts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	l := testLedger(t, path, "1")
	batch := make([]uint32, maxBatch)
	for i := range batch {
		batch[i] = uint32(i % testPieces)
	}
	for range 300 {
		l.good(batch)
	}
	fi, _ := os.Stat(path)
	if fi.Size() < compactAbove {
		t.Fatal(fi.Size())
	}
	if err := l.mark(l.unsynced()); err != nil {
		t.Fatal(err)
	}
	if fi, _ = os.Stat(path); fi.Size() > 1000 {
		t.Fatal(fi.Size())
	}
	l.bad([]uint32{4})
	if l = testLedger(t, path, "2"); l.v.good.Count() != testPieces-1 {
		t.Fatal(l.v.good.Count())
	}
}

// TestFewJournalsStayOpen has more contents record pieces than journals may be open; none of it is lost.
func TestFewJournalsStayOpen(t *testing.T) {
	dir, open := t.TempDir(), new(atomic.Int32)
	ledgers := make([]*ledger, 2*maxJournals)
	at := func(i int) string { return filepath.Join(dir, fmt.Sprint(i)) }
	for i := range ledgers {
		l, err := openLedger(osDisk{}, open, at(i), testPrint, testPieces, testFiles)
		if err != nil {
			t.Fatal(err)
		}
		ledgers[i] = l
	}
	for piece := range uint32(3) {
		for _, l := range ledgers {
			l.good([]uint32{piece})
		}
	}
	if n := open.Load(); n > maxJournals {
		t.Errorf("%d journals are open", n)
	}
	for _, l := range ledgers {
		if err := l.mark(l.unsynced()); err != nil {
			t.Fatal(err)
		}
	}
	if n := open.Load(); n != 0 {
		t.Errorf("%d journals are open after they were synced", n)
	}
	for i := range ledgers {
		l, err := openLedger(osDisk{}, open, at(i), testPrint, testPieces, testFiles)
		if err != nil || l.v.good.Count() != 3 || l.v.synced.Count() != 3 {
			t.Fatalf("journal %d vouches for %d pieces, %d of them synced: %v", i, l.v.good.Count(), l.v.synced.Count(), err)
		}
	}
}
