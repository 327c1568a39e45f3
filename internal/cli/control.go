package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"shoal/internal/api"
	"shoal/internal/library"
)

// which says in help how torrents are named.
const which = "TORRENT is the first digits of its infohash, or words of its name that no other has; \"all\" is every one."

// act is a verb that does one thing to torrents.
func (a *app) act(name, short, example string, action library.Action, done string) *cobra.Command {
	c := &cobra.Command{Use: name + " TORRENT...", Short: short, Long: short + ". " + which, Example: example, Args: some("a torrent, or all")}
	return a.verb(c, func(ctx context.Context, c *api.Client, args []string) error {
		list, err := a.chosen(ctx, c, args)
		if err != nil {
			return err
		}
		return a.actOn(ctx, c, list, action, done)
	})
}

func (a *app) pause() *cobra.Command {
	return a.act("pause", "Stop torrents until they are resumed", "  shoal pause debian\n  shoal pause all", library.Pause, "paused")
}

func (a *app) resume() *cobra.Command {
	var force bool
	c := &cobra.Command{Use: "resume TORRENT...", Short: "Put torrents to work again", Long: "Put torrents to work again, as the queue lets them. " + which,
		Example: "  shoal resume debian\n  shoal resume --force 3f2a              regardless of the queue and of seed rules", Args: some("a torrent, or all")}
	c.Flags().BoolVar(&force, "force", false, "regardless of the queue and of seed rules")
	return a.verb(c, func(ctx context.Context, c *api.Client, args []string) error {
		list, err := a.chosen(ctx, c, args)
		if err != nil {
			return err
		}
		if force {
			return a.actOn(ctx, c, list, library.Force, "at work, whatever the queue")
		}
		return a.actOn(ctx, c, list, library.Resume, "resumed")
	})
}

func (a *app) recheckVerb() *cobra.Command {
	return a.act("recheck", "Hash what is on disk again, and fetch what is missing", "  shoal recheck debian", library.Recheck, "is checked")
}

func (a *app) announce() *cobra.Command {
	return a.act("announce", "Look for peers now", "  shoal announce debian", library.Announce, "looks for peers")
}

// remove is `shoal rm`.
func (a *app) remove() *cobra.Command {
	var data, yes bool
	c := &cobra.Command{Use: "rm TORRENT...", Short: "Remove torrents; their files stay unless --data is given", Long: "Remove torrents. " + which,
		Example: "  shoal rm debian\n  shoal rm --data 3f2a                   and delete its files", Args: some("a torrent, or all")}
	c.Flags().BoolVar(&data, "data", false, "delete their files too; of what was shared where it lies nothing is deleted")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask before files are deleted")
	return a.verb(c, func(ctx context.Context, cl *api.Client, args []string) error {
		list, err := a.chosen(ctx, cl, args)
		if err != nil {
			return err
		}
		if !data {
			return a.actOn(ctx, cl, list, library.Remove, "removed; its files stay")
		}
		if !yes {
			if err := a.confirm(c, list); err != nil {
				return err
			}
		}
		return a.actOn(ctx, cl, list, library.RemoveData, "removed with its files")
	})
}

// confirm asks before files are deleted.
func (a *app) confirm(c *cobra.Command, list []library.Torrent) error {
	in, ok := c.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return usage(errors.New("files are to be deleted: say so with --yes"))
	}
	for _, t := range list[:min(len(list), 20)] {
		fmt.Fprintf(a.err, "  %s  %s\n", size(t.Done), printable(t.Path))
	}
	fmt.Fprintf(a.err, "delete the files of %s? [y/N] ", torrents(len(list)))
	answer, _ := bufio.NewReader(in).ReadString('\n')
	if s := strings.ToLower(strings.TrimSpace(answer)); s != "y" && s != "yes" {
		return usage(errors.New("nothing was deleted"))
	}
	return nil
}

// chosen returns the torrents that are named.
func (a *app) chosen(ctx context.Context, c *api.Client, args []string) ([]library.Torrent, error) {
	if len(args) == 1 && args[0] == "all" {
		page, err := c.List(ctx, library.Query{Sort: "name"})
		return page.Torrents, err
	}
	var out []library.Torrent
	for _, text := range args {
		t, err := findOne(ctx, c, text)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

func (a *app) actOn(ctx context.Context, c *api.Client, list []library.Torrent, action library.Action, done string) error {
	if len(list) == 0 {
		a.say("there are no torrents")
		return nil
	}
	ids := make([]string, len(list))
	for i, t := range list {
		ids[i] = t.ID
	}
	if err := c.Act(ctx, action, ids...); err != nil {
		return err
	}
	for _, t := range list {
		a.emit(map[string]any{"event": string(action), "id": t.ID, "name": t.Name})
		a.say("%s  %s: %s", t.ID[:8], printable(t.Name), done)
	}
	return nil
}

// set is `shoal set`.
func (a *app) set() *cobra.Command {
	var name, category, dir, ratio, seedTime string
	var addTags, removeTags []string
	var sequential bool
	var down, up bytesFlag
	c := &cobra.Command{Use: "set TORRENT...", Short: "Change a torrent's name, category, tags, folder, limits or goals", Long: "Change torrents. " + which,
		Example: `  shoal set debian --category linux --add-tag iso
  shoal set debian --dir ~/isos            its files are moved there
  shoal set debian --limit-up 500k --seed-ratio 2 --seed-time 24h`, Args: some("a torrent, or all")}
	fl := c.Flags()
	fl.StringVar(&name, "name", "", "what to call it")
	fl.StringVar(&category, "category", "", `its category; "" takes it out`)
	fl.StringVar(&dir, "dir", "", "folder to move its files to")
	fl.StringArrayVar(&addTags, "add-tag", nil, "a tag to give it; may be repeated")
	fl.StringArrayVar(&removeTags, "remove-tag", nil, "a tag to take away; may be repeated")
	fl.BoolVar(&sequential, "sequential", false, "fetch pieces in order; --sequential=false for the rarest first")
	fl.Var(&down, "limit-down", "most to download a second; 0: no limit of its own")
	fl.Var(&up, "limit-up", "most to upload a second; 0: no limit of its own")
	fl.StringVar(&ratio, "seed-ratio", "", "seed until so many times its size was sent; rules: as the rules say; forever")
	fl.StringVar(&seedTime, "seed-time", "", "seed for so long, such as 24h; rules: as the rules say; forever")
	return a.verb(c, func(ctx context.Context, cl *api.Client, args []string) error {
		ch := library.Change{AddTags: addTags, RemoveTags: removeTags}
		given := func(flag string) bool { return fl.Changed(flag) }
		if given("name") {
			ch.Name = &name
		}
		if given("category") {
			ch.Category = &category
		}
		if given("sequential") {
			ch.Sequential = &sequential
		}
		if given("limit-down") {
			ch.DownLimit = (*int64)(&down)
		}
		if given("limit-up") {
			ch.UpLimit = (*int64)(&up)
		}
		if err := goals(&ch, ratio, seedTime); err != nil {
			return err
		}
		if given("dir") {
			abs, err := absolute(dir)
			if err != nil {
				return err
			}
			ch.Dir = &abs
		}
		list, err := a.chosen(ctx, cl, args)
		if err != nil {
			return err
		}
		for _, t := range list {
			d, err := cl.Change(ctx, t.ID, ch)
			if err != nil {
				return err
			}
			a.emit(map[string]any{"event": "set", "id": d.ID, "name": d.Name, "category": d.Category, "tags": d.Tags, "dir": d.Dir, "down_limit": d.DownLimit,
				"up_limit": d.UpLimit, "seed_ratio": d.SeedRatio, "seed_time": d.SeedTime})
			a.say("%s  %s: changed", d.ID[:8], printable(d.Name))
		}
		return nil
	})
}

// goals reads the goals of seeding.
func goals(ch *library.Change, ratio, seedTime string) error {
	if ratio != "" {
		var r float64
		switch ratio {
		case "rules":
		case "forever":
			r = -1
		default:
			if _, err := fmt.Sscanf(ratio, "%g", &r); err != nil || r < 0 {
				return usage(fmt.Errorf("--seed-ratio %q is no number such as 1.5, nor rules or forever", ratio))
			}
		}
		ch.SeedRatio = &r
	}
	if seedTime != "" {
		var s int64
		switch seedTime {
		case "rules":
		case "forever":
			s = -1
		default:
			d, err := time.ParseDuration(seedTime)
			if err != nil || d <= 0 {
				return usage(fmt.Errorf("--seed-time %q is no time such as 24h, nor rules or forever", seedTime))
			}
			s = int64(d.Seconds())
		}
		ch.SeedTime = &s
	}
	return nil
}
