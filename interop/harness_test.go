//go:build linux

package interop

import (
	"fmt"
	"path/filepath"
	"testing"
)

// starters start clients by name.
var starters = map[string]func(*testing.T, options) client{
	"transmission": startTransmission, "aria2": startAria2, "libtorrent": startLibtorrent,
}

// running returns the process behind a client.
func running(c client) *process {
	switch c := c.(type) {
	case *transmission:
		return c.process
	case *aria2:
		return c.process
	case *libtorrent:
		return c.process
	}
	panic(fmt.Sprintf("unknown client %T", c))
}

// The harness proves itself first: real clients fetch from one another everything that shoal will have to.
func TestRealClients(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		seeder, leecher string
		road            string // how they find each other: http or udp (a tracker), peer (told)
		content         content
		version         string
		magnet          bool
		options         options
	}{
		{"transmission", "libtorrent", "http", edges, "v1", false, options{}},
		{"libtorrent", "transmission", "udp", names, "v1", false, options{}},
		{"libtorrent", "transmission", "http", single, "v1", true, options{RC4: true}},
		{"aria2", "libtorrent", "http", manyFiles, "v1", false, options{}},
		{"libtorrent", "aria2", "http", names, "v1", false, options{}},
		{"libtorrent", "aria2", "http", edges, "v1", true, options{RC4: true}},
		{"transmission", "aria2", "http", single, "v1", false, options{}},
		{"libtorrent", "libtorrent", "peer", edges, "v2", false, options{}},
		{"libtorrent", "libtorrent", "peer", names, "v2", true, options{UTP: true}},
		{"libtorrent", "libtorrent", "http", edges, "hybrid", true, options{}},
		{"transmission", "libtorrent", "peer", edges, "v1", true, options{UTP: true}},
	} {
		name := fmt.Sprintf("%s to %s, %s, %s, %s", c.seeder, c.leecher, c.road, c.content.name, c.version)
		if c.magnet {
			name += ", magnet"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := t.TempDir(), t.TempDir()
			path := c.content.make(t, from)
			tracker := startTracker(t)
			maker := newLibtorrent(t, options{})
			urls := map[string][]string{"http": {tracker.http()}, "udp": {tracker.udp()}}[c.road]
			made := maker.create(t, path, c.version, urls, nil)
			if len(urls) > 0 {
				tracker.allow(t, made)
			}
			seeder := starters[c.seeder](t, c.options)
			must(t, seeder.add(made.file, from))
			waitComplete(t, "the seeder has checked its data", seeder, running(seeder))
			if len(urls) > 0 {
				tracker.waitSeeds(t, made)
			}
			leecher := starters[c.leecher](t, c.options)
			link := made.file
			if c.magnet {
				link = made.Magnet
			}
			must(t, leecher.add(link, to))
			if len(urls) == 0 {
				must(t, leecher.addPeer(seeder.addr()))
			}
			waitComplete(t, "the leecher has everything", leecher, running(leecher))
			leecher.stop()
			sameTree(t, path, filepath.Join(to, c.content.name))
		})
	}
}

func TestRealWebSeeds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		leecher string
		content content
	}{
		{"libtorrent", edges}, {"aria2", single}, {"libtorrent", names},
	} {
		t.Run(c.leecher+", "+c.content.name, func(t *testing.T) {
			t.Parallel()
			from, to := t.TempDir(), t.TempDir()
			path := c.content.make(t, from)
			made := newLibtorrent(t, options{}).create(t, path, "v1", nil, []string{startNginx(t, from)})
			leecher := starters[c.leecher](t, options{})
			must(t, leecher.add(made.file, to))
			waitComplete(t, "the leecher has everything", leecher, running(leecher))
			leecher.stop()
			sameTree(t, path, filepath.Join(to, c.content.name))
		})
	}
}
