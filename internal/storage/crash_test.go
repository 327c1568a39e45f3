package storage_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"shoal/internal/block"
	"shoal/internal/storage"
	"shoal/internal/storage/storagetest"
)

// victimDir names the folder in which the test binary, run again, downloads until it is killed.
const victimDir = "SHOAL_STORAGE_TEST_VICTIM"

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimDir); dir != "" {
		victim(dir)
	}
	os.Exit(m.Run())
}

func crashContent() *storagetest.Content {
	return storagetest.NewContent(storagetest.Layout(64<<10, 700_000, 10, 3_000_000, 50_000, 900_000), 11)
}

func victimSpec(dir string, c *storagetest.Content, done func(...storage.Result)) storage.Spec {
	return storage.Spec{
		Layout: c.Layout, Root: filepath.Join(dir, "root"), Journal: filepath.Join(dir, "journal"), NewSum: c.Sum, Done: done,
		Skip: []bool{false, false, false, true, false},
	}
}

// victim downloads, syncs, withdraws and moves about without end. It says so once it has begun.
func victim(dir string) {
	c := crashContent()
	pool := block.NewPool(1 << 20)
	done := make(chan struct{}, c.Layout.Pieces())
	s := storage.NewFiles(pool, storage.FilesOptions{MaxOpen: 2})
	h, err := s.Open(victimSpec(dir, c, func(rs ...storage.Result) {
		for range rs {
			done <- struct{}{}
		}
	}))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("begun")
	for i := 0; ; i++ {
		if i%50 == 20 {
			h.Flush()
		}
		if i%70 == 30 {
			h.SetSkip(3, i%140 == 30)
		}
		p := rand.IntN(c.Layout.Pieces())
		for b := range c.Layout.Blocks(p) {
			blk := pool.Get(nil)
			off := c.Layout.PieceOffset(p) + int64(b*block.Size)
			blk.SetLen(copy(blk.Bytes(), c.Bytes[off:min(off+block.Size, c.Layout.Size)]))
			if i%9 == 0 {
				blk.Bytes()[0]++ // a bad piece, if it is not there yet
			}
			h.Write(p, b*block.Size, blk)
		}
		h.Verify(p, false)
		<-done
	}
}

// Whenever the process is killed, each piece that the journal vouches for hashes right.
func TestKilled(t *testing.T) {
	c := crashContent()
	dir := t.TempDir()
	vouched := 0
	for round := range 60 {
		if round%6 == 0 {
			dir = t.TempDir()
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), victimDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, _ := bufio.NewReader(out).ReadString('\n')
		time.Sleep(time.Duration(rand.IntN(12_000)) * time.Microsecond)
		cmd.Process.Kill()
		cmd.Wait()
		if line != "begun\n" {
			t.Fatalf("round %d: %q", round, line)
		}

		box := storagetest.NewBox()
		s := storage.NewFiles(block.NewPool(0), storage.FilesOptions{})
		spec := victimSpec(dir, c, box.Done)
		spec.Warn = func(err error) { t.Errorf("round %d: %v", round, err) }
		h, err := s.Open(spec)
		if err != nil {
			t.Fatal(err)
		}
		set := h.Sound()
		var sound []int
		for p := range set.Len() {
			if set.Has(p) {
				sound = append(sound, p)
			}
		}
		h.Recheck(sound)
		for p, r := range box.Wait(t, len(sound)) {
			if !r.Good {
				t.Errorf("round %d: piece %d is vouched for and bad", round, p)
			}
		}
		vouched += len(sound)
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		s.Close()
	}
	if vouched < 100 {
		t.Errorf("only %d pieces were ever vouched for", vouched)
	}
	t.Logf("%d pieces were vouched for", vouched)
}
