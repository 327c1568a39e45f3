//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/bits"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"shoal/internal/bt/create"
	"shoal/internal/bt/metainfo"
)

// content is something to transfer.
type content struct {
	name, torrent, hash string
	size                int64
	piece               int64
}

type bench struct {
	o         *options
	dir, seed string
	shoal     string
	clients   []client
	versions  []string
	tracker   *tracker
	rows      []row

	big, files, v2, mid content
}

func newBench(o *options) (*bench, error) {
	dir, err := mountTmpfs(3*o.size + 4<<30)
	if err != nil {
		return nil, err
	}
	b := &bench{o: o, dir: dir, seed: filepath.Join(dir, "seed")}
	if err := errors.Join(os.Mkdir(b.seed, 0o755), b.find()); err != nil {
		return nil, err
	}
	if b.tracker, err = startTracker(peerAddr(1)); err != nil {
		return nil, err
	}
	return b, b.generate()
}

func (b *bench) close() {
	b.tracker.close()
	os.RemoveAll(b.dir) // the mount ends with the namespace
}

// generate makes the contents: one large file, 2,000 small ones, a smaller file for the swarm.
func (b *bench) generate() error {
	rng := rand.NewChaCha8([32]byte{20})
	sizes := rand.New(rand.NewPCG(1, 2))
	if err := writeRandom(filepath.Join(b.seed, "big"), b.o.size, rng); err != nil {
		return err
	}
	if err := writeRandom(filepath.Join(b.seed, "mid"), b.o.size/8, rng); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(b.seed, "files"), 0o755); err != nil {
		return err
	}
	for i := range 2000 {
		n := 64<<10 + sizes.Int64N(192<<10)
		if err := writeRandom(filepath.Join(b.seed, "files", fmt.Sprintf("f%04d.bin", i)), n, rng); err != nil {
			return err
		}
	}
	var err error
	make := func(name string, v metainfo.Version, piece int64, suffix string) (c content) {
		if err == nil {
			c, err = b.torrent(name, v, piece, suffix)
		}
		return c
	}
	b.big = make("big", metainfo.V1, 1<<20, "")
	b.v2 = make("big", metainfo.V2, 1<<20, "-v2")
	b.files = make("files", metainfo.V1, 256<<10, "")
	b.mid = make("mid", metainfo.V1, 256<<10, "")
	return err
}

func writeRandom(path string, n int64, rng io.Reader) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, rng, n)
	return errors.Join(err, f.Close())
}

func (b *bench) torrent(name string, v metainfo.Version, piece int64, suffix string) (content, error) {
	t, _, err := create.Torrent(context.Background(), filepath.Join(b.seed, name), metainfo.CreateOptions{
		Version: v, PieceLength: piece, Announce: [][]string{{b.tracker.url}},
	}, func(int64, int64) {})
	if err != nil {
		return content{}, err
	}
	c := content{name: name, torrent: filepath.Join(b.dir, name+suffix+".torrent"), hash: t.Info.Hash.Key().String(), size: t.Info.Layout.DataSize(), piece: piece}
	return c, os.WriteFile(c.torrent, t.Encode(), 0o644)
}

// fresh returns an empty folder for the n-th peer.
func (b *bench) fresh(n int) (string, error) {
	dir := filepath.Join(b.dir, fmt.Sprintf("leech-%d", n))
	return dir, errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o755))
}

// quiet readies the machine: memory that was given back costs ten times as much to touch again, so as many pages as will be
// needed are touched and freed. It returns the SHA-1 rate of one core, which tells a noisy neighbour from a slow client.
func (b *bench) quiet(pages int64) (float64, error) {
	buf := make([]byte, 64<<20)
	began := time.Now()
	sha1.Sum(buf)
	rate := float64(len(buf)) / time.Since(began).Seconds() / 1e6
	f, err := os.CreateTemp(b.dir, "pages-*")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return 0, err
	}
	for n := int64(0); n < pages; n += int64(len(buf)) {
		if _, err := f.Write(buf); err != nil {
			return 0, err
		}
	}
	return rate, nil
}

// seeder starts a client that has the content, checked.
func (b *bench) seeder(c client, k content) (*process, error) {
	b.tracker.reset()
	p, err := startPeer(c, peerAddr(2)+":20002", b.seed)
	if err != nil {
		return p, err
	}
	if err := errors.Join(p.say("add %s %s", k.torrent, k.hash), p.expect("done "+k.hash, time.Minute)); err != nil {
		return p, err
	}
	time.Sleep(500 * time.Millisecond)
	b.tracker.add(p.addr)
	return p, nil
}

// pair is one seed and one leecher: seconds from adding the torrent until every piece is verified.
func (b *bench) pair(c client, k content, _ int) (row, error) { return b.transfer(c, k, 1) }

// swarm is one seed and several leechers: seconds until the last is done, and the copies that the seed sent.
func (b *bench) swarm(c client, _ int) (row, error) { return b.transfer(c, b.mid, b.o.leechers) }

func (b *bench) transfer(c client, k content, leechers int) (r row, err error) {
	seed, err := b.seeder(c, k)
	if seed != nil {
		defer seed.stop()
	}
	if err != nil {
		return r, err
	}
	var ps []*process
	for i := range leechers {
		dir, err := b.fresh(i)
		if err != nil {
			return r, err
		}
		p, err := startPeer(c, fmt.Sprintf("%s:%d", peerAddr(3+i), 20003+i), dir)
		if p != nil {
			defer p.stop()
		}
		if err != nil {
			return r, err
		}
		b.tracker.add(p.addr)
		ps = append(ps, p)
	}
	time.Sleep(300 * time.Millisecond)
	if r.SHA1, err = b.quiet(int64(leechers)*k.size + 512<<20); err != nil {
		return r, err
	}
	r.SeedCPU, r.LeechCPU = -seed.cpu(), 0
	for _, p := range ps {
		r.LeechCPU -= p.cpu()
	}
	began := time.Now()
	for _, p := range ps {
		if err := p.say("add %s %s", k.torrent, k.hash); err != nil {
			return r, err
		}
	}
	for _, p := range ps {
		if err := p.expect("done "+k.hash, 2*time.Minute); err != nil {
			return r, err
		}
	}
	r.Wall = time.Since(began).Seconds()
	r.MBps = float64(k.size) * float64(leechers) / r.Wall / 1e6
	r.SeedCPU += seed.cpu()
	for _, p := range ps {
		r.LeechCPU += p.cpu()
		r.LeechAnon = max(r.LeechAnon, p.peakAnon())
	}
	r.SeedAnon = seed.peakAnon()
	time.Sleep(time.Second)
	up, err := seed.uploaded(k.hash)
	r.SeedCopies = float64(up) / float64(k.size)
	for i := range ps {
		err = errors.Join(err, same(filepath.Join(b.seed, k.name), filepath.Join(b.dir, fmt.Sprintf("leech-%d", i), k.name)))
	}
	return r, err
}

// check is how long it takes to find that data on disk is sound.
func (b *bench) check(c client, _ int) (r row, err error) {
	b.tracker.reset()
	p, err := startPeer(c, peerAddr(2)+":20002", b.seed)
	if p != nil {
		defer p.stop()
	}
	if err != nil {
		return r, err
	}
	if r.SHA1, err = b.quiet(0); err != nil {
		return r, err
	}
	cpu, began := p.cpu(), time.Now()
	err = errors.Join(p.say("add %s %s", b.big.torrent, b.big.hash), p.expect("done "+b.big.hash, time.Minute))
	r.Wall = time.Since(began).Seconds()
	r.MBps, r.SeedCPU = float64(b.big.size)/r.Wall/1e6, p.cpu()-cpu
	return r, err
}

// create is how long it takes to make a torrent.
func (b *bench) create(c client, _ int) (r row, err error) {
	if r.SHA1, err = b.quiet(0); err != nil {
		return r, err
	}
	out := filepath.Join(b.dir, "created.torrent")
	if err := os.RemoveAll(out); err != nil {
		return r, err
	}
	args := c.create(filepath.Join(b.seed, "big"), out, bits.TrailingZeros64(uint64(b.big.piece)))
	cmd := exec.Command(args[0], args[1:]...)
	began := time.Now()
	if msg, err := cmd.CombinedOutput(); err != nil {
		return r, fmt.Errorf("%w: %s", err, msg)
	}
	r.Wall = time.Since(began).Seconds()
	r.MBps = float64(b.big.size) / r.Wall / 1e6
	r.SeedCPU = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	_, err = os.Stat(out)
	return r, err
}

// same compares two files or folders byte for byte.
func same(want, got string) error {
	return filepath.WalkDir(want, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(want, path)
		if err != nil {
			return err
		}
		return sameFile(path, filepath.Join(got, rel))
	})
}

func sameFile(want, got string) error {
	f, err := os.Open(want)
	if err != nil {
		return err
	}
	defer f.Close()
	g, err := os.Open(got)
	if err != nil {
		return err
	}
	defer g.Close()
	a, b := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		n, err := io.ReadFull(f, a)
		m, _ := io.ReadFull(g, b)
		if n != m || !bytes.Equal(a[:n], b[:m]) {
			return fmt.Errorf("%s differs from %s", got, want)
		}
		if err != nil {
			return nil
		}
	}
}
