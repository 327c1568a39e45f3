//go:build linux

package interop

import (
	"fmt"
	"path/filepath"
	"testing"
)

// Encrypted and plain connections with real clients, both ways, under each policy of ours and both of theirs: RC4 or nothing, and as
// little as the other side allows (libtorrent: no encryption at all).
func TestEncryption(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		ours   string
		theirs options
		others []string
	}{
		{"require", options{RC4: true}, []string{"transmission", "aria2", "libtorrent"}},
		{"require", options{}, []string{"transmission", "aria2"}},
		{"prefer", options{RC4: true}, []string{"transmission", "aria2", "libtorrent"}},
		{"prefer", options{}, []string{"transmission", "aria2", "libtorrent"}},
		{"off", options{}, []string{"transmission", "aria2", "libtorrent"}},
	} {
		for _, other := range c.others {
			for _, way := range []string{"to", "from"} {
				if c.ours == "require" && !c.theirs.RC4 && other == "transmission" && way == "to" {
					continue // it dials plain and tries nothing else
				}
				t.Run(fmt.Sprintf("%s %s %s, RC4 only %v", c.ours, way, other, c.theirs.RC4), func(t *testing.T) {
					t.Parallel()
					s := scenario{other: other, road: "http", content: edges, version: "v1"}
					from, to := t.TempDir(), t.TempDir()
					path, made, tracker := s.stage(t, from)
					if way == "from" {
						seeder := starters[other](t, c.theirs)
						must(t, seeder.add(made.file, from))
						waitComplete(t, "the seeder has checked its data", seeder, running(seeder))
						tracker.waitSeeds(t, made)
						shoalGet(t, made.file, to, "--encryption", c.ours, "--no-utp")
					} else {
						seeder, addr := startShoal(t, "seed", made.file, "--dir", from, "--encryption", c.ours, "--no-utp")
						waitListening(t, seeder, addr)
						tracker.waitSeeds(t, made)
						leecher := starters[other](t, c.theirs)
						must(t, leecher.add(made.file, to))
						waitComplete(t, "the leecher has everything", leecher, running(leecher))
						leecher.stop()
					}
					sameFrom(t, other, path, filepath.Join(to, edges.name))
				})
			}
		}
	}
}
