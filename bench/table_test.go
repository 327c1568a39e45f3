//go:build linux

package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func walled(test, client string, walls ...float64) (s samples) {
	for i, w := range walls {
		s = append(s, sample{Test: test, Client: client, Run: i, Values: values{"wall_s": w}})
	}
	return s
}

// sitting has every row measured.
func sitting() samples {
	var s samples
	for _, test := range []string{"pair", "rc4", "utp", "files", "v2", "swarm"} {
		s = append(s, walled(test, "shoal", 9, 1, 2)...)
		s = append(s, walled(test, "libtorrent", 3, 4, 5)...)
		s = append(s, walled(test, "rtorrent", 3, 3, 30)...)
	}
	for i := range s {
		v := s[i].Values
		v["seed_cpu_s"], v["leech_cpu_s"], v["leech_anon_mib"], v["copies"] = 1, 4, 64, 1.1
		if s[i].Client == "rtorrent" {
			v["seed_cpu_s"] = 4
		}
	}
	for i, x := range crossings {
		s = append(s, walled("cross", x[0], 2)...)
		s = append(s, walled("cross", x[1], 2+float64(i))...)
	}
	one := func(test, client string, v values) { s = append(s, sample{Test: test, Client: client, Values: v}) }
	one("flash", "shoal", values{"ratio": 1.17})
	one("check", "shoal", values{"share": 0.95})
	one("create", "shoal", values{"share": 0.8})
	one("relay", "shoal", values{"share": 0.96})
	one("idle", "shoal", values{"anon_kib_per_peer": 5, "cpu_share": 0.02})
	one("torrents", "shoal", values{"anon_kib_per_torrent": 5, "cpu_share": 0.02, "start_s": 3, "restart_s": 1})
	one("block", "1_peers", values{"ns": 100, "allocs": 0})
	one("block", "500_peers", values{"ns": 1500, "allocs": 0})
	one("slow", "shoal", values{"least_share": 0.94, "mean_share": 0.99})
	one("first", "shoal", values{"first_ms": 12})
	return s
}

func TestTable(t *testing.T) {
	r := report{Params: full, Table: table(full, sitting())}
	want := map[string]string{ // number and name of a figure: its value, and how good that is
		"1 ": "1.50 × must", "2 ": "0.25 × aim", "3 ": "1.00 × no", "4 ": "1.50 × must", "5 ": "2.00 × aim", "6 ": "1.00 × must",
		"7 time": "1.50 × aim", "7 copies": "1.10 must", "8 ": "1.17 × must", "9 create": "80.0 % no", "9 check": "95.0 % must", "10 ": "96.0 % aim",
		"11 ": "64.0 MiB must", "12 memory a peer": "5.00 KiB aim", "12 processor": "2.00 % must", "13 memory a torrent": "5.00 KiB must",
		"13 first start": "3.00 s must", "13 later starts": "1.00 s must", "13 processor": "2.00 % no", "14 allocations": "0 must",
		"14 time": "1.50 µs must", "15 least": "94.0 % no", "15 mean": "99.0 % must", "16 ": "12.0 ms aim", "17 ": "1.50 × must", "18 ": "2.00 × must",
	}
	got, n := map[string]string{}, ""
	for _, c := range r.cells() {
		if c[0] != "" {
			n = c[0]
		}
		got[n+" "+c[2]] = c[3] + " " + c[6]
	}
	for name, w := range want {
		if got[name] != w {
			t.Errorf("row %s: %q, want %q", name, got[name], w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d figures, want %d", len(got), len(want))
	}
}

func TestTableOfNothing(t *testing.T) {
	rows := table(full, nil)
	if len(rows) != 18 || len(shortWork) != 18 {
		t.Fatalf("%d rows, %d names", len(rows), len(shortWork))
	}
	for i, r := range rows {
		if r.Number != i+1 || len(r.Figures) != 0 {
			t.Errorf("row %d: %+v", i+1, r)
		}
	}
}

func TestBestNeedsOneRival(t *testing.T) {
	if got := best(walled("pair", "rtorrent", 2), "pair"); got != 2 {
		t.Error(got)
	}
	if got := best(walled("pair", "libtorrent", 3), "pair"); got != 3 {
		t.Error(got)
	}
	if got := best(nil, "pair"); !math.IsNaN(got) {
		t.Error(got)
	}
}

func TestMedian(t *testing.T) {
	s := append(walled("a", "b", 5, 1, 3, 2), walled("a", "c", 100)...)
	if got := s.median("a", "b", "wall_s"); got != 2.5 {
		t.Error(got)
	}
	if got := s.median("a", "b", "other"); !math.IsNaN(got) {
		t.Error(got)
	}
}

func TestReportSurvives(t *testing.T) {
	dir := t.TempDir()
	r := &report{When: "2026-11-22T20:50:16Z", Machine: machine{CPU: "AMD & <co>", Cores: 2}, Versions: []string{"shoal 1"}, Params: full, Samples: sitting()}
	r.Table = table(r.Params, r.Samples)
	name, err := r.save(dir)
	if err != nil {
		t.Fatal(err)
	}
	back, err := readReport(filepath.Join(dir, name))
	if err != nil || !reflect.DeepEqual(back, r) {
		t.Errorf("%v: %+v", err, back)
	}
	if err := back.document(dir, name); err == nil {
		t.Error("a document that is not there was written")
	}
	doc := filepath.Join(dir, "performance.md")
	if err := os.WriteFile(doc, []byte("before\n"+begin+"\nold\n"+end+"\nafter\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time over the first
		if err := back.document(dir, name); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(doc)
	text := string(b)
	if err != nil || !strings.HasPrefix(text, "before\n"+begin) || !strings.HasSuffix(text, end+"\nafter\n") || strings.Contains(text, "old") ||
		strings.Count(text, "| 16 |") != 1 || !strings.Contains(text, name) {
		t.Errorf("%v: %s", err, text)
	}
}

func TestDrawing(t *testing.T) {
	r := &report{Machine: machine{CPU: "AMD & <co>"}, Table: table(full, sitting())}
	r.Table[7].Figures = nil
	svg := r.draw()
	words, bars := "", 0
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch tok := tok.(type) {
		case xml.CharData:
			words += string(tok)
		case xml.StartElement:
			for _, a := range tok.Attr {
				if a.Name.Local == "class" && (a.Value == "aim" || a.Value == "must" || a.Value == "no") {
					bars++
				}
			}
		}
	}
	if want := 25 + 3; bars != want { // each figure, and the three of the legend
		t.Errorf("%d bars, want %d", bars, want)
	}
	for _, w := range []string{"AMD & <co>", "1.50 ×", "not measured", "10,000 idle peers: processor", "prefers-color-scheme:dark"} {
		if !strings.Contains(words, w) {
			t.Errorf("no %q in the drawing", w)
		}
	}
}

func TestScore(t *testing.T) {
	for _, x := range []struct {
		f    figure
		want float64
	}{
		{figure{Value: 3, Must: 1.5}, 2},
		{figure{Value: 30, Must: 60, AtMost: true}, 2},
		{figure{Value: 0, Must: 0, AtMost: true}, 1},
		{figure{Value: 2, Must: 0, AtMost: true}, 0},
		{figure{Value: 0, Must: 3, AtMost: true}, math.Inf(1)},
	} {
		if got := x.f.score(x.f.Value); got != x.want {
			t.Errorf("%+v: %v, want %v", x.f, got, x.want)
		}
	}
}
