//go:build linux

package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// said is a line of --json.
type said struct {
	Event, Reason              string
	Downloaded, Uploaded, Done int64
}

// lines reads what a process has said with --json until now.
func (p *process) lines(t *testing.T) (out []said) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(p.home, p.name+".log"))
	must(t, err)
	for line := range bytes.Lines(b) {
		var s said
		if json.Unmarshal(line, &s) == nil {
			out = append(out, s)
		}
	}
	return out
}

// stageCrash starts a shoal that seeds a file of size bytes and returns it, its address, the torrent and the file.
func stageCrash(t *testing.T, size int, args ...string) (seeder *process, addr, link, path string) {
	t.Helper()
	from := t.TempDir()
	path = content{"content.bin", func(add func(string, int)) { add("", size) }}.make(t, from)
	made := newLibtorrent(t, options{}).create(t, path, "v1", nil, nil)
	seeder, addr = startShoal(t, "seed", append(args, made.file, "--dir", from, "--isolated", "--json")...)
	waitListening(t, seeder, addr)
	return seeder, addr, made.file, path
}

// A download that is killed again and again goes on from where it was. The state of each attempt lies in one folder, as a
// person's does.
func TestShoalSurvivesKill(t *testing.T) {
	t.Parallel()
	const size, kills = 48 << 20, 20
	seeder, addr, link, path := stageCrash(t, size, "--limit-up", "8M") // a limit of get would leave what is unread in the kernel
	to, state := t.TempDir(), t.TempDir()
	args := []string{link, "-o", to, "--state", state, "--peer", addr, "--isolated", "--json"}
	random := rand.New(rand.NewPCG(1, 2))
	for range kills {
		p, _ := startShoal(t, "get", args...)
		time.Sleep(time.Duration(20+random.IntN(360)) * time.Millisecond)
		if p.ended() {
			t.Fatalf("it ended by itself, so that nothing is tested: %+v", p.lines(t))
		}
		p.kill()
	}
	p, _ := startShoal(t, "get", args...)
	if code := p.wait(t); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	sameTree(t, path, filepath.Join(to, "content.bin"))
	var sent int64
	waitFor(t, "the seeder has counted all", seeder, func() (bool, error) {
		all := seeder.lines(t)
		sent = all[len(all)-1].Uploaded
		return sent >= size && len(all) > 1 && all[len(all)-2].Uploaded == sent, nil
	})
	// Each kill costs the pieces in flight and what lay unread in the kernel. If nothing were kept, it would be above 60 %.
	again := 100 * float64(sent-size) / size
	t.Logf("%d bytes were sent for %d, %.0f %% again", sent, size, again)
	if again > 15 {
		t.Errorf("%.0f %% was sent again", again)
	}
}

// mountSmall makes a filesystem of its own, of size bytes.
func mountSmall(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("shoal-test", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatalf("tmpfs at %s: %v", dir, err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// A full disk stops nothing for good: the reason is said, and once there is room it goes on by itself.
func TestShoalDiskFull(t *testing.T) {
	t.Parallel()
	const size = 16 << 20
	for _, interrupted := range []bool{false, true} {
		t.Run(fmt.Sprintf("interrupted %v", interrupted), func(t *testing.T) {
			t.Parallel()
			_, addr, link, path := stageCrash(t, size)
			to := mountSmall(t, "8m")
			p, _ := startShoal(t, "get", link, "-o", to, "--peer", addr, "--isolated", "--json")
			waitFor(t, "the reason is said", p, func() (bool, error) {
				all := p.lines(t)
				if len(all) == 0 {
					return false, nil
				}
				last := all[len(all)-1]
				full := bytes.Contains([]byte(last.Reason), []byte(to)) && bytes.Contains([]byte(last.Reason), []byte("it goes on when there is room"))
				return full, fmt.Errorf("%+v", last)
			})
			if interrupted {
				p.cmd.Process.Signal(syscall.SIGINT)
				if code := p.wait(t); code != 5 {
					t.Errorf("exit code %d, want 5", code)
				}
				return
			}
			must(t, syscall.Mount("shoal-test", to, "tmpfs", syscall.MS_REMOUNT, "size=64m"))
			if code := p.wait(t); code != 0 {
				t.Errorf("exit code %d", code)
			}
			sameTree(t, path, filepath.Join(to, "content.bin"))
		})
	}
}
