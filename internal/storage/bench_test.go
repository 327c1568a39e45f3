package storage

import (
	"crypto/sha1"
	"fmt"
	"hash"
	"path/filepath"
	"testing"

	"shoal/internal/block"
	"shoal/internal/layout"
	"shoal/internal/sha"
)

// oneSum expects every piece to have the same hash.
type oneSum struct {
	one  hash.Hash
	pair *sha.Pair1
	two  bool
	want [sha1.Size]byte
	got  [sha1.Size]byte
}

func newOneSum(want [sha1.Size]byte) *oneSum {
	return &oneSum{one: sha1.New(), pair: sha.NewPair1(), want: want}
}

func (s *oneSum) Reset(_, b int) {
	s.two = b >= 0
	s.one.Reset()
	s.pair.Reset()
}

func (s *oneSum) Write(a, b []byte) {
	if s.two {
		s.pair.Write(a, b)
	} else {
		s.one.Write(a)
	}
}

func (s *oneSum) Good() (a, b bool) {
	if s.two {
		x, y := s.pair.Sum()
		return x == s.want, y == s.want
	}
	return [sha1.Size]byte(s.one.Sum(s.got[:0])) == s.want, false
}

// BenchmarkVerify is the path of a download behind the network: take blocks, hash and write.
func BenchmarkVerify(b *testing.B) {
	for _, size := range []int{16 << 10, 1 << 20, 16 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) { benchmarkVerify(b, size) })
	}
}

func benchmarkVerify(b *testing.B, size int) {
	total := max(256<<20, size)
	pieces := total / size
	pool := block.NewPool(64 << 20)
	s := NewFiles(pool, FilesOptions{})
	dir := b.TempDir()
	l := &layout.Layout{PieceLength: int64(size), Size: int64(total), Files: []layout.File{{Path: "f", Length: int64(total)}}}
	want := sha1.Sum(make([]byte, size))
	room := make(chan struct{}, max(2, (32<<20)/size)) // pieces between Write and Done
	round := 0
	open := func() Handle {
		round++
		h, err := s.Open(Spec{
			Layout: l, Root: filepath.Join(dir, "root"), Journal: filepath.Join(dir, fmt.Sprint("journal", round)),
			NewSum: func() Sum { return newOneSum(want) },
			Done: func(rs ...Result) {
				for _, r := range rs {
					if !r.Good {
						b.Error(r.Err)
					}
					<-room
				}
			},
		})
		if err != nil {
			b.Fatal(err)
		}
		return h
	}
	h := open()
	b.SetBytes(int64(size))
	b.ReportAllocs()
	p := 0
	for b.Loop() {
		room <- struct{}{}
		for begin := 0; begin < size; begin += block.Size {
			h.Write(p, begin, pool.Get(nil))
		}
		h.Verify(p, false)
		if p++; p == pieces {
			b.StopTimer()
			h.Close()
			h, p = open(), 0
			b.StartTimer()
		}
	}
	for range cap(room) {
		room <- struct{}{}
	}
	h.Close()
	s.Close()
}

// BenchmarkRecheck reads and hashes 512 MiB that the page cache holds.
func BenchmarkRecheck(b *testing.B) {
	for _, size := range []int{256 << 10, 4 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) { benchmarkRecheck(b, size) })
	}
}

func benchmarkRecheck(b *testing.B, size int) {
	const total = 512 << 20
	s := NewFiles(block.NewPool(1<<20), FilesOptions{})
	dir := b.TempDir()
	l := &layout.Layout{PieceLength: int64(size), Size: total, Files: []layout.File{{Path: "f", Length: total}}}
	d, err := osDisk{}.open(dir, true)
	if err != nil {
		b.Fatal(err)
	}
	f, err := d.openFile("f", forWriting|creating)
	if err != nil {
		b.Fatal(err)
	}
	ones := make([]byte, size)
	for i := range ones {
		ones[i] = byte(i * 7)
	}
	for off := 0; off < total; off += size {
		f.WriteAt(ones, int64(off))
	}
	f.close()
	d.close()
	want := sha1.Sum(ones)
	got := make(chan bool, total/size)
	h, err := s.Open(Spec{
		Layout: l, Root: dir, NewSum: func() Sum { return newOneSum(want) },
		Done: func(rs ...Result) {
			for _, r := range rs {
				got <- r.Good
			}
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	all := make([]int, l.Pieces())
	for i := range all {
		all[i] = i
	}
	b.SetBytes(total)
	for b.Loop() {
		h.Recheck(all)
		for range all {
			if !<-got {
				b.Fatal("bad piece")
			}
		}
	}
	h.Close()
	s.Close()
}
