//go:build linux

package main

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// seeder starts a client that has the content, checked.
func (b *bench) seeder(c client, k content, more ...string) (peer, error) {
	b.tracker.reset()
	p, err := c.start(seedAddr, b.seed, more...)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(p.add(k.torrent, k.hash), p.done(k.hash, time.Minute)); err != nil {
		p.stop()
		return nil, err
	}
	time.Sleep(500 * time.Millisecond) // its announce
	b.tracker.add(seedAddr)
	return p, nil
}

// transfer has one seed and leechers, all started with the same flags: seconds from adding the torrent until every piece is verified in the
// last of them.
func (b *bench) transfer(from, to client, k content, leechers int, more ...string) (values, error) {
	seed, err := b.seeder(from, k, more...)
	if err != nil {
		return nil, err
	}
	defer seed.stop()
	var ps []peer
	var dirs []string
	defer func() {
		for _, p := range ps {
			p.stop()
		}
	}()
	for i := range leechers {
		dir, err := b.fresh(fmt.Sprint("leech-", i))
		if err != nil {
			return nil, err
		}
		addr := leechAddr(i)
		p, err := to.start(addr, dir, more...)
		if err != nil {
			return nil, err
		}
		b.tracker.add(addr)
		ps, dirs = append(ps, p), append(dirs, dir)
	}
	v, err := b.race(seed, ps, k)
	if err != nil {
		return nil, err
	}
	time.Sleep(time.Second) // the last words about what was sent
	up, err := seed.uploaded(k.hash)
	if err != nil {
		return nil, err
	}
	v["copies"] = float64(up) / float64(k.size)
	for _, p := range ps {
		p.stop()
	}
	ps = nil
	for _, dir := range dirs {
		err = errors.Join(err, same(filepath.Join(b.seed, k.name), filepath.Join(dir, k.name)), os.RemoveAll(dir))
	}
	return v, err
}

// race measures how leechers fetch the content.
func (b *bench) race(seed peer, leechers []peer, k content) (values, error) {
	time.Sleep(300 * time.Millisecond)
	rate, err := b.quiet(int64(len(leechers))*k.size + 512<<20)
	if err != nil {
		return nil, err
	}
	seedCPU, leechCPU, leechAnon := -seed.measured().cpu(), 0.0, 0.0
	for _, p := range leechers {
		leechCPU -= p.measured().cpu()
	}
	began := time.Now()
	for _, p := range leechers {
		if err := p.add(k.torrent, k.hash); err != nil {
			return nil, err
		}
	}
	for _, p := range leechers {
		if err := p.done(k.hash, 2*time.Minute); err != nil {
			return nil, err
		}
	}
	wall := time.Since(began).Seconds()
	seedCPU += seed.measured().cpu()
	for _, p := range leechers {
		leechCPU += p.measured().cpu()
		leechAnon = max(leechAnon, p.measured().anonPeak())
	}
	return values{
		probe: rate, "wall_s": wall, "mbps": float64(k.size) * float64(len(leechers)) / wall / 1e6, "seed_cpu_s": seedCPU, "leech_cpu_s": leechCPU,
		"seed_anon_mib": seed.measured().anonPeak(), "leech_anon_mib": leechAnon,
	}, nil
}

// crossings are the pairs of different clients with shoal, and beside each the one with rtorrent in shoal's place.
var crossings = [][2]string{
	{"shoal→libtorrent", "rtorrent→libtorrent"},
	{"shoal→rtorrent", "rtorrent→rtorrent"},
	{"libtorrent→shoal", "libtorrent→rtorrent"},
}

// cross has different clients seed to one another.
func (b *bench) cross() error {
	sh, _ := b.client("shoal")
	lt, ok1 := b.client("libtorrent")
	rt, ok2 := b.client("rtorrent")
	if !ok1 || !ok2 {
		return errors.New("libtorrent and rtorrent are needed")
	}
	for n := range b.Runs {
		for _, p := range [][2]client{{sh, lt}, {rt, lt}, {sh, rt}, {rt, rt}, {lt, sh}, {lt, rt}} {
			name := p[0].name + "→" + p[1].name
			v, err := b.transfer(p[0], p[1], b.big, 1)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			b.keep("cross", name, n, v)
		}
	}
	return nil
}

// check is how long it takes to find that data on disk is sound, from adding the torrent.
func (b *bench) check(c client, _ int) (values, error) {
	b.tracker.reset()
	p, err := c.start(seedAddr, b.seed)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	rate, err := b.quiet(0)
	if err != nil {
		return nil, err
	}
	limit := sha1Rate(b.big.size)
	cpu, began := p.measured().cpu(), time.Now()
	err = errors.Join(p.add(b.big.torrent, b.big.hash), p.done(b.big.hash, time.Minute))
	return hashed(time.Since(began), p.measured().cpu()-cpu, b.big.size, limit, rate), err
}

// create is how long it takes to make a torrent, from starting the program to its end.
func (b *bench) create(c client, _ int) (values, error) {
	rate, err := b.quiet(0)
	if err != nil {
		return nil, err
	}
	out := filepath.Join(b.dir, "created.torrent")
	if err := os.RemoveAll(out); err != nil {
		return nil, err
	}
	limit := sha1Rate(b.big.size)
	args := c.create(filepath.Join(b.seed, "big"), out, bits.TrailingZeros64(uint64(b.big.piece)))
	cmd := exec.Command(args[0], args[1:]...)
	began := time.Now()
	if msg, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, msg)
	}
	wall := time.Since(began)
	_, err = os.Stat(out)
	return hashed(wall, (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), b.big.size, limit, rate), err
}

func hashed(wall time.Duration, cpu float64, size int64, limit, rate float64) values {
	mbps := float64(size) / wall.Seconds() / 1e6
	return values{probe: rate, "wall_s": wall.Seconds(), "mbps": mbps, "cpu_s": cpu, "sha1_all_mbps": limit, "share": mbps / limit}
}
