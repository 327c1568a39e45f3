//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"shoal/internal/bt/metainfo"
)

// settle is how long memory and trackers are left alone before idleness is measured.
func (b *bench) settle() time.Duration { return b.window() / 2 }

// window is how long what is steady is watched.
func (b *bench) window() time.Duration { return time.Duration(b.Window * float64(time.Second)) }

// idle is what peers cost a seed that want everything, are choked or ask for nothing, and say nothing: memory, and processor time
// over three windows, since peers hear of others once a minute (BEP 11).
func (b *bench) idle() error {
	c, _ := b.client("shoal")
	seed, err := b.seeder(c, b.mid, "--max-peers", strconv.Itoa(b.Idle+100))
	if err != nil {
		return err
	}
	defer seed.stop()
	p := seed.measured()
	time.Sleep(b.settle())
	empty := p.anonNow()
	ctx, cancel := context.WithCancel(context.Background())
	var w crowd
	defer w.wg.Wait()
	defer cancel()
	cpu, began := p.cpu(), time.Now()
	if err := w.gather(ctx, 1, b.Idle, seedAddr, b.mid.swarm, idler); err != nil {
		return err
	}
	join, joinCPU := time.Since(began).Seconds(), p.cpu()-cpu
	time.Sleep(b.settle())
	busy := p.busy(3 * b.window())
	if n := int(w.here.Load()); n < b.Idle {
		return fmt.Errorf("only %d of %d idle peers are still connected", n, b.Idle)
	}
	b.keep("idle", c.name, 0, values{
		"anon_kib_per_peer": (p.anonNow() - empty) * 1024 / float64(b.Idle), "cpu_share": busy, "join_s": join, "join_cpu_s": joinCPU, "empty_anon_mib": empty,
	})
	return nil
}

const smallSize = 64 << 10 // bytes of each of the many torrents

// torrents is what many seeding torrents cost that nobody wants: adding them, starting again when they are remembered,
// memory and processor time. Clients beside shoal get a tenth of the number, which is enough to know.
func (b *bench) torrents() error {
	ks, err := b.generateSmall()
	if err != nil {
		return err
	}
	defer os.RemoveAll(filepath.Join(b.dir, "small"))
	for _, c := range b.clients {
		if !c.can("torrents") {
			continue
		}
		some := ks
		if c.name != "shoal" {
			some = ks[:len(ks)/10]
		}
		v, err := b.idleTorrents(c, some)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		b.keep("torrents", c.name, 0, v)
	}
	return nil
}

func (b *bench) generateSmall() ([]content, error) {
	dir, err := b.fresh("small")
	if err != nil {
		return nil, err
	}
	rng := rand.NewChaCha8([32]byte{21})
	var ks []content
	for i := range b.Torrents {
		path := filepath.Join(dir, fmt.Sprintf("s%05d", i))
		if err := writeRandom(path, smallSize, rng); err != nil {
			return nil, err
		}
		k, err := b.describe(path, metainfo.V1, 16<<10)
		if err != nil {
			return nil, err
		}
		ks = append(ks, k)
	}
	return ks, nil
}

func (b *bench) idleTorrents(c client, ks []content) (values, error) {
	state, err := b.fresh("state")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(state)
	b.tracker.reset()
	p, err := c.start(seedAddr, filepath.Join(b.dir, "small"), "--state", state)
	if err != nil {
		return nil, err
	}
	defer func() { p.stop() }()
	time.Sleep(b.settle())
	empty := p.measured().anonNow()
	v := values{"torrents": float64(len(ks)), "empty_anon_mib": empty}
	if v["start_s"], err = addAll(p, ks); err != nil {
		return nil, err
	}
	if err := b.announced(len(ks)); err != nil {
		return nil, err
	}
	if c.name == "shoal" { // the others keep no state here
		v["first_anon_kib_per_torrent"] = (p.measured().anonNow() - empty) * 1024 / float64(len(ks))
		p.stop()
		b.tracker.reset()
		if p, err = c.start(seedAddr, filepath.Join(b.dir, "small"), "--state", state); err != nil {
			return nil, err
		}
		if v["restart_s"], err = addAll(p, ks); err != nil {
			return nil, err
		}
		if err := b.announced(len(ks)); err != nil {
			return nil, err
		}
	}
	time.Sleep(b.settle())
	v["cpu_share"] = p.measured().busy(b.window())
	v["anon_kib_per_torrent"] = (p.measured().anonNow() - empty) * 1024 / float64(len(ks))
	return v, nil
}

// announced waits until the tracker has heard of n torrents.
func (b *bench) announced(n int) error {
	for end := time.Now().Add(2 * time.Minute); b.tracker.asked() < n && time.Now().Before(end); {
		time.Sleep(100 * time.Millisecond)
	}
	if got := b.tracker.asked(); got < n {
		return fmt.Errorf("only %d of %d torrents were announced", got, n)
	}
	return nil
}

// addAll returns the seconds from the first add to the last done.
func addAll(p peer, ks []content) (float64, error) {
	lines, ok := p.(*linePeer)
	if !ok {
		return 0, errors.New("does not speak the line protocol")
	}
	began := time.Now()
	said := make(chan error, 1)
	go func() {
		for _, k := range ks {
			if err := p.add(k.torrent, k.hash); err != nil {
				said <- err
				return
			}
		}
		said <- nil
	}()
	for i := range ks {
		if err := lines.expect("done", time.Minute); err != nil {
			return 0, fmt.Errorf("%d of %d torrents are ready: %w", i, len(ks), err)
		}
	}
	return time.Since(began).Seconds(), <-said
}
