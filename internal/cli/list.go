package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"shoal/internal/api"
	"shoal/internal/library"
)

// ls is `shoal ls`.
func (a *app) ls() *cobra.Command {
	q := library.Query{}
	var states []string
	var category, tag string
	c := &cobra.Command{
		Use: "ls [WORDS...]", Short: "List the node's torrents",
		Example: `  shoal ls
  shoal ls debian iso                      whose names have these words
  shoal ls --state downloading --sort down_rate --desc
  shoal ls --json                          one object a torrent`,
	}
	fl := c.Flags()
	fl.StringSliceVar(&states, "state", nil, "only these: downloading, seeding, metadata, checking, moving, queued, paused, failed, active, complete, incomplete")
	fl.StringVar(&category, "category", "", `only of this category; "" for those without`)
	fl.StringVar(&tag, "tag", "", `only with this tag; "" for those without`)
	fl.StringVar(&q.Sort, "sort", "queue", "by a field of --json, such as name, size, progress, down_rate, up_rate, ratio, added")
	fl.BoolVar(&q.Desc, "desc", false, "the greatest first")
	fl.IntVar(&q.Limit, "limit", 0, "at most so many; 0: all")
	return a.verb(c, func(ctx context.Context, cl *api.Client, args []string) error {
		q.Text = strings.Join(args, " ")
		for _, s := range states {
			q.State = append(q.State, library.State(s))
		}
		if fl.Changed("category") {
			q.Category = &category
		}
		if fl.Changed("tag") {
			q.Tag = &tag
		}
		page, err := cl.List(ctx, q)
		if err != nil {
			return err
		}
		if a.json {
			for i := range page.Torrents {
				a.emit(torrentEvent{"torrent", page.Torrents[i]})
			}
			return nil
		}
		if page.Total == 0 {
			a.say("there are no such torrents; add some with: shoal add LINK")
			return nil
		}
		a.table(page.Torrents)
		return nil
	})
}

type torrentEvent struct {
	Event string `json:"event"`
	library.Torrent
}

// table prints torrents for people.
func (a *app) table(list []library.Torrent) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tSTATE\tDONE\tSIZE\tDOWN\tUP\tRATIO\tPEERS\tETA\tNAME")
	for _, t := range list {
		eta := "-"
		if t.ETA >= 0 && t.State == library.Downloading {
			eta = duration(time.Duration(t.ETA) * time.Second)
		}
		fmt.Fprintf(w, "%s\t%s\t%d%%\t%s\t%s\t%s\t%.2f\t%d\t%s\t%s\n", t.ID[:8], t.State, int(t.Progress*100), size(t.Size), rateOf(t.DownRate), rateOf(t.UpRate), t.Ratio, t.Peers, eta, printable(t.Name))
	}
	_ = w.Flush() // into memory
	for line := range strings.Lines(b.String()) {
		a.result("%s", strings.TrimRight(line, " \n"))
	}
	for _, t := range list {
		if t.Reason != "" && (t.State == library.Failed || len(list) == 1) {
			a.result("%s  %s: %s", t.ID[:8], printable(t.Name), printable(t.Reason))
		}
	}
}

func rateOf(n int64) string {
	if n == 0 {
		return "-"
	}
	return speed(float64(n))
}

// top is `shoal top`.
func (a *app) top() *cobra.Command {
	var once bool
	c := &cobra.Command{Use: "top", Short: "Watch what the node does, until Ctrl-C", Args: noArguments,
		Example: "  shoal top\n  shoal top --once                         one look, for scripts"}
	c.Flags().BoolVar(&once, "once", false, "look once")
	return a.verb(c, func(ctx context.Context, cl *api.Client, _ []string) error {
		d := a.display()
		for {
			totals, err := cl.Stats(ctx)
			var page library.Page
			if err == nil {
				page, err = cl.List(ctx, library.Query{Sort: "down_rate", Desc: true, Limit: 200})
			}
			if err != nil && ctx.Err() == nil {
				return err
			}
			if ctx.Err() != nil { // the person has seen enough
				return nil
			}
			a.look(d, &totals, page.Torrents)
			if once || !d.tty && !a.json {
				return nil
			}
			if !sleep(ctx, time.Second) {
				return nil
			}
		}
	})
}

// look shows the node once: as much as fits on the terminal.
func (a *app) look(d *display, t *library.Totals, list []library.Torrent) {
	if a.json {
		a.emit(struct {
			Event string `json:"event"`
			*library.Totals
		}{"stats", t})
		return
	}
	slices.SortStableFunc(list, func(x, y library.Torrent) int { return int(y.DownRate + y.UpRate - x.DownRate - x.UpRate) })
	reach := "not reached yet"
	if t.Reachable {
		reach = "reached"
	}
	lines := []string{
		fmt.Sprintf("↓%s ↑%s  %s, %d active, %s, %d DHT nodes, port %d %s", speed(float64(t.DownRate)), speed(float64(t.UpRate)), torrents(t.Torrents), t.Active, peers(t.Peers), t.DHTNodes, t.Port, reach),
	}
	for _, disk := range t.Disks {
		full := ""
		if disk.Full {
			full = ": too little, downloads wait"
		}
		lines = append(lines, fmt.Sprintf("%s free on %s%s", size(disk.Free), disk.Mount, full))
	}
	for _, t := range list {
		lines = append(lines, rowLine(&t))
	}
	if !d.tty {
		for _, l := range lines {
			a.result("%s", l)
		}
		return
	}
	if rows := d.rows(); len(lines) > rows {
		lines = lines[:rows]
	}
	d.draw(lines)
}

// rowLine is one line for a torrent of the node, as statusLine is for one of this process.
func rowLine(t *library.Torrent) string {
	s := fmt.Sprintf("%-11s %3d%% %s ↓%s ↑%s %s", t.State, int(t.Progress*100), fraction(t.Done, t.Size), speed(float64(t.DownRate)), speed(float64(t.UpRate)), peers(t.Peers))
	if t.ETA >= 0 && t.State == library.Downloading {
		s += " ETA " + duration(time.Duration(t.ETA)*time.Second)
	}
	if t.Reason != "" {
		s += " (" + printable(t.Reason) + ")"
	}
	return s + "  " + printable(t.Name)
}
