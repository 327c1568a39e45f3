package vectored

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// cut splits b into pieces of n bytes, with an empty one between each two.
func cut(b []byte, n int) (bufs [][]byte) {
	for ; len(b) > 0; b = b[min(n, len(b)):] {
		bufs = append(bufs, b[:min(n, len(b))], nil)
	}
	return bufs
}

func TestWriteAtAndRead(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := make([]byte, 10000)
	for i := range want {
		want[i] = byte(i * i >> 3)
	}
	const off = 5 << 30 // beyond 32 bits
	if n, err := WriteAt(f.Fd(), cut(want, 999), off); n != len(want) || err != nil {
		t.Fatal(n, err)
	}
	if _, err := f.Seek(off, 0); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want)+5)
	if n, err := Read(f.Fd(), cut(got, 1234)); n != len(want) || err != nil {
		t.Fatal(n, err)
	}
	if !bytes.Equal(got[:len(want)], want) {
		t.Error("other bytes were read")
	}
	if n, err := Read(f.Fd(), cut(got, 1234)); n != 0 || err != nil {
		t.Errorf("at the end: %d, %v", n, err)
	}
	if n, err := WriteAt(f.Fd(), cut(want, 10), 0); n != Max/2*10 || err != nil {
		t.Errorf("of too many buffers %d bytes were written: %v", n, err)
	}
	if n, err := WriteAt(^uintptr(0), cut(want, 999), 0); n != 0 || err != syscall.EBADF {
		t.Errorf("no descriptor: %d, %v", n, err)
	}
}

func TestNothingThere(t *testing.T) {
	var p [2]int
	if err := syscall.Pipe2(p[:], syscall.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(p[0])
	defer syscall.Close(p[1])
	if n, err := Read(uintptr(p[0]), cut(make([]byte, 10), 5)); n != 0 || err != syscall.EAGAIN {
		t.Error(n, err)
	}
}

func TestNoAllocations(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	bufs := cut(make([]byte, 10000), 999)
	fd := f.Fd()
	if n := testing.AllocsPerRun(100, func() {
		if _, err := WriteAt(fd, bufs, 0); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a call", n)
	}
}
