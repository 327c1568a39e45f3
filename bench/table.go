//go:build linux

package main

import (
	"fmt"
	"math"
	"strings"
)

// row is one line of the table.
type row struct {
	Number  int      `json:"number"`
	Work    string   `json:"work"`
	Figures []figure `json:"figures"` // none: not measured
}

// figure is a number with its goals.
type figure struct {
	Name   string  `json:"name,omitempty"` // what it is, where a row has several
	Unit   string  `json:"unit,omitempty"`
	Value  float64 `json:"value"`
	Must   float64 `json:"must"`
	Aim    float64 `json:"aim,omitempty"`     // 0: no more than must is aimed at
	AtMost bool    `json:"at_most,omitempty"` // less is better
	Note   string  `json:"note,omitempty"`    // what the others do
}

// meets reports whether the figure is as good as a goal.
func (f *figure) meets(goal float64) bool {
	if f.AtMost {
		return f.Value <= goal
	}
	return f.Value >= goal
}

// score is how many times as good as it must be the figure is.
func (f *figure) score(value float64) float64 {
	switch {
	case !f.AtMost:
		return value / f.Must
	case f.Must == 0: // none is allowed
		return map[bool]float64{true: 1, false: 0}[value == 0]
	}
	return f.Must / value
}

// met tells in a word how good the figure is.
func (f *figure) met() string {
	switch {
	case !f.meets(f.Must):
		return "no"
	case f.Aim != 0 && f.meets(f.Aim):
		return "aim"
	}
	return "must"
}

// add appends a figure if it was measured.
func (r *row) add(f figure) {
	if !math.IsNaN(f.Value) && !math.IsInf(f.Value, 0) {
		r.Figures = append(r.Figures, f)
	}
}

// table makes the rows of what was measured.
func table(p params, s samples) []row {
	size := sizeOf(p.Size)
	wall := func(test, client string) float64 { return s.median(test, client, "wall_s") }
	share := func(name string) float64 {
		return s.median("pair", "shoal", name) / s.median("pair", "rtorrent", name)
	}
	t := []row{
		{Number: 1, Work: "pair, " + size + ", v1, plain TCP, wall time: best ÷ shoal"},
		{Number: 2, Work: "the same, processor time of the seed: shoal ÷ rtorrent"},
		{Number: 3, Work: "the same, processor time of the leecher: shoal ÷ rtorrent"},
		{Number: 4, Work: "pair, 2,000 files of 64–256 KiB, wall time: best ÷ shoal"},
		{Number: 5, Work: "pair, " + size + ", v2, wall time: libtorrent ÷ shoal"},
		{Number: 6, Work: "shoal beside another client, wall time: rtorrent in its place ÷ shoal, the least"},
		{Number: 7, Work: fmt.Sprintf("one seed, %d leechers, %s, time until the last: best ÷ shoal; copies that the seed sent", p.Leechers, sizeOf(p.Size/8))},
		{Number: 8, Work: "flash crowd of 100 in simulation, 1,000 pieces: last peer ÷ (M + log₂ N)/M"},
		{Number: 9, Work: "hash " + size + ": share of what SHA-1 on all cores allows"},
		{Number: 10, Work: fmt.Sprintf("one peer, 1 Gbit/s, 100 ms round trip: share of the line after %g s", p.Lead)},
		{Number: 11, Work: "private memory of the leecher in row 1, peak"},
		{Number: 12, Work: fmt.Sprintf("%s idle peers on one seed", thousands(p.Idle))},
		{Number: 13, Work: fmt.Sprintf("%s idle seeding torrents", thousands(p.Torrents))},
		{Number: 14, Work: "a block's way through the swarm, the worst of 1, 50 and 500 peers"},
		{Number: 15, Work: fmt.Sprintf("%d leechers on one seed, each limited to 1 MB/s: share of it, over %g s", p.Slow, p.Window)},
		{Number: 16, Work: "from starting `shoal get MAGNET --peer ADDRESS` to the first payload byte, on loopback"},
		{Number: 17, Work: "pair, " + size + ", RC4 required on both sides (MSE), wall time: best ÷ shoal"},
		{Number: 18, Work: "pair, " + size + ", uTP only, wall time: libtorrent ÷ shoal"},
	}
	row := func(n int) *row { return &t[n-1] }
	row(1).add(figure{Unit: "×", Value: best(s, "pair") / wall("pair", "shoal"), Must: 1.35, Aim: 1.9, Note: walls(s, "pair")})
	row(2).add(figure{Unit: "×", Value: share("seed_cpu_s"), Must: 0.6, Aim: 0.35, AtMost: true, Note: each(s, "pair", "seed_cpu_s", "%.2f s")})
	row(3).add(figure{Unit: "×", Value: share("leech_cpu_s"), Must: 0.95, Aim: 0.75, AtMost: true, Note: each(s, "pair", "leech_cpu_s", "%.2f s")})
	row(4).add(figure{Unit: "×", Value: best(s, "files") / wall("files", "shoal"), Must: 1.3, Aim: 1.9, Note: walls(s, "files")})
	row(5).add(figure{Unit: "×", Value: wall("v2", "libtorrent") / wall("v2", "shoal"), Must: 1.5, Aim: 2, Note: walls(s, "v2")})
	least, note := crossed(s)
	row(6).add(figure{Unit: "×", Value: least, Must: 1, Aim: 1.2, Note: note})
	row(7).add(figure{Name: "time", Unit: "×", Value: best(s, "swarm") / wall("swarm", "shoal"), Must: 1.15, Aim: 1.5, Note: walls(s, "swarm")})
	row(7).add(figure{Name: "copies", Value: s.median("swarm", "shoal", "copies"), Must: 1.15, Aim: 1.05, AtMost: true, Note: each(s, "swarm", "copies", "%.2f")})
	row(8).add(figure{Unit: "×", Value: s.median("flash", "shoal", "ratio"), Must: 1.25, Aim: 1.1, AtMost: true})
	for _, name := range []string{"create", "check"} {
		row(9).add(figure{Name: name, Unit: "%", Value: 100 * s.median(name, "shoal", "share"), Must: 90, Aim: 97, Note: percents(s, name)})
	}
	row(10).add(figure{Unit: "%", Value: 100 * s.median("relay", "shoal", "share"), Must: 90, Aim: 95})
	row(11).add(figure{Unit: "MiB", Value: s.median("pair", "shoal", "leech_anon_mib"), Must: 80, Aim: 48, AtMost: true, Note: each(s, "pair", "leech_anon_mib", "%.0f MiB")})
	row(12).add(figure{Name: "memory a peer", Unit: "KiB", Value: s.median("idle", "shoal", "anon_kib_per_peer"), Must: 10, Aim: 6, AtMost: true})
	row(12).add(figure{Name: "processor", Unit: "%", Value: 100 * s.median("idle", "shoal", "cpu_share"), Must: 3, AtMost: true})
	row(13).add(figure{Name: "memory a torrent", Unit: "KiB", Value: s.median("torrents", "shoal", "anon_kib_per_torrent"), Must: 8, Aim: 4, AtMost: true, Note: each(s, "torrents", "anon_kib_per_torrent", "%.1f KiB")})
	row(13).add(figure{Name: "first start", Unit: "s", Value: s.median("torrents", "shoal", "start_s"), Must: 10, AtMost: true})
	row(13).add(figure{Name: "later starts", Unit: "s", Value: s.median("torrents", "shoal", "restart_s"), Must: 10, AtMost: true})
	row(13).add(figure{Name: "processor", Unit: "%", Value: 100 * s.median("torrents", "shoal", "cpu_share"), Must: 1, AtMost: true, Note: each(s, "torrents", "cpu_share", "%.3f cores")})
	row(14).add(figure{Name: "allocations", Value: worst(s, "block", "allocs"), Must: 0, AtMost: true})
	row(14).add(figure{Name: "time", Unit: "µs", Value: worst(s, "block", "ns") / 1000, Must: 2, Aim: 1, AtMost: true, Note: each(s, "block", "ns", "%.0f ns")})
	row(15).add(figure{Name: "least", Unit: "%", Value: 100 * s.median("slow", "shoal", "least_share"), Must: 95})
	row(15).add(figure{Name: "mean", Unit: "%", Value: 100 * s.median("slow", "shoal", "mean_share"), Must: 95})
	row(16).add(figure{Unit: "ms", Value: s.median("first", "shoal", "first_ms"), Must: 60, Aim: 30, AtMost: true})
	row(17).add(figure{Unit: "×", Value: best(s, "rc4") / wall("rc4", "shoal"), Must: 1.4, Note: walls(s, "rc4")})
	row(18).add(figure{Unit: "×", Value: wall("utp", "libtorrent") / wall("utp", "shoal"), Must: 1.5, Note: walls(s, "utp")})
	return t
}

// best returns the least median wall time of libtorrent and rtorrent.
func best(s samples, test string) float64 {
	a, b := s.median(test, "libtorrent", "wall_s"), s.median(test, "rtorrent", "wall_s")
	switch {
	case math.IsNaN(a):
		return b
	case math.IsNaN(b):
		return a
	}
	return min(a, b)
}

// worst returns the largest median among the clients of a test.
func worst(s samples, test, name string) float64 {
	w := math.NaN()
	for _, c := range s.clients(test) {
		if m := s.median(test, c, name); math.IsNaN(w) || m > w {
			w = m
		}
	}
	return w
}

// crossed returns by how much shoal is faster than rtorrent in its place, the least of all crossings, and what each gives.
func crossed(s samples) (least float64, note string) {
	least = math.NaN()
	var parts []string
	for _, x := range crossings {
		ratio := s.median("cross", x[1], "wall_s") / s.median("cross", x[0], "wall_s")
		if math.IsNaN(least) || ratio < least {
			least = ratio
		}
		parts = append(parts, fmt.Sprintf("%s %.2f", x[0], ratio))
	}
	return least, strings.Join(parts, ", ")
}

// each lists a value of every client.
func each(s samples, test, name, format string) string {
	var parts []string
	for _, c := range s.clients(test) {
		if m := s.median(test, c, name); !math.IsNaN(m) {
			parts = append(parts, strings.ReplaceAll(c, "_", " ")+" "+fmt.Sprintf(format, m))
		}
	}
	return strings.Join(parts, ", ")
}

func walls(s samples, test string) string { return each(s, test, "wall_s", "%.2f s") }

func percents(s samples, test string) string { return each(s, test, "share", "%.2f") }

func sizeOf(n int64) string {
	if n >= 1<<30 && n%(1<<30) == 0 {
		return fmt.Sprintf("%d GiB", n>>30)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// thousands groups the digits of a number below a million.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}
