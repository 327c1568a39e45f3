//go:build linux

// Command trackerload compares trackers under a load of UDP announces (BEP 15): shoal's and opentracker. It starts each in turn on
// loopback, makes it know the same torrents and peers, and announces random peers of random torrents through the same sockets: as
// fast as answers come, and at fixed rates. Runs are interleaved. All share the machine's cores, so it tells the processor time that each
// server took, too.
package main

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

type options struct {
	shoal, opentracker        string
	torrents, clients, window int
	runs                      int
	seconds                   float64
	rates                     []float64
	workers                   int
}

func main() {
	var o options
	flag.StringVar(&o.shoal, "shoal", "bin/shoal", "shoal's program")
	flag.StringVar(&o.opentracker, "opentracker", "opentracker", "opentracker's program")
	flag.IntVar(&o.torrents, "torrents", 100_000, "torrents, of 10 peers each")
	flag.IntVar(&o.clients, "clients", 32, "sockets that announce")
	flag.IntVar(&o.window, "window", 8, "announces under way on each")
	flag.IntVar(&o.runs, "runs", 5, "runs of each measurement, interleaved")
	flag.Float64Var(&o.seconds, "seconds", 4, "length of a run")
	flag.IntVar(&o.workers, "workers", 0, "UDP threads of opentracker; 0: it reads in its main thread, as it does by default")
	rates := flag.String("rates", "20000,40000", "announces a second at which latency is measured, comma-separated")
	flag.Parse()
	for _, f := range strings.Split(*rates, ",") {
		r, err := strconv.ParseFloat(f, 64)
		if err != nil || r <= 0 {
			fmt.Fprintln(os.Stderr, "trackerload: -rates", f)
			os.Exit(2)
		}
		o.rates = append(o.rates, r)
	}
	if err := run(&o); err != nil {
		fmt.Fprintln(os.Stderr, "trackerload:", err)
		os.Exit(1)
	}
}

// tracker is a server under load.
type tracker struct {
	name string
	cmd  *exec.Cmd
	load *load
}

func run(o *options) error {
	home, err := os.MkdirTemp("", "trackerload")
	if err != nil {
		return err
	}
	defer os.RemoveAll(home)
	if err := os.Chmod(home, 0o755); err != nil { // opentracker becomes nobody
		return err
	}
	var trackers []*tracker
	for _, start := range []func(*options, string) (*tracker, error){startShoal, startOpentracker} {
		t, err := start(o, home)
		if t != nil {
			defer t.stop()
		}
		if err != nil {
			return err
		}
		trackers = append(trackers, t)
	}
	for _, t := range trackers {
		began, used := time.Now(), t.cpu()
		if err := t.load.populate(o.torrents, o.window); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		fmt.Printf("%-12s %d peers in %.1f s, %.1f s of processor time, %.0f MiB of private memory\n", t.name, o.torrents*peersEach,
			time.Since(began).Seconds(), t.cpu()-used, t.memory())
	}
	fmt.Printf("%-12s %12s %12s %10s %10s %8s %8s %s\n", "tracker", "load", "answers/s", "p50", "p99", "lost", "refused", "processor s per million")
	for n := range 1 + len(o.rates) {
		if err := o.measure(trackers, n); err != nil {
			return err
		}
	}
	return nil
}

// measure prints the medians of interleaved runs under one load: the first is all that there is, the others are o.rates.
func (o *options) measure(trackers []*tracker, n int) error {
	type sample struct {
		result
		cpu float64
	}
	samples := map[*tracker][]sample{}
	name := "all"
	for range o.runs {
		for _, t := range trackers {
			for _, c := range t.load.clients {
				if err := c.connect(); err != nil {
					return fmt.Errorf("%s: %w", t.name, err)
				}
			}
			used, until := t.cpu(), time.Now().Add(time.Duration(o.seconds*float64(time.Second)))
			r, err := t.load.run(o.seconds, func(c *client) error {
				if n == 0 {
					return c.saturate(until, o.window, nil)
				}
				name = fmt.Sprintf("%.0f/s", o.rates[n-1])
				return c.pace(until, o.rates[n-1]/float64(o.clients))
			})
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			samples[t] = append(samples[t], sample{r, (t.cpu() - used) / (r.rate * o.seconds) * 1e6})
		}
	}
	for _, t := range trackers {
		s := samples[t]
		var missing, refused int
		for _, x := range s {
			missing, refused = missing+x.missing, refused+x.refused
		}
		med := func(f func(sample) float64) float64 {
			v := make([]float64, len(s))
			for i := range s {
				v[i] = f(s[i])
			}
			slices.Sort(v)
			return v[len(v)/2]
		}
		fmt.Printf("%-12s %12s %12.0f %10v %10v %8d %8d %.2f\n", t.name, name, med(func(x sample) float64 { return x.rate }),
			time.Duration(med(func(x sample) float64 { return float64(x.p50) })).Round(time.Microsecond),
			time.Duration(med(func(x sample) float64 { return float64(x.p99) })).Round(time.Microsecond),
			missing, refused, med(func(x sample) float64 { return x.cpu }))
	}
	return nil
}

func startShoal(o *options, home string) (*tracker, error) {
	return start(o, "shoal", 16969, exec.Command(o.shoal, "tracker", "--listen", "127.0.0.1:16969", "--quiet", "--max-rate", "1000000",
		"--max-torrents", strconv.Itoa(2*o.torrents)))
}

// startOpentracker starts the other one, which Debian builds so that it serves listed torrents only.
func startOpentracker(o *options, home string) (*tracker, error) {
	var list strings.Builder
	for i := range o.torrents {
		fmt.Fprintf(&list, "%x\n", infohash(i))
	}
	config := fmt.Sprintf("listen.tcp 127.0.0.1:26969\naccess.whitelist allowed\ntracker.rootdir %s\n", home)
	if o.workers > 0 {
		config += fmt.Sprintf("listen.udp.workers %d\n", o.workers)
	}
	config += "listen.udp 127.0.0.1:26969\n"
	err := errors.Join(os.WriteFile(filepath.Join(home, "allowed"), []byte(list.String()), 0o644), os.WriteFile(filepath.Join(home, "config"), []byte(config), 0o644))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(o.opentracker, "-f", filepath.Join(home, "config"))
	cmd.Dir = home
	return start(o, "opentracker", 26969, cmd)
}

func start(o *options, name string, port uint16, cmd *exec.Cmd) (t *tracker, err error) {
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	t = &tracker{name: name, cmd: cmd}
	t.load, err = newLoad(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port), o.clients, o.torrents, max(o.window, 64))
	return t, err
}

func (t *tracker) stop() {
	t.cmd.Process.Kill()
	t.cmd.Wait()
	if t.load != nil {
		t.load.close()
	}
}

// cpu returns the processor seconds used so far, in ticks of 10 ms.
func (t *tracker) cpu() float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", t.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) / 100
}

// memory returns the private memory in MiB.
func (t *tracker) memory() float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", t.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), "RssAnon:")
	var kb float64
	_, _ = fmt.Sscan(rest, &kb) // 0 if it is not there
	return kb / 1024
}
