//go:build linux

package main

import (
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

// flash runs the simulated flash crowd.
func (b *bench) flash() error {
	out, err := exec.Command("go", "test", "-count=1", "-v", "-run", "^TestFlashCrowd$", "./internal/bt/swarm").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	ratio, err := flashRatio(string(out))
	if err != nil {
		return err
	}
	b.keep("flash", "shoal", 0, values{"ratio": ratio})
	return nil
}

var flashLine = regexp.MustCompile(`flash crowd[^:\n]*: ([0-9.]+) of the bound`)

// flashRatio finds the figure that the test logs.
func flashRatio(out string) (float64, error) {
	m := flashLine.FindStringSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("no flash crowd in %q", out)
	}
	return strconv.ParseFloat(m[1], 64)
}

// block runs the benchmarks of a block's way through the swarm.
func (b *bench) block() error {
	args := []string{"test", "-run", "^$", "-bench", "^BenchmarkBlock$", "-benchmem"}
	if b.quick {
		args = append(args, "-benchtime", "20000x")
	}
	for n := range min(b.Runs, 3) {
		out, err := exec.Command("go", append(args, "./internal/bt/swarm")...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		costs := blockCosts(string(out))
		if len(costs) == 0 {
			return fmt.Errorf("no benchmark in %q", out)
		}
		for _, c := range costs {
			b.keep("block", c.name, n, values{"ns": c.ns, "allocs": c.allocs})
		}
	}
	return nil
}

// cost is one line of a benchmark's output.
type cost struct {
	name       string
	ns, allocs float64
}

var benchLine = regexp.MustCompile(`(?m)^BenchmarkBlock/(\S+?)(?:-\d+)?\s+\d+\s+([0-9.]+) ns/op.*?([0-9.]+) allocs/op`)

// blockCosts returns what a block costs with each number of peers.
func blockCosts(out string) []cost {
	var all []cost
	for _, m := range benchLine.FindAllStringSubmatch(out, -1) {
		ns, err1 := strconv.ParseFloat(m[2], 64)
		allocs, err2 := strconv.ParseFloat(m[3], 64)
		if err1 == nil && err2 == nil {
			all = append(all, cost{m[1], ns, allocs})
		}
	}
	return all
}
