//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// report is everything about a sitting; it is what the results folder holds.
type report struct {
	When     string   `json:"when"`
	Machine  machine  `json:"machine"`
	Versions []string `json:"versions"`
	Params   params   `json:"params"`
	Table    []row    `json:"table"`
	Samples  samples  `json:"samples"`
}

func readReport(path string) (*report, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := &report{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(r.Table) == 0 {
		return nil, fmt.Errorf("%s holds no table", path)
	}
	return r, nil
}

// save writes the report into dir and returns the file's name.
func (r *report) save(dir string) (string, error) {
	out, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return "", err
	}
	name := time.Now().UTC().Format("20060102-150405") + ".json"
	return name, errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, name), append(out, '\n'), 0o644))
}

// details prints the medians of every test and client.
func (r *report) details(w io.Writer) {
	for _, test := range r.Samples.tests() {
		fmt.Fprintf(w, "\n%s\n", test)
		for _, client := range r.Samples.clients(test) {
			fmt.Fprintf(w, "  %s:", client)
			seen := values{}
			for _, s := range r.Samples {
				if s.Test == test && s.Client == client {
					for name := range s.Values {
						seen[name] = 0
					}
				}
			}
			for _, name := range sortedKeys(seen) {
				v := r.Samples.of(test, client, name)
				fmt.Fprintf(w, " %s %.4g", name, r.Samples.median(test, client, name))
				if len(v) > 1 {
					fmt.Fprintf(w, " (%.4g–%.4g)", v[0], v[len(v)-1])
				}
			}
			fmt.Fprintln(w)
		}
	}
}

// print prints the table.
func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n%s\n\n", r.Machine, strings.Join(r.Versions, ", "))
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "#\twork\t\tfigure\tmust\taim\tmet")
	for _, c := range r.cells() {
		fmt.Fprintln(t, strings.Join(c[:7], "\t"))
	}
	_ = t.Flush() // a terminal that is gone is no result that is lost
}

// cells are the table's lines, one for each figure: the row's number and work, what the figure is, its value, the goals, how good it is,
// and what others do.
func (r *report) cells() [][8]string {
	var all [][8]string
	for _, x := range r.Table {
		n, work := strconv.Itoa(x.Number), x.Work
		if len(x.Figures) == 0 {
			all = append(all, [8]string{n, work, "", "–", "", "", "not measured", ""})
		}
		for _, f := range x.Figures {
			aim := "–"
			if f.Aim != 0 {
				aim = f.goal(f.Aim)
			}
			all = append(all, [8]string{n, work, f.Name, number(f.Value, f.Unit), f.goal(f.Must), aim, f.met(), f.Note})
			n, work = "", ""
		}
	}
	return all
}

// goal formats a goal: ≤ 3 %.
func (f *figure) goal(v float64) string {
	sign := "≥ "
	if f.AtMost {
		sign = "≤ "
	}
	return sign + strings.TrimSpace(strconv.FormatFloat(v, 'g', -1, 64)+" "+f.Unit)
}

// number formats a value with three digits or its whole part, and its unit.
func number(v float64, unit string) string {
	s := strconv.FormatFloat(v, 'f', -1, 64)
	switch {
	case v == 0:
	case v < 10:
		s = strconv.FormatFloat(v, 'f', 2, 64)
	case v < 100:
		s = strconv.FormatFloat(v, 'f', 1, 64)
	default:
		s = strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strings.TrimSpace(s + " " + unit)
}

// Marks of the part of performance.md that the program writes.
const (
	begin = "<!-- table:begin -->"
	end   = "<!-- table:end -->"
)

// document writes performance.svg, and the table into performance.md.
func (r *report) document(dir, from string) error {
	path := filepath.Join(dir, "performance.md")
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text, err := between(string(b), r.markdown(from))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return errors.Join(os.WriteFile(path, []byte(text), 0o644), os.WriteFile(filepath.Join(dir, "performance.svg"), []byte(r.draw()), 0o644))
}

// between replaces what stands between the marks.
func between(text, part string) (string, error) {
	head, rest, ok1 := strings.Cut(text, begin+"\n")
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		return "", fmt.Errorf("the lines %s and %s are missing", begin, end)
	}
	return head + begin + "\n" + part + end + tail, nil
}

// markdown is the table, and what it was measured with.
func (r *report) markdown(from string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured %s (`bench/results/%s`): %s; %s. Medians of %d interleaved runs where wall time is compared;\n\"best\" is the faster of libtorrent and rtorrent.\n\n",
		strings.Replace(strings.TrimSuffix(r.When, "Z"), "T", " ", 1)+" UTC", from, r.Machine, strings.Join(r.Versions, ", "), r.Params.Runs)
	b.WriteString("![Every row: what shoal does, what it must and what it should](performance.svg)\n\n")
	b.WriteString("| # | work | | figure | must | aim | met | in detail |\n|---|---|---|---|---|---|---|---|\n")
	for _, c := range r.cells() {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(c[:], " | "))
	}
	return b.String()
}
