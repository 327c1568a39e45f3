package storage

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"shoal/internal/bitfield"
	"shoal/internal/layout"
)

// The journal of one content is a header and records, all integers little-endian.
//
//	header   magic "shoaljnl", version u32, fingerprint [32], pieces u32, files u32, CRC-32C of all that u32
//	record   type u8, length u32, payload, CRC-32C of all that u32
//
// What it vouches for is the outcome of its records in order. Its records may be cut anywhere at the end: that is what
// a crash leaves. Damage anywhere else makes all of it worthless.
const (
	journalMagic   = "shoaljnl"
	journalVersion = 1
	headerLen      = len(journalMagic) + 4 + sha256.Size + 4 + 4 + 4
	frameLen       = 1 + 4 + 4  // of a record around its payload
	journalMax     = 1 << 30    // bytes of a journal that is read at all
	maxBatch       = 4096       // pieces in one record
	maxPath        = 1 << 15    // bytes of a path in a record
	noPiece        = ^uint32(0) // an entry of the unsynced list that was withdrawn
)

// kind is the type of a record.
type kind byte

const (
	recOpen     kind = 1 + iota // a run of ours begins to write: the machine's boot id
	recGood                     // u32 each: pieces that are in the files, whole and right
	recBad                      // u32 each: pieces that no longer are
	recMark                     // u32 n: the first n good pieces since the last mark or snapshot survive a power loss
	recSnapshot                 // a bitfield: exactly these pieces are good, and survive a power loss
	recDistrust                 // a sync failed: pieces since the last mark are not good
	recAside                    // u32 file, u8: whether its bytes are kept in the parts file
	recRename                   // u32 file, path
	recClean                    // closed: for each file and the parts file, i64 size (-1: none) and i64 mtime in ns
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errCorrupt = errors.New("journal is corrupt")

// stamp is what a file looked like at a clean close.
type stamp struct{ size, mtime int64 }

// vouched is the outcome of a journal.
type vouched struct {
	boot     string
	good     bitfield.Set
	synced   bitfield.Set // the part of good that survives a power loss
	unsynced []uint32     // good pieces since the last mark, oldest first, or noPiece
	aside    map[int]bool
	renamed  map[int][]string // former paths that a crash may have left a file at, then the path it has
	clean    []stamp          // set if nothing happened since a clean close
}

func newVouched(pieces int) *vouched {
	return &vouched{good: bitfield.New(pieces), synced: bitfield.New(pieces)}
}

// layoutKey names a layout: it differs if any path, length or the division into pieces does.
func layoutKey(l *layout.Layout) [sha256.Size]byte {
	h := sha256.New()
	fmt.Fprintf(h, "%d %d %d\n", l.Size, l.PieceLength, len(l.Files))
	for i := range l.Files {
		f := &l.Files[i]
		fmt.Fprintf(h, "%d %d %q %q\n", f.Offset, f.Length, f.Path, f.Symlink)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// fingerprint ties a journal to a layout and the folder where it lies.
func fingerprint(key [sha256.Size]byte, root string) [sha256.Size]byte {
	return sha256.Sum256(append(key[:], root...))
}

func appendHeader(b []byte, print [sha256.Size]byte, pieces, files int) []byte {
	start := len(b)
	b = append(b, journalMagic...)
	b = binary.LittleEndian.AppendUint32(b, journalVersion)
	b = append(b, print[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(pieces))
	b = binary.LittleEndian.AppendUint32(b, uint32(files))
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// appendRecord appends a record whose payload fill appends.
func appendRecord(b []byte, k kind, fill func([]byte) []byte) []byte {
	start := len(b)
	b = append(b, byte(k), 0, 0, 0, 0)
	if fill != nil {
		b = fill(b)
	}
	binary.LittleEndian.PutUint32(b[start+1:], uint32(len(b)-start-5))
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// appendPieces appends as many records as a list of pieces needs.
func appendPieces(b []byte, k kind, pieces []uint32) []byte {
	for len(pieces) > 0 {
		n := min(len(pieces), maxBatch)
		b = appendRecord(b, k, func(b []byte) []byte {
			for _, p := range pieces[:n] {
				b = binary.LittleEndian.AppendUint32(b, p)
			}
			return b
		})
		pieces = pieces[n:]
	}
	return b
}

func appendRename(b []byte, file int, path string) []byte {
	return appendRecord(b, recRename, func(b []byte) []byte {
		return append(binary.LittleEndian.AppendUint32(b, uint32(file)), path...)
	})
}

func appendAside(b []byte, file int, aside bool) []byte {
	return appendRecord(b, recAside, func(b []byte) []byte {
		b = binary.LittleEndian.AppendUint32(b, uint32(file))
		if aside {
			return append(b, 1)
		}
		return append(b, 0)
	})
}

func appendClean(b []byte, stamps []stamp) []byte {
	return appendRecord(b, recClean, func(b []byte) []byte {
		for _, s := range stamps {
			b = binary.LittleEndian.AppendUint64(b, uint64(s.size))
			b = binary.LittleEndian.AppendUint64(b, uint64(s.mtime))
		}
		return b
	})
}

// appendWhole appends a header and records whose outcome is v, except for a clean close.
func appendWhole(b []byte, v *vouched, print [sha256.Size]byte, files int) []byte {
	b = appendHeader(b, print, v.good.Len(), files)
	b = appendRecord(b, recOpen, func(b []byte) []byte { return append(b, v.boot...) })
	b = appendRecord(b, recSnapshot, func(b []byte) []byte { return append(b, v.synced.Bytes()...) })
	b = appendPieces(b, recGood, v.unsynced)
	for f, aside := range v.aside {
		if aside {
			b = appendAside(b, f, true)
		}
	}
	for f, paths := range v.renamed {
		for _, p := range paths[max(0, len(paths)-2):] {
			b = appendRename(b, f, p)
		}
	}
	return b
}

// decodeJournal returns the outcome of a journal and how many bytes of it are whole; the rest was cut by a crash. The
// error says why the journal cannot be used at all.
func decodeJournal(b []byte, print [sha256.Size]byte, pieces, files int) (*vouched, int, error) {
	want := appendHeader(nil, print, pieces, files)
	if len(b) < headerLen || string(b[:headerLen]) != string(want) {
		return nil, 0, fmt.Errorf("%w: its header is of another version, content or folder", errCorrupt)
	}
	v := newVouched(pieces)
	at := headerLen
	for at < len(b) {
		k, payload, n := nextRecord(b[at:], pieces, files)
		if n == 0 {
			if !torn(b[at:], pieces, files) {
				return nil, 0, fmt.Errorf("%w at byte %d", errCorrupt, at)
			}
			break
		}
		if err := v.apply(k, payload, files); err != nil {
			return nil, 0, fmt.Errorf("%w at byte %d: %w", errCorrupt, at, err)
		}
		at += n
	}
	return v, at, nil
}

// nextRecord returns the record at the start of b and its length, or 0 if there is none.
func nextRecord(b []byte, pieces, files int) (kind, []byte, int) {
	if len(b) < frameLen {
		return 0, nil, 0
	}
	n := int64(binary.LittleEndian.Uint32(b[1:]))
	if !lengthFits(kind(b[0]), n, pieces, files) || int64(len(b)) < frameLen+n {
		return 0, nil, 0
	}
	body := b[:5+n]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(b[5+n:]) {
		return 0, nil, 0
	}
	return kind(b[0]), body[5:], int(frameLen + n)
}

func lengthFits(k kind, n int64, pieces, files int) bool {
	switch k {
	case recOpen:
		return n <= 255
	case recGood, recBad:
		return n%4 == 0 && n <= 4*maxBatch
	case recMark:
		return n == 4
	case recSnapshot:
		return n == int64((pieces+7)/8)
	case recDistrust:
		return n == 0
	case recAside:
		return n == 5
	case recRename:
		return n > 4 && n <= 4+maxPath
	case recClean:
		return n == 16*int64(files+1)
	}
	return false
}

// torn reports whether bytes that are no record look like one whose end never reached the disk: a beginning without
// an end, a last record with a wrong checksum, or zeros.
func torn(b []byte, pieces, files int) bool {
	zeros := true
	for _, c := range b {
		zeros = zeros && c == 0
	}
	if zeros || len(b) < 5 {
		return true
	}
	n := int64(binary.LittleEndian.Uint32(b[1:]))
	return lengthFits(kind(b[0]), n, pieces, files) && int64(len(b)) <= frameLen+n
}

// apply takes in one record whose length is right for its kind.
func (v *vouched) apply(k kind, p []byte, files int) error {
	if k != recClean {
		v.clean = nil
	}
	switch k {
	case recOpen:
		if v.boot != string(p) || v.boot == "" { // the machine has, or may have, gone down in between
			v.distrust()
		}
		v.boot = string(p)
	case recGood, recBad:
		for ; len(p) > 0; p = p[4:] {
			piece := binary.LittleEndian.Uint32(p)
			if k == recGood && piece == noPiece {
				v.unsynced = append(v.unsynced, noPiece)
			} else if int64(piece) >= int64(v.good.Len()) {
				return fmt.Errorf("piece %d of %d", piece, v.good.Len())
			} else if k == recGood {
				v.add(int(piece))
			} else {
				v.withdraw(int(piece))
			}
		}
	case recMark:
		n := binary.LittleEndian.Uint32(p)
		if int64(n) > int64(len(v.unsynced)) {
			return fmt.Errorf("mark of %d pieces behind %d", n, len(v.unsynced))
		}
		v.mark(int(n))
	case recSnapshot:
		s, err := bitfield.Parse(v.good.Len(), p)
		if err != nil {
			return err
		}
		v.good, v.synced, v.unsynced = s, s.Clone(), nil
	case recDistrust:
		v.distrust()
	case recAside, recRename:
		f := int64(binary.LittleEndian.Uint32(p))
		if f >= int64(files) {
			return fmt.Errorf("file %d of %d", f, files)
		}
		if k == recAside {
			v.setAside(int(f), p[4] != 0)
		} else {
			v.rename(int(f), string(p[4:]))
		}
	case recClean:
		v.clean = make([]stamp, files+1)
		for i := range v.clean {
			v.clean[i].size = int64(binary.LittleEndian.Uint64(p[16*i:]))
			v.clean[i].mtime = int64(binary.LittleEndian.Uint64(p[16*i+8:]))
		}
	}
	return nil
}

func (v *vouched) add(piece int) {
	v.good.Add(piece)
	v.unsynced = append(v.unsynced, uint32(piece))
}

func (v *vouched) withdraw(piece int) {
	if !v.good.Remove(piece) {
		return
	}
	v.synced.Remove(piece)
	for i, p := range v.unsynced {
		if p == uint32(piece) {
			v.unsynced[i] = noPiece
		}
	}
}

// mark moves the n oldest unsynced pieces to the synced ones.
func (v *vouched) mark(n int) {
	for _, p := range v.unsynced[:n] {
		if p != noPiece {
			v.synced.Add(int(p))
		}
	}
	if v.unsynced = append(v.unsynced[:0], v.unsynced[n:]...); len(v.unsynced) == 0 {
		v.unsynced = nil
	}
}

// distrust withdraws every piece that is not synced.
func (v *vouched) distrust() {
	v.good, v.unsynced = v.synced.Clone(), nil
}

func (v *vouched) setAside(file int, aside bool) {
	if v.aside == nil {
		v.aside = map[int]bool{}
	}
	v.aside[file] = aside
}

func (v *vouched) rename(file int, path string) {
	if v.renamed == nil {
		v.renamed = map[int][]string{}
	}
	v.renamed[file] = append(v.renamed[file], path)
}

// stampOf describes a file as a clean close records it.
func stampOf(size int64, mtime time.Time) stamp { return stamp{size, mtime.UnixNano()} }
