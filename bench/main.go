//go:build linux

// Command bench measures shoal beside the BitTorrent clients that are installed, and prints the table of docs/performance.md: what was
// measured, what it must be and what it should be. It makes a network namespace with only lo, and a tmpfs, of its own; that
// needs root.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// options say what is measured.
type options struct {
	params
	rows  []int  // of the table; empty: all
	quick bool   // small sizes: does everything still work?
	out   string // folder for results
	docs  string // folder of performance.md
}

// params are the sizes of the work. They are kept with the results.
type params struct {
	Size     int64   `json:"size"`     // bytes of the large content
	Runs     int     `json:"runs"`     // of each measurement, interleaved
	Leechers int     `json:"leechers"` // of the small swarm
	Idle     int     `json:"idle"`     // idle peers on one seed
	Torrents int     `json:"torrents"` // idle torrents in one seed
	Slow     int     `json:"slow"`     // leechers limited to slowRate on one seed
	Window   float64 `json:"window"`   // seconds that what is steady is watched for
	Lead     float64 `json:"lead"`     // seconds until the line with the long delay should be full
	Starts   int     `json:"starts"`   // of `shoal get`
}

var (
	full  = params{Size: 2 << 30, Runs: 5, Leechers: 8, Idle: 10_000, Torrents: 20_000, Slow: 500, Window: 20, Lead: 5, Starts: 10}
	quick = params{Size: 256 << 20, Runs: 1, Leechers: 3, Idle: 500, Torrents: 500, Slow: 50, Window: 2, Lead: 1, Starts: 3}
)

func main() {
	if err := start(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func start() error {
	o := options{params: full}
	rows := flag.String("rows", "", "comma-separated numbers of the table's rows to measure; default all")
	mib := flag.Int64("size", 0, "MiB of the large content; default 2048")
	runs := flag.Int("runs", 0, "runs of each measurement, interleaved; default 5")
	draw := flag.String("draw", "", "measure nothing: put the table of this results file into docs/performance.md and .svg")
	flag.BoolVar(&o.quick, "quick", false, "one run of everything with small sizes, to see that it works; its figures mean nothing")
	flag.StringVar(&o.out, "out", "bench/results", "folder for the results as JSON")
	flag.StringVar(&o.docs, "docs", "docs", "folder of performance.md, which a run of all rows rewrites")
	flag.Parse()
	if *draw != "" {
		r, err := readReport(*draw)
		if err != nil {
			return err
		}
		return r.document(o.docs, filepath.Base(*draw))
	}
	if o.quick {
		o.params = quick
	}
	if *mib > 0 {
		o.Size = *mib << 20
	}
	if *runs > 0 {
		o.Runs = *runs
	}
	for _, f := range strings.FieldsFunc(*rows, func(r rune) bool { return r == ',' }) {
		n, err := strconv.Atoi(f)
		if err != nil || n < 1 || n > 18 {
			return fmt.Errorf("-rows %q: rows are numbers from 1 to 18", f)
		}
		o.rows = append(o.rows, n)
	}
	if err := enter(); err != nil {
		return err
	}
	return run(&o)
}

// run measures, prints, and keeps the results. What was measured before an error is kept too.
func run(o *options) error {
	b, err := newBench(o)
	if err != nil {
		return err
	}
	defer b.close()
	failed := b.measure()
	r := &report{
		When: time.Now().UTC().Format(time.RFC3339), Machine: thisMachine(), Versions: b.versions, Params: o.params, Samples: b.samples,
		Table: table(o.params, b.samples),
	}
	r.details(os.Stdout)
	r.print(os.Stdout)
	name, err := r.save(o.out)
	if err := errors.Join(failed, err); err != nil {
		return err
	}
	fmt.Println("\nwritten to", filepath.Join(o.out, name))
	if o.quick || len(o.rows) > 0 {
		return nil
	}
	return r.document(o.docs, name)
}
