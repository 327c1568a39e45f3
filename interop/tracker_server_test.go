//go:build linux

package interop

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
)

// startShoalTracker runs shoal's tracker at an address of its own. It is asked in the same way as the other one.
func startShoalTracker(t *testing.T, args ...string) *opentracker {
	t.Helper()
	path, err := shoalBinary()
	must(t, err)
	o := &opentracker{ip: newIP()}
	listen := fmt.Sprintf("%s:%d", o.ip, trackerPort)
	o.process = start(t, "shoal tracker", t.TempDir(), false, path, append([]string{"tracker", "--json", "--listen", listen}, args...)...)
	waitListening(t, o.process, listen)
	return o
}

// Real clients announce to shoal's tracker and find one another, though one asks over UDP and the other over HTTP. Without its DHT
// aria2 speaks HTTP only.
func TestTrackerServesRealClients(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ seeder, over, leecher, under string }{
		{"transmission", "udp", "libtorrent", "http"},
		{"libtorrent", "udp", "aria2", "http"},
		{"aria2", "http", "transmission", "udp"},
		{"transmission", "http", "libtorrent", "udp"},
	} {
		t.Run(fmt.Sprintf("%s, %s, to %s, %s", c.seeder, c.over, c.leecher, c.under), func(t *testing.T) {
			t.Parallel()
			from, to := t.TempDir(), t.TempDir()
			path := edges.make(t, from)
			tracker := startShoalTracker(t)
			maker := newLibtorrent(t, options{})
			urls := map[string]string{"http": tracker.http(), "udp": tracker.udp()}
			one := maker.create(t, path, "v1", []string{urls[c.over]}, nil)
			other := maker.create(t, path, "v1", []string{urls[c.under]}, nil)
			if one.V1 != other.V1 {
				t.Fatal("the tracker is in the infohash")
			}
			seeder := starters[c.seeder](t, options{})
			must(t, seeder.add(one.file, from))
			waitComplete(t, "the seeder has checked its data", seeder, running(seeder))
			tracker.waitSeeds(t, one)
			leecher := starters[c.leecher](t, options{})
			must(t, leecher.add(other.file, to))
			waitComplete(t, "the leecher has everything", leecher, running(leecher))
			leecher.stop()
			sameFrom(t, c.leecher, path, filepath.Join(to, edges.name))
			var st struct{ Torrents, Peers, Announces int }
			resp, err := httpClient.Get(fmt.Sprintf("http://%s:%d/stats", tracker.ip, trackerPort))
			must(t, err)
			defer resp.Body.Close()
			must(t, json.NewDecoder(resp.Body).Decode(&st))
			if st.Torrents != 1 || st.Peers != 2 || st.Announces < 2 {
				t.Errorf("the tracker knows %+v", st)
			}
			if code := tracker.terminate(t); code != 0 {
				t.Errorf("the tracker ended with code %d", code)
			}
		})
	}
}

// Over IPv6 alone, by either protocol.
func TestTrackerOverIPv6(t *testing.T) {
	t.Parallel()
	path, err := shoalBinary()
	must(t, err)
	tracker := start(t, "shoal tracker", t.TempDir(), false, path, "tracker", "--listen", "[::1]:6970")
	waitListening(t, tracker, "[::1]:6970")
	for i, scheme := range []string{"udp", "http"} {
		from, to := t.TempDir(), t.TempDir()
		content := edges.make(t, from)
		file := filepath.Join(t.TempDir(), "six.torrent")
		seedAddr := fmt.Sprintf("[::1]:%d", 24000+i)
		run := func(verb, addr string, args ...string) *process {
			return start(t, "shoal "+verb, t.TempDir(), false, path, append([]string{verb, "--isolated", "--no-dht", "--no-lsd", "--listen", addr}, args...)...)
		}
		seeder := run("share", seedAddr, content, "-o", file, "--comment", scheme, "--name", "six "+scheme, "--tracker", scheme+"://[::1]:6970/announce")
		waitListening(t, seeder, seedAddr)
		if code := run("get", fmt.Sprintf("[::1]:%d", 24010+i), file, "-o", to).wait(t); code != 0 {
			t.Fatalf("%s: shoal get ended with code %d", scheme, code)
		}
		sameTree(t, content, filepath.Join(to, "six "+scheme))
	}
	if code := tracker.terminate(t); code != 0 {
		t.Errorf("the tracker ended with code %d", code)
	}
}

// What is not on the list gets no peers, and the real client says why.
func TestTrackerListsTorrents(t *testing.T) {
	t.Parallel()
	from, dir := t.TempDir(), t.TempDir()
	path := edges.make(t, from)
	tracker := startShoalTracker(t, "--allow", dir)
	made := newLibtorrent(t, options{}).create(t, path, "hybrid", []string{tracker.http()}, nil)
	seeder := starters["libtorrent"](t, options{})
	must(t, seeder.add(made.file, from))
	waitComplete(t, "the seeder has checked its data", seeder, running(seeder))
	var refused struct{ Refused, Peers int }
	stats := func() error {
		resp, err := httpClient.Get(fmt.Sprintf("http://%s:%d/stats", tracker.ip, trackerPort))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		return json.NewDecoder(resp.Body).Decode(&refused)
	}
	waitFor(t, "the tracker refuses the torrent", tracker.process, func() (bool, error) {
		err := stats()
		return refused.Refused > 0, err
	})
	if refused.Peers != 0 {
		t.Errorf("it knows %d peers", refused.Peers)
	}
}
