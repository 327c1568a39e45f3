//go:build linux

package main

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

//go:embed libtorrentpeer.py
var libtorrentPeer string

// client is a program that takes part.
type client struct {
	name   string
	tests  string                                                // what it takes part in
	start  func(addr, data string, more ...string) (peer, error) // more: flags that the client may ignore
	create func(path, out string, pieceLog int) []string         // the command that makes a v1 torrent
}

func (c client) can(test string) bool { return strings.Contains(" "+c.tests+" ", " "+test+" ") }

// peer is a running client.
type peer interface {
	// add adds a torrent whose data is, or will be, in the client's folder.
	add(torrent, hash string) error
	// done waits until every piece of it is there and verified.
	done(hash string, timeout time.Duration) error
	// uploaded returns the payload bytes that were sent.
	uploaded(hash string) (int64, error)
	// measured is the process.
	measured() *process
	// stop ends the process; what it wrote stays.
	stop()
}

// find returns the clients that are installed, shoal first.
func (b *bench) find() error {
	swarmpeer := filepath.Join(b.dir, "swarmpeer")
	b.shoal = filepath.Join(b.dir, "shoal")
	for out, pkg := range map[string]string{swarmpeer: "./bench/swarmpeer", b.shoal: "./cmd/shoal"} {
		build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=0") // as `make build` does
		if msg, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s (run this from the project's root): %w: %s", pkg, err, msg)
		}
	}
	b.have(client{
		name: "shoal", tests: "pair rc4 utp files v2 swarm check create torrents",
		start: lineProtocol(swarmpeer),
		create: func(path, out string, pieceLog int) []string {
			return []string{b.shoal, "create", path, "-o", out, "--v1", "-q", "--piece-size", strconv.Itoa(1 << pieceLog)}
		},
	}, output("git", "describe", "--always", "--dirty"))
	if v := output("/usr/bin/python3", "-c", "import libtorrent; print(libtorrent.__version__)"); v != "" {
		script := filepath.Join(b.dir, "libtorrentpeer.py")
		if err := os.WriteFile(script, []byte(libtorrentPeer), 0o644); err != nil {
			return err
		}
		b.have(client{name: "libtorrent", tests: "pair rc4 utp files v2 swarm check torrents", start: lineProtocol("/usr/bin/python3", script)}, v)
	}
	if v := output("rtorrent", "-h"); v != "" {
		_, v, _ = strings.Cut(strings.TrimSuffix(v, "."), "version ")
		b.have(client{name: "rtorrent", tests: "pair rc4 files swarm", start: b.rtorrent}, v)
	}
	if v := output("mktorrent", "-h"); v != "" {
		b.have(client{
			name: "mktorrent", tests: "create",
			create: func(path, out string, pieceLog int) []string {
				return []string{"mktorrent", "-t", "2", "-l", strconv.Itoa(pieceLog), "-o", out, path}
			},
		}, strings.Fields(v + " ?")[1])
	}
	return nil
}

func (b *bench) have(c client, version string) {
	b.clients = append(b.clients, c)
	b.versions = append(b.versions, c.name+" "+version)
}

// client returns the client of that name; ok is false if it is not installed.
func (b *bench) client(name string) (c client, ok bool) {
	for _, c := range b.clients {
		if c.name == name {
			return c, true
		}
	}
	return client{}, false
}
