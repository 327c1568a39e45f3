//go:build linux

package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"shoal/internal/api"
	"shoal/internal/library"
)

// shoalNode is a node, as people run it.
type shoalNode struct {
	*api.Client
	*process
	t    *testing.T
	home string
	addr string // for peers
}

// nobody is a user who may do little.
const nobody = 65534

// startNode runs a node with everything below home, as root.
func startNode(t *testing.T, home string, args ...string) *shoalNode {
	t.Helper()
	n := newNode(t, home, nil, args...)
	waitFor(t, "the node answers", n.process, func() (bool, error) {
		_, err := n.Stats(t.Context())
		return err == nil, err
	})
	return n
}

// newNode starts a node. Before it come the words of a program that runs it.
func newNode(t *testing.T, home string, before []string, args ...string) *shoalNode {
	t.Helper()
	path, err := shoalBinary()
	must(t, err)
	n := &shoalNode{t: t, home: home, addr: listenAddr(newIP())}
	words := append(append([]string{}, before...), path, "daemon", "--home", home, "--listen", n.addr, "--isolated", "--no-dht", "--api-listen", "", "--log-level", "debug")
	words = append(words, args...)
	n.process = start(t, "node", t.TempDir(), false, words[0], words[1:]...)
	n.Client = api.NewLocal(filepath.Join(home, "run", "api.sock"))
	t.Cleanup(n.Client.Close)
	return n
}

// give adds a .torrent file and returns its id.
func (n *shoalNode) give(link string, q api.AddRequest) string {
	n.t.Helper()
	b, err := os.ReadFile(link)
	must(n.t, err)
	q.Torrents = append(q.Torrents, b)
	got, err := n.Add(n.t.Context(), q)
	must(n.t, err)
	if len(got.Added) != 1 {
		n.t.Fatalf("%+v", got)
	}
	return got.Added[0].ID
}

// until waits until a torrent is as it should be.
func (n *shoalNode) until(id, what string, is func(library.Torrent) bool) library.Torrent {
	n.t.Helper()
	var row library.Torrent
	waitFor(n.t, what, n.process, func() (bool, error) {
		d, err := n.Get(n.t.Context(), id)
		if err != nil {
			return false, err
		}
		row = d.Torrent
		return is(row), fmt.Errorf("%s, %d bytes: %s", row.State, row.Done, row.Reason)
	})
	return row
}

// standsStill waits until a torrent stands still for a reason with all of some words.
func (n *shoalNode) standsStill(id string, words ...string) {
	n.t.Helper()
	n.until(id, "it stands still and says why", func(r library.Torrent) bool {
		for _, w := range words {
			if !strings.Contains(r.Reason, w) {
				return false
			}
		}
		return r.State == library.Failed
	})
}

func (n *shoalNode) complete(id string) library.Torrent {
	n.t.Helper()
	return n.until(id, "it is complete", func(r library.Torrent) bool { return r.State == library.Seeding && r.Done == r.Size })
}

func resize(t *testing.T, mount, size string) {
	t.Helper()
	must(t, syscall.Mount("shoal-test", mount, "tmpfs", syscall.MS_REMOUNT, "size="+size))
}

// A full disk stops the torrents on it and no other, not even the seeding of what is complete on it; with room they go on by themselves.
func TestNodeDiskFull(t *testing.T) {
	t.Parallel()
	_, small, smallLink, smallPath := stageCrash(t, 2<<20)
	_, big, bigLink, bigPath := stageCrash(t, 16<<20)
	_, other, otherLink, otherPath := stageCrash(t, 3<<20)
	full := mountSmall(t, "8m")
	n := startNode(t, t.TempDir(), "--disk-free-space-floor", "0")
	first := n.give(smallLink, api.AddRequest{Dir: filepath.Join(full, "a"), Peers: []string{small}})
	n.complete(first)
	stuck := n.give(bigLink, api.AddRequest{Dir: filepath.Join(full, "b"), Peers: []string{big}})
	n.standsStill(stuck, full, "no space left", "it goes on when there is room")
	elsewhere := n.give(otherLink, api.AddRequest{Peers: []string{other}})
	sameTree(t, otherPath, n.complete(elsewhere).Path)
	to := t.TempDir()
	shoalGet(t, smallLink, to, "--peer", n.addr)
	sameTree(t, smallPath, filepath.Join(to, "content.bin"))
	resize(t, full, "64m")
	sameTree(t, bigPath, n.complete(stuck).Path)
}

// The floor counts for each filesystem by itself.
func TestNodeFloor(t *testing.T) {
	t.Parallel()
	const floor = "48MiB"
	_, peer1, link1, path1 := stageCrash(t, 4<<20)
	_, peer2, link2, path2 := stageCrash(t, 5<<20)
	low, high := mountSmall(t, "32m"), mountSmall(t, "256m")
	n := startNode(t, t.TempDir(), "--disk-free-space-floor", floor)
	held := n.give(link1, api.AddRequest{Dir: filepath.Join(low, "a"), Peers: []string{peer1}, DownLimit: 100_000}) // longer than the time between looks
	n.standsStill(held, low, "48.0 MiB are to stay free", "it goes on when there is room")
	free := n.give(link2, api.AddRequest{Dir: filepath.Join(high, "a"), Peers: []string{peer2}})
	sameTree(t, path2, n.complete(free).Path)
	stats, err := n.Stats(t.Context())
	must(t, err)
	for _, d := range stats.Disks {
		if d.Mount == low && !d.Full || d.Mount == high && d.Full {
			t.Errorf("%+v", d)
		}
	}
	none := int64(0)
	_, err = n.Change(t.Context(), held, library.Change{DownLimit: &none})
	must(t, err)
	resize(t, low, "256m")
	sameTree(t, path1, n.complete(held).Path)
}

// A node that may not write to a folder says so, and goes on when it may.
func TestNodePermission(t *testing.T) {
	t.Parallel()
	_, addr, link, path := stageCrash(t, 3<<20)
	must(t, os.Chmod(scratch, 0o755)) // the user is to find the program
	home := t.TempDir()
	must(t, os.Chmod(filepath.Dir(home), 0o755)) // and its home
	must(t, os.Chown(home, nobody, nobody))
	as := []string{needProgram(t, "setpriv", "util-linux"), "--reuid", fmt.Sprint(nobody), "--regid", fmt.Sprint(nobody), "--clear-groups"}
	n := newNode(t, home, as)
	waitFor(t, "the node answers", n.process, func() (bool, error) {
		_, err := n.Stats(t.Context())
		return err == nil, err
	})
	dir := filepath.Join(home, "closed")
	must(t, os.Mkdir(dir, 0o755)) // root's
	id := n.give(link, api.AddRequest{Dir: dir, Peers: []string{addr}})
	n.standsStill(id, "permission denied", dir)
	must(t, os.Chown(dir, nobody, nobody))
	must(t, n.Act(t.Context(), library.Resume, id))
	sameTree(t, path, n.complete(id).Path)
	if code := n.terminate(t); code != 0 {
		t.Errorf("exit code %d", code)
	}

	// The same with the state, without which there is no node.
	must(t, os.Chmod(filepath.Join(home, "state"), 0o500))
	n = newNode(t, home, as)
	if code := n.wait(t); code != 1 {
		t.Errorf("without state: exit code %d", code)
	}
	said, err := os.ReadFile(filepath.Join(n.process.home, "node.log"))
	must(t, err)
	if !bytes.Contains(said, []byte(filepath.Join(home, "state"))) || !bytes.Contains(said, []byte("check its owner and mode")) {
		t.Errorf("without state: %s", said)
	}
}

// What was complete on a disk that is not there is not fetched anew to where it would be.
func TestNodeDiskGone(t *testing.T) {
	t.Parallel()
	_, addr, link, path := stageCrash(t, 2<<20)
	_, addr2, link2, path2 := stageCrash(t, 3<<20, "--limit-up", "300k")
	home, disk, mount := t.TempDir(), t.TempDir(), t.TempDir()
	attach := func() { must(t, syscall.Mount(disk, mount, "", syscall.MS_BIND, "")) }
	detach := func() { must(t, syscall.Unmount(mount, syscall.MNT_DETACH)) }
	attach()
	n := startNode(t, home)
	id := n.give(link, api.AddRequest{Dir: mount, Peers: []string{addr}})
	n.complete(id)
	part := n.give(link2, api.AddRequest{Dir: filepath.Join(mount, "part"), Peers: []string{addr2}})
	n.until(part, "some is there", func(r library.Torrent) bool { return r.Done > 0 })
	if code := n.terminate(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	detach()
	n = startNode(t, home)
	n.standsStill(id, "files are missing")
	n.standsStill(part, filepath.Join(mount, "part")+" is not there")
	if files := tree(t, mount); len(files) > 0 {
		t.Errorf("fetched anew: %d files", len(files))
	}
	attach()
	defer detach()
	must(t, n.Act(t.Context(), library.Resume, id, part))
	sameTree(t, path, n.complete(id).Path)
	row := n.complete(part)
	sameTree(t, path2, row.Path)
	if row.Downloaded > row.Size+row.Size/4 {
		t.Errorf("%d bytes were fetched for %d", row.Downloaded, row.Size)
	}
}

// A node that is killed again and again while it downloads fetches again only what was not verified.
func TestNodeKilled(t *testing.T) {
	t.Parallel()
	const size, kills = 24 << 20, 5
	seeder, addr, link, path := stageCrash(t, size, "--limit-up", "3M")
	home := t.TempDir()
	n := startNode(t, home)
	id := n.give(link, api.AddRequest{Peers: []string{addr}, Category: "kept"})
	row := n.until(id, "some is there", func(r library.Torrent) bool { return r.Done > 0 })
	if code := n.terminate(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	counted := row.Downloaded
	for range kills {
		before := row.Done
		n = startNode(t, home)
		row = n.until(id, "more is there", func(r library.Torrent) bool { return r.Done > before })
		n.kill()
	}
	n = startNode(t, home)
	row = n.complete(id)
	sameTree(t, path, row.Path)
	if row.Downloaded < counted || row.Category != "kept" {
		t.Errorf("%+v", row)
	}
	var sent int64
	waitFor(t, "the seeder has counted all", seeder, func() (bool, error) {
		all := seeder.lines(t)
		sent = all[len(all)-1].Uploaded
		return sent >= size && len(all) > 1 && all[len(all)-2].Uploaded == sent, nil
	})
	again := 100 * float64(sent-size) / size
	t.Logf("%d bytes were sent for %d, %.0f %% again", sent, size, again)
	if again > 15 { // if nothing were kept, it would be above 100 %
		t.Errorf("%.0f %% was sent again", again)
	}

	// A corrupt journal costs a look at the disk, and fetches nothing.
	if code := n.terminate(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	journals, err := filepath.Glob(filepath.Join(home, "state", "torrents", "*.journal"))
	must(t, err)
	if len(journals) != 1 {
		t.Fatalf("journals: %q", journals)
	}
	must(t, os.WriteFile(journals[0], bytes.Repeat([]byte("corrupt"), 1000), 0o600))
	n = startNode(t, home)
	if row = n.complete(id); row.Downloaded > size {
		t.Errorf("%d bytes were fetched", row.Downloaded)
	}
	sameTree(t, path, row.Path)
}

// When the state's disk is full, what cannot be kept is refused in words, and what was acknowledged stays.
func TestNodeStateFull(t *testing.T) {
	t.Parallel()
	home := mountSmall(t, "6m")
	_, peer, link, path := stageCrash(t, 6<<20, "--limit-up", "2M")
	_, _, later, _ := stageCrash(t, 1<<20)
	n := startNode(t, home, "--downloads", t.TempDir())
	var kept []string
	add := func(ctx context.Context, i int) error {
		got, err := n.Add(ctx, api.AddRequest{Links: []string{fmt.Sprintf("%040x", i+1)}, Paused: true, Tags: []string{strings.Repeat("t", 150)}})
		if err == nil && len(got.Failed) > 0 {
			return errors.New(got.Failed[0].Message)
		}
		if err == nil {
			kept = append(kept, got.Added[0].ID)
		}
		return err
	}
	must(t, add(t.Context(), 0))
	under := n.give(link, api.AddRequest{Peers: []string{peer}})
	kept = append(kept, under)
	ballast := filepath.Join(home, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 8<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	var refused error
	for i := 1; i < 2000 && refused == nil; i++ {
		refused = add(t.Context(), i)
	}
	var p *api.Problem
	if refused == nil || !strings.Contains(refused.Error(), "no space is left on the disk") || errors.As(refused, &p) && p.Status != http.StatusInsufficientStorage {
		t.Fatalf("refused with %v", refused)
	}
	b, err := os.ReadFile(later)
	must(t, err)
	if got, err := n.Add(t.Context(), api.AddRequest{Torrents: [][]byte{b}}); err == nil && len(got.Failed) == 0 {
		t.Errorf("a .torrent file was taken: %+v", got)
	} else if text := fmt.Sprint(got.Failed, err); !strings.Contains(text, "no space") {
		t.Errorf("a .torrent file was refused with %s", text)
	}
	there := func(what string) {
		t.Helper()
		page, err := n.List(t.Context(), library.Query{})
		must(t, err)
		have := map[string]bool{}
		for _, r := range page.Torrents {
			have[r.ID] = true
		}
		for _, id := range kept {
			if !have[id] {
				t.Errorf("%s: %s is lost", what, id)
			}
		}
		if len(have) != len(kept) {
			t.Errorf("%s: %d torrents, of which %d were acknowledged", what, len(have), len(kept))
		}
	}
	there("full")
	if err := n.Act(t.Context(), library.Remove, kept[0]); err == nil {
		kept = kept[1:] // there was room for that
	}
	there("full, after a removal")
	must(t, os.Remove(ballast))
	must(t, add(t.Context(), 5000))
	there("with room again")
	sameTree(t, path, n.complete(under).Path)
	n.kill()
	n = startNode(t, home, "--downloads", t.TempDir())
	there("killed and started again")
}
