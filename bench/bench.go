//go:build linux

package main

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"
)

// bench is one sitting.
type bench struct {
	*options
	dir, seed string // a tmpfs, and the folder in it that seeds share
	shoal     string // the program
	clients   []client
	versions  []string
	tracker   *tracker
	samples   samples

	big, files, v2, mid content
}

// sample is one measurement of one client.
type sample struct {
	Test   string             `json:"test"`
	Client string             `json:"client"`
	Run    int                `json:"run"`
	SHA1   float64            `json:"sha1_mbps,omitempty"` // of one core just before, 10^6 bytes/s: how quiet the machine was
	Values map[string]float64 `json:"values"`              // names end in the unit
}

// values are what a measurement yields.
type values = map[string]float64

func newBench(o *options) (*bench, error) {
	dir, err := mountTmpfs(3*o.Size + 8<<30)
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, dir: dir, seed: filepath.Join(dir, "seed")}
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

// test is a measurement that serves one or more rows of the table.
type test struct {
	name string
	rows []int
	do   func() error
}

// measure runs the tests that the chosen rows need. A test that fails does not keep the others from running.
func (b *bench) measure() error {
	pair := func(k *content) func(client, int) (values, error) {
		return func(c client, _ int) (values, error) { return b.transfer(c, c, *k, 1) }
	}
	with := func(flag string) func(client, int) (values, error) {
		return func(c client, _ int) (values, error) { return b.transfer(c, c, b.big, 1, flag) }
	}
	swarm := func(c client, _ int) (values, error) { return b.transfer(c, c, b.mid, b.Leechers) }
	tests := []test{
		{"flash", []int{8}, b.flash},
		{"block", []int{14}, b.block},
		{"first", []int{16}, b.firstByte},
		{"pair", []int{1, 2, 3, 11}, func() error { return b.interleave("pair", pair(&b.big)) }},
		{"files", []int{4}, func() error { return b.interleave("files", pair(&b.files)) }},
		{"rc4", []int{17}, func() error { return b.interleave("rc4", with("--mse")) }},
		{"utp", []int{18}, func() error { return b.interleave("utp", with("--utp")) }},
		{"v2", []int{5}, func() error { return b.interleave("v2", pair(&b.v2)) }},
		{"cross", []int{6}, b.cross},
		{"swarm", []int{7}, func() error { return b.interleave("swarm", swarm) }},
		{"check", []int{9}, func() error { return b.interleave("check", b.check) }},
		{"create", []int{9}, func() error { return b.interleave("create", b.create) }},
		{"relay", []int{10}, b.relay},
		{"idle", []int{12}, b.idle},
		{"torrents", []int{13}, b.torrents},
		{"slow", []int{15}, b.slow},
	}
	var errs []error
	for _, t := range tests {
		if len(b.rows) > 0 && !slices.ContainsFunc(t.rows, func(n int) bool { return slices.Contains(b.rows, n) }) {
			continue
		}
		began := time.Now()
		if err := t.do(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", t.name, err))
			fmt.Fprintln(os.Stderr, "bench:", errs[len(errs)-1])
		}
		fmt.Fprintf(os.Stderr, "%-8s took %.0f s\n", t.name, time.Since(began).Seconds())
	}
	return errors.Join(errs...)
}

// interleave has every client that takes part in a test run it in turn, again and again.
func (b *bench) interleave(name string, do func(c client, run int) (values, error)) error {
	for n := range b.Runs {
		for _, c := range b.clients {
			if !c.can(name) {
				continue
			}
			v, err := do(c, n)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			b.keep(name, c.name, n, v)
		}
	}
	return nil
}

// keep keeps a measurement, and shows it.
func (b *bench) keep(test, client string, run int, v values) {
	s := sample{Test: test, Client: client, Run: run, Values: v}
	if rate, ok := v[probe]; ok {
		s.SHA1 = rate
		delete(v, probe)
	}
	b.samples = append(b.samples, s)
	fmt.Fprintf(os.Stderr, "%-8s %-22s run %d:", test, client, run+1)
	for _, name := range sortedKeys(v) {
		fmt.Fprintf(os.Stderr, " %s %.4g", name, v[name])
	}
	fmt.Fprintln(os.Stderr)
}

// probe is the name under which quiet's rate travels among values.
const probe = "sha1_mbps"

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

// sha1Rate is what SHA-1 allows: 10^6 bytes/s of Go's on all cores at once, from buffers that stay in the caches, over as many bytes as
// the content has and at least 1 GiB.
func sha1Rate(bytes int64) float64 {
	cores := runtime.NumCPU()
	rounds := int(max(bytes, 1<<30)) / cores >> 20
	began := time.Now()
	var wg sync.WaitGroup
	for range cores {
		wg.Go(func() {
			buf := make([]byte, 1<<20)
			for range rounds {
				sha1.Sum(buf)
			}
		})
	}
	wg.Wait()
	return float64(rounds*cores<<20) / time.Since(began).Seconds() / 1e6
}

// fresh returns an empty folder.
func (b *bench) fresh(name string) (string, error) {
	dir := filepath.Join(b.dir, name)
	return dir, errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o755))
}
