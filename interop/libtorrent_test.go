//go:build linux

package interop

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

//go:embed libtorrent.py
var libtorrentScript []byte

// options are what clients may be started with.
type options struct {
	UTP bool `json:"utp"` // over uTP (only, where the client can), else over TCP
	RC4 bool `json:"rc4"` // MSE with RC4 only, else as little as the client can
	// DHT is the nodes to begin with, as IP:PORT; without any, the client does without the DHT.
	DHT []string `json:"dht"`
	Up  int      `json:"up"` // libtorrent: most bytes/s that it sends of a torrent; 0: no limit
}

// libtorrent is a Python script on libtorrent's binding. It also makes torrents of all versions.
type libtorrent struct {
	*process
	ip      string
	answers chan []byte
}

func startLibtorrent(t *testing.T, o options) client { return newLibtorrent(t, o) }

func newLibtorrent(t *testing.T, o options) *libtorrent {
	t.Helper()
	const python = "/usr/bin/python3" // Debian's own, for which the binding is built
	if _, err := os.Stat(python); err != nil {
		t.Fatalf("%s is missing: apt-get install python3-libtorrent", python)
	}
	home, ip := t.TempDir(), newIP()
	script := filepath.Join(home, "peer.py")
	must(t, os.WriteFile(script, libtorrentScript, 0o644))
	opts, err := json.Marshal(o)
	must(t, err)
	c := &libtorrent{ip: ip, answers: make(chan []byte)}
	c.process = start(t, "libtorrent", home, true, python, script, listenAddr(ip), string(opts))
	go func() {
		defer close(c.answers)
		for lines := bufio.NewScanner(c.stdout); lines.Scan(); {
			select {
			case c.answers <- append([]byte(nil), lines.Bytes()...):
			case <-c.done:
				return
			}
		}
	}()
	if _, err := c.complete(); err != nil && c.ended() {
		t.Fatalf("libtorrent does not start (apt-get install python3-libtorrent): %v", err)
	}
	return c
}

// do calls one function of the script.
func (c *libtorrent) do(verb string, arguments map[string]any, result any) error {
	request := map[string]any{"do": verb}
	for name, v := range arguments {
		request[name] = v
	}
	line, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if _, err := c.stdin.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("libtorrent: %w", err)
	}
	select {
	case line, ok := <-c.answers:
		var failure struct{ Error string }
		if !ok {
			<-c.done
			return errors.New("libtorrent has ended")
		}
		if err := json.Unmarshal(line, &failure); err != nil || failure.Error != "" {
			return fmt.Errorf("libtorrent: %s: %s", verb, line)
		}
		return json.Unmarshal(line, result)
	case <-time.After(limit):
		return fmt.Errorf("libtorrent: %s: no answer", verb)
	}
}

// torrent is a torrent file and its names.
type torrent struct {
	file   string
	Magnet string
	V1, V2 string // infohashes in hexadecimal; empty if it has none
}

// create makes a torrent file of a path. version is v1, v2 or hybrid.
func (c *libtorrent) create(t *testing.T, path, version string, trackers, webSeeds []string) torrent {
	t.Helper()
	made := torrent{file: filepath.Join(t.TempDir(), version+".torrent")}
	must(t, c.do("create", map[string]any{"path": path, "out": made.file, "version": version, "piece": pieceLength,
		"trackers": append([]string{}, trackers...), "webseeds": append([]string{}, webSeeds...)}, &made))
	return made
}

// read returns what libtorrent makes of a torrent file.
func (c *libtorrent) read(file string) (torrent, error) {
	made := torrent{file: file}
	err := c.do("info", map[string]any{"path": file}, &made)
	return made, err
}

func (c *libtorrent) addr() string { return listenAddr(c.ip) }

func (c *libtorrent) add(link, dir string) error {
	return c.do("add", map[string]any{"link": link, "dir": dir}, &struct{}{})
}

func (c *libtorrent) complete() (bool, error) {
	var s struct {
		Complete bool
		State    string
		Progress float64
		Peers    int
		Problem  string
		Alerts   []string
	}
	if err := c.do("state", nil, &s); err != nil {
		return false, err
	}
	return s.Complete, fmt.Errorf("libtorrent: %+v", s)
}

func (c *libtorrent) addPeer(addr string) error {
	return c.do("peer", map[string]any{"addr": addr}, &struct{}{})
}

func (c *libtorrent) stop() { c.kill() }
