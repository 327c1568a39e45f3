//go:build linux

package interop

import (
	"fmt"
	"path/filepath"
	"testing"
)

// startShoal runs one verb of shoal that listens for peers at an address of its own, which is returned.
func startShoal(t *testing.T, verb string, args ...string) (*process, string) {
	t.Helper()
	path, err := shoalBinary()
	must(t, err)
	addr := listenAddr(newIP())
	return start(t, "shoal "+verb, t.TempDir(), false, path, append([]string{verb, "--listen", addr, "--isolated"}, args...)...), addr
}

// shoalGet fetches link into dir with shoal and waits for the end.
func shoalGet(t *testing.T, link, dir string, args ...string) {
	t.Helper()
	p, _ := startShoal(t, "get", append([]string{link, "-o", dir, "--json"}, args...)...)
	if code := p.wait(t); code != 0 {
		t.Fatalf("shoal get ended with code %d", code)
	}
}

// scenario is one transfer between shoal and a real client.
type scenario struct {
	other   string // the client
	road    string // how they find each other: http or udp (a tracker), peer (told)
	content content
	version string
	magnet  bool
}

func (s scenario) String() string {
	name := fmt.Sprintf("%s, %s, %s, %s", s.other, s.road, s.content.name, s.version)
	if s.magnet {
		name += ", magnet"
	}
	return name
}

// stage makes what a scenario needs before the first client starts: content below from, its torrent, and a tracker if
// the road is one.
func (s scenario) stage(t *testing.T, from string) (path string, made torrent, tracker *opentracker) {
	t.Helper()
	path = s.content.make(t, from)
	tracker = startTracker(t)
	urls := map[string][]string{"http": {tracker.http()}, "udp": {tracker.udp()}}[s.road]
	made = newLibtorrent(t, options{}).create(t, path, s.version, urls, nil)
	if len(urls) == 0 {
		return path, made, nil
	}
	tracker.allow(t, made)
	return path, made, tracker
}

func (s scenario) link(made torrent) string {
	if s.magnet {
		return made.Magnet
	}
	return made.file
}

func TestShoalFetches(t *testing.T) {
	t.Parallel()
	for _, s := range []scenario{
		{"transmission", "peer", edges, "v1", false},
		{"transmission", "http", names, "v1", true},
		{"aria2", "peer", single, "v1", true},
		{"aria2", "http", manyFiles, "v1", false},
		{"libtorrent", "peer", single, "v1", false},
		{"libtorrent", "udp", names, "v1", false},
		{"libtorrent", "peer", edges, "v1", true},
		{"libtorrent", "peer", edges, "v2", false},
		{"libtorrent", "peer", manyFiles, "v2", true},
		{"libtorrent", "http", single, "v2", true},
		{"libtorrent", "peer", edges, "hybrid", false},
		{"libtorrent", "udp", names, "hybrid", true},
	} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			from, to := t.TempDir(), t.TempDir()
			path, made, tracker := s.stage(t, from)
			seeder := starters[s.other](t, options{})
			must(t, seeder.add(made.file, from))
			waitComplete(t, "the seeder has checked its data", seeder, running(seeder))
			if tracker != nil {
				tracker.waitSeeds(t, made)
				shoalGet(t, s.link(made), to)
			} else {
				shoalGet(t, s.link(made), to, "--peer", seeder.addr())
			}
			sameTree(t, path, filepath.Join(to, s.content.name))
		})
	}
}

func TestShoalSeeds(t *testing.T) {
	t.Parallel()
	for _, s := range []scenario{
		{"transmission", "http", edges, "v1", false},
		{"transmission", "udp", names, "v1", true},
		{"aria2", "http", manyFiles, "v1", false},
		{"aria2", "http", single, "v1", true},
		{"libtorrent", "peer", single, "v1", true},
		{"libtorrent", "udp", names, "v1", false},
		{"libtorrent", "peer", edges, "v2", false},
		{"libtorrent", "peer", manyFiles, "v2", true},
		{"libtorrent", "udp", edges, "hybrid", true},
	} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			from, to := t.TempDir(), t.TempDir()
			path, made, tracker := s.stage(t, from)
			seeder, addr := startShoal(t, "seed", made.file, "--dir", from)
			waitListening(t, seeder, addr)
			if tracker != nil {
				tracker.waitSeeds(t, made)
			}
			leecher := starters[s.other](t, options{})
			must(t, leecher.add(s.link(made), to))
			if tracker == nil {
				must(t, leecher.addPeer(addr))
			}
			waitComplete(t, "the leecher has everything", leecher, running(leecher))
			leecher.stop()
			sameFrom(t, s.other, path, filepath.Join(to, s.content.name))
		})
	}
}

// What shoal makes itself, others can read and fetch; and once shoal ends, the tracker knows.
func TestShoalShares(t *testing.T) {
	t.Parallel()
	for _, other := range []string{"libtorrent", "transmission", "aria2"} {
		t.Run(other, func(t *testing.T) {
			t.Parallel()
			from, to := t.TempDir(), t.TempDir()
			path := edges.make(t, from)
			file := filepath.Join(t.TempDir(), "shared.torrent")
			tracker := startTracker(t)
			args := []string{path, "-o", file, "--tracker", tracker.http()}
			if other != "libtorrent" { // Transmission 3 and aria2 cannot read hybrids, whoever made them
				args = append(args, "--v1")
			}
			seeder, _ := startShoal(t, "share", args...)
			reader := newLibtorrent(t, options{})
			var made torrent
			waitFor(t, "libtorrent reads shoal's torrent", seeder, func() (ok bool, err error) {
				made, err = reader.read(file)
				return err == nil, err
			})
			tracker.allow(t, made) // after shoal's first announce has failed
			hash := made.V1 + made.V2
			tracker.waitSeeds(t, made)
			leecher := starters[other](t, options{})
			must(t, leecher.add(file, to))
			waitComplete(t, "the leecher has everything", leecher, running(leecher))
			leecher.stop()
			sameFrom(t, other, path, filepath.Join(to, edges.name))
			before, err := tracker.seeds(hash)
			must(t, err)
			seeder.terminate(t)
			waitFor(t, "the tracker has forgotten shoal", nil, func() (bool, error) {
				now, err := tracker.seeds(hash)
				return err == nil && now == before-1, fmt.Errorf("%d seeds, before %d, %w", now, before, err)
			})
		})
	}
}

func TestShoalFetchesFromWebSeed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		content content
		version string
	}{{single, "v1"}, {edges, "v1"}, {names, "hybrid"}, {edges, "v2"}} {
		t.Run(c.content.name+", "+c.version, func(t *testing.T) {
			t.Parallel()
			from, to := t.TempDir(), t.TempDir()
			path := c.content.make(t, from)
			made := newLibtorrent(t, options{}).create(t, path, c.version, nil, []string{startNginx(t, from)})
			shoalGet(t, made.file, to)
			sameTree(t, path, filepath.Join(to, c.content.name))
		})
	}
}

// Three fetch from one seed and from one another.
func TestShoalAmongOthers(t *testing.T) {
	t.Parallel()
	s := scenario{road: "http", content: single, version: "v1"}
	from, to := t.TempDir(), t.TempDir()
	path, made, tracker := s.stage(t, from)
	seeder := starters["libtorrent"](t, options{})
	must(t, seeder.add(made.file, from))
	waitComplete(t, "the seeder has checked its data", seeder, running(seeder))
	tracker.waitSeeds(t, made)
	others := map[string]client{"aria2": nil, "libtorrent": nil}
	dirs := map[string]string{}
	for name := range others {
		others[name], dirs[name] = starters[name](t, options{}), t.TempDir()
		must(t, others[name].add(made.file, dirs[name]))
	}
	shoalGet(t, made.file, to)
	sameTree(t, path, filepath.Join(to, single.name))
	for name, c := range others {
		waitComplete(t, name+" has everything", c, running(c))
		c.stop()
		sameTree(t, path, filepath.Join(dirs[name], single.name))
	}
}
