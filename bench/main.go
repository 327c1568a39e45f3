//go:build linux

// Command bench compares shoal with the BitTorrent clients that are installed: pairs, a small swarm, checking and creating. It makes
// a network namespace with only lo, and a tmpfs, of its own; that needs root. See docs/performance.md.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

type options struct {
	size     int64
	runs     int
	leechers int
	only     string
	out      string
}

func main() {
	var o options
	mib := flag.Int64("size", 2048, "MiB of the large content")
	flag.IntVar(&o.runs, "runs", 5, "runs of each measurement, interleaved")
	flag.IntVar(&o.leechers, "leechers", 8, "leechers of the swarm")
	flag.StringVar(&o.only, "only", "", "comma-separated: pair, files, v2, swarm, check, create; default all")
	flag.StringVar(&o.out, "out", "bench/results", "folder for the results as JSON")
	flag.Parse()
	o.size = *mib << 20
	if err := enter(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	if err := run(&o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// row is one measurement of one client.
type row struct {
	Test       string  `json:"test"`
	Client     string  `json:"client"`
	Run        int     `json:"run"`
	Wall       float64 `json:"wall"`                // seconds
	MBps       float64 `json:"mbps"`                // 10^6 bytes/s
	SeedCPU    float64 `json:"seed_cpu,omitempty"`  // seconds
	LeechCPU   float64 `json:"leech_cpu,omitempty"` // seconds; of all leechers
	SeedAnon   float64 `json:"seed_anon,omitempty"` // MiB, peak
	LeechAnon  float64 `json:"leech_anon,omitempty"`
	SeedCopies float64 `json:"seed_copies,omitempty"`
	SHA1       float64 `json:"sha1_mbps"` // of one core just before: how quiet the machine was
}

func run(o *options) error {
	b, err := newBench(o)
	if err != nil {
		return err
	}
	defer b.close()
	tests := []struct {
		name string
		do   func(client, int) (row, error)
	}{
		{"pair", func(c client, n int) (row, error) { return b.pair(c, b.big, n) }},
		{"files", func(c client, n int) (row, error) { return b.pair(c, b.files, n) }},
		{"v2", func(c client, n int) (row, error) { return b.pair(c, b.v2, n) }},
		{"swarm", b.swarm},
		{"check", b.check},
		{"create", b.create},
	}
	for _, t := range tests {
		if o.only != "" && !slices.Contains(strings.Split(o.only, ","), t.name) {
			continue
		}
		for n := range o.runs {
			for _, c := range b.clients {
				if !c.can(t.name) {
					continue
				}
				r, err := t.do(c, n)
				if err != nil {
					return fmt.Errorf("%s with %s: %w", t.name, c.name, err)
				}
				r.Test, r.Client, r.Run = t.name, c.name, n
				b.rows = append(b.rows, r)
				fmt.Fprintf(os.Stderr, "%-7s %-11s run %d: %6.3f s %6.0f MB/s\n", r.Test, r.Client, n+1, r.Wall, r.MBps)
			}
		}
	}
	b.table(os.Stdout)
	return b.save(o.out)
}

// table prints medians, and the ratio of each client's wall time to shoal's.
func (b *bench) table(f *os.File) {
	fmt.Fprintf(f, "\n%s, %d cores, %s\n", cpuModel(), runtime.NumCPU(), strings.Join(b.versions, ", "))
	fmt.Fprintf(f, "%-7s %-11s %8s %8s %18s %9s %9s %9s %9s %7s %6s\n", "test", "client", "wall s", "MB/s", "wall min–max", "cpu seed", "cpu leech", "anon seed", "anon l.", "copies", "÷shoal")
	var tests []string
	for _, r := range b.rows {
		if !slices.Contains(tests, r.Test) {
			tests = append(tests, r.Test)
		}
	}
	for _, t := range tests {
		ours := b.median(t, "shoal", func(r *row) float64 { return r.Wall })
		for _, c := range b.clients {
			m := func(get func(*row) float64) float64 { return b.median(t, c.name, get) }
			wall := m(func(r *row) float64 { return r.Wall })
			if wall == 0 {
				continue
			}
			lo, hi := b.bounds(t, c.name)
			fmt.Fprintf(f, "%-7s %-11s %8.3f %8.0f %18s %9.2f %9.2f %9.1f %9.1f %7.2f %6.2f\n", t, c.name, wall, m(func(r *row) float64 { return r.MBps }),
				fmt.Sprintf("%.3f–%.3f", lo, hi), m(func(r *row) float64 { return r.SeedCPU }), m(func(r *row) float64 { return r.LeechCPU }),
				m(func(r *row) float64 { return r.SeedAnon }), m(func(r *row) float64 { return r.LeechAnon }), m(func(r *row) float64 { return r.SeedCopies }), wall/ours)
		}
	}
}

func (b *bench) of(test, client string, get func(*row) float64) []float64 {
	var v []float64
	for i := range b.rows {
		if r := &b.rows[i]; r.Test == test && r.Client == client {
			v = append(v, get(r))
		}
	}
	slices.Sort(v)
	return v
}

func (b *bench) median(test, client string, get func(*row) float64) float64 {
	v := b.of(test, client, get)
	if len(v) == 0 {
		return 0
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

func (b *bench) bounds(test, client string) (lo, hi float64) {
	v := b.of(test, client, func(r *row) float64 { return r.Wall })
	return v[0], v[len(v)-1]
}

// save writes every row and what it was measured with.
func (b *bench) save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	out, err := json.MarshalIndent(map[string]any{
		"when": time.Now().UTC().Format(time.RFC3339), "cpu": cpuModel(), "cores": runtime.NumCPU(), "go": runtime.Version(), "versions": b.versions, "rows": b.rows,
	}, "", " ")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, time.Now().UTC().Format("20060102-150405")+".json")
	fmt.Println("written to", path)
	return os.WriteFile(path, append(out, '\n'), 0o644)
}

func cpuModel() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return runtime.GOARCH
}

// output runs a command and returns its first line.
func output(name string, args ...string) string {
	b, err := exec.Command(name, args...).Output()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return line
}
