//go:build linux

// Command stream measures how soon and how steadily a film plays while it is fetched: by shoal play, by libtorrent with
// set_piece_deadline, with its usual queue of requests and a shorter one ("brisk"), and by aria2 with --stream-piece-selector=inorder. All fetch in turn from the same ten libtorrent seeds, whose uplinks
// are shaped, in a network namespace of its own. What is read is compared with the film. Root and tc are needed.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

type options struct {
	shoal, clients string
	runs           int
	bitrate        int64 // bytes/s
	length         time.Duration
	plenty, scarce float64 // uplinks of all seeds together, in bitrates
	play, after    time.Duration
	seeks          int
	patience       time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.shoal, "shoal", "bin/shoal", "shoal's program")
	flag.StringVar(&o.clients, "clients", "shoal,libtorrent,libtorrent-brisk,aria2", "who is measured")
	flag.IntVar(&o.runs, "runs", 3, "runs of each measurement, interleaved")
	flag.Int64Var(&o.bitrate, "bitrate", 25_000_000/8, "of the film, in bytes/s")
	flag.DurationVar(&o.length, "length", 5*time.Minute, "of the film")
	flag.Float64Var(&o.plenty, "plenty", 2, "what all uplinks together carry where seeks are measured, in bitrates")
	flag.Float64Var(&o.scarce, "scarce", 1.3, "the same where stalls are")
	flag.DurationVar(&o.play, "play", 60*time.Second, "what is played where stalls are measured")
	flag.IntVar(&o.seeks, "seeks", 4, "seeks in a run")
	flag.DurationVar(&o.after, "after", 5*time.Second, "what is played before the first seek and after each")
	flag.DurationVar(&o.patience, "patience", 30*time.Second, "after which a seek has failed")
	flag.Parse()
	err := enter()
	if err == nil {
		err = run(&o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "stream:", err)
		os.Exit(1)
	}
}

const inside = "SHOAL_STREAM_INSIDE"

// enter runs the program again in a network and a mount namespace of its own, and exits with its status.
func enter() error {
	if os.Getenv(inside) != "" {
		return nil
	}
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Env = append(os.Environ(), inside+"=1")
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	err := c.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(exit.ExitCode())
	case err == nil:
		os.Exit(0)
	}
	return err
}

// result is what a run of one client gave.
type result struct {
	first  time.Duration
	seeks  []time.Duration
	failed int // seeks
	stalls int
	stood  time.Duration // in stalls
}

// sums are the results of one client.
type sums struct {
	name             string
	firsts, seeks    []time.Duration
	stalls, stood    []float64
	failed, attempts int
}

func run(o *options) error {
	s, err := newStage(o)
	if err != nil {
		return err
	}
	defer s.close()
	var all []*sums
	for _, name := range strings.Split(o.clients, ",") {
		all = append(all, &sums{name: name})
	}
	for n := range o.runs {
		for _, c := range all {
			for _, scarce := range []bool{false, true} {
				r, err := s.measure(c.name, scarce, uint64(n))
				if err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
				fmt.Fprintf(os.Stderr, "%-10s scarce %-5v first %v, seeks %v, %d failed, %d stalls of %v in all\n", c.name, scarce,
					r.first.Round(time.Millisecond), r.seeks, r.failed, r.stalls, r.stood.Round(time.Millisecond))
				c.add(o, r, scarce)
			}
		}
	}
	report(o, all)
	return nil
}

func (c *sums) add(o *options, r result, scarce bool) {
	if scarce {
		c.stalls = append(c.stalls, float64(r.stalls))
		c.stood = append(c.stood, r.stood.Seconds())
		return
	}
	c.firsts = append(c.firsts, r.first)
	c.seeks = append(c.seeks, r.seeks...)
	c.failed += r.failed
	c.attempts += o.seeks
}

func median[T int | float64 | time.Duration](v []T) T {
	if len(v) == 0 {
		return 0
	}
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}

// report prints the table.
func report(o *options, all []*sums) {
	fmt.Printf("medians of %d runs; ten seeds, %.1f and %.1f times %.1f Mbit/s; a seek has failed after %v\n\n", o.runs, o.plenty, o.scarce, float64(o.bitrate)*8/1e6, o.patience)
	fmt.Println("| client | first byte | seek | slowest seek | seeks that failed | stalls in " + o.play.String() + " | stood still |")
	fmt.Println("|---|---|---|---|---|---|---|")
	for _, c := range all {
		seek, slowest := "–", "–"
		if len(c.seeks) > 0 && c.failed*2 < c.attempts {
			seek = fmt.Sprintf("%.2f s", median(c.seeks).Seconds())
		}
		if len(c.seeks) > 0 {
			slowest = fmt.Sprintf("%.2f s", slices.Max(c.seeks).Seconds())
		}
		fmt.Printf("| %s | %.2f s | %s | %s | %d of %d | %.0f | %.1f s |\n", c.name, median(c.firsts).Seconds(), seek, slowest, c.failed, c.attempts,
			median(c.stalls), median(c.stood))
	}
}
