package cli

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"shoal/internal/accounts"
	"shoal/internal/api"
	"shoal/internal/library"
)

// lines prints a table.
func (a *app) lines(rows [][]string) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(w, strings.Join(r, "\t"))
	}
	_ = w.Flush() // into memory
	for line := range strings.Lines(b.String()) {
		a.result("%s", strings.TrimRight(line, " \n"))
	}
}

// files is `shoal files`.
func (a *app) files() *cobra.Command {
	var priority string
	var chosen []string
	c := &cobra.Command{Use: "files TORRENT", Short: "List a torrent's files, or change how much they are wanted", Args: one("a torrent"),
		Example: `  shoal files debian
  shoal files debian --priority skip --file '*.txt' --file 3`}
	c.Flags().StringVar(&priority, "priority", "", "skip, low, normal or high, for the files of --file, or all")
	c.Flags().StringArrayVar(&chosen, "file", nil, "a number of the list, or a pattern of names; may be repeated")
	return a.verb(c, func(ctx context.Context, cl *api.Client, args []string) error {
		t, err := findOne(ctx, cl, args[0])
		if err != nil {
			return err
		}
		files, err := cl.Files(ctx, t.ID)
		if err != nil {
			return err
		}
		if priority != "" {
			numbers, err := match(files, chosen)
			if err != nil {
				return err
			}
			if err := cl.ChangeFiles(ctx, t.ID, api.FileChange{Files: numbers, Priority: library.Priority(priority)}); err != nil {
				return err
			}
			if files, err = cl.Files(ctx, t.ID); err != nil {
				return err
			}
		}
		rows := [][]string{{"#", "DONE", "SIZE", "PRIORITY", "PATH"}}
		for _, f := range files {
			a.emit(struct {
				Event string `json:"event"`
				api.TorrentFile
			}{"file", f})
			rows = append(rows, []string{strconv.Itoa(f.Index + 1), fmt.Sprintf("%d%%", percent(f.Done, f.Size)), size(f.Size), string(f.Priority), printable(f.Path)})
		}
		if !a.json {
			a.lines(rows)
		}
		return nil
	})
}

// match returns the indices of files that a person names; all for nothing.
func match(files []api.TorrentFile, patterns []string) ([]int, error) {
	var out []int
	for _, f := range files {
		fits := len(patterns) == 0
		for _, p := range patterns {
			if n, err := strconv.Atoi(p); err == nil {
				fits = fits || n == f.Index+1
				continue
			}
			for _, name := range []string{f.Path, path.Base(f.Path)} {
				ok, err := path.Match(p, name)
				if err != nil {
					return nil, usage(fmt.Errorf("--file %q: %w", p, err))
				}
				fits = fits || ok
			}
		}
		if fits {
			out = append(out, f.Index)
		}
	}
	if len(out) == 0 {
		return nil, withCode(exitNotFound, errors.New("no file matches --file"))
	}
	return out, nil
}

// peers2 is `shoal peers`.
func (a *app) peersVerb() *cobra.Command {
	var add []string
	c := &cobra.Command{Use: "peers TORRENT", Short: "List whom a torrent is connected to, or tell it of others", Args: one("a torrent"),
		Example: "  shoal peers debian\n  shoal peers debian --add 192.0.2.7:6881"}
	c.Flags().StringArrayVar(&add, "add", nil, "a peer to connect to, HOST:PORT; may be repeated")
	return a.verb(c, func(ctx context.Context, cl *api.Client, args []string) error {
		t, err := findOne(ctx, cl, args[0])
		if err != nil {
			return err
		}
		if len(add) > 0 {
			if err := cl.AddPeers(ctx, t.ID, add...); err != nil {
				return err
			}
		}
		list, err := cl.Peers(ctx, t.ID)
		if err != nil {
			return err
		}
		rows := [][]string{{"ADDRESS", "CLIENT", "FROM", "FLAGS", "HAS", "DOWN", "UP"}}
		for _, p := range list {
			a.emit(struct {
				Event string `json:"event"`
				library.Peer
			}{"peer", p})
			rows = append(rows, []string{p.Address, printable(p.Client), p.Source, p.Flags, fmt.Sprintf("%d%%", int(p.Progress*100)), rateOf(p.DownRate), rateOf(p.UpRate)})
		}
		switch {
		case a.json:
		case len(list) == 0:
			a.say("no peers; %s", reasonOf(&t))
		default:
			a.lines(rows)
		}
		return nil
	})
}

func reasonOf(t *library.Torrent) string {
	if t.Reason == "" {
		return "it is " + string(t.State)
	}
	return printable(t.Reason)
}

// trackers is `shoal trackers`.
func (a *app) trackers() *cobra.Command {
	var add, remove []string
	c := &cobra.Command{Use: "trackers TORRENT", Short: "List where a torrent looks for peers, or change its trackers", Args: one("a torrent"),
		Example: "  shoal trackers debian\n  shoal trackers debian --add udp://tracker.example.org:6969"}
	c.Flags().StringArrayVar(&add, "add", nil, "a tracker's URL to add; may be repeated")
	c.Flags().StringArrayVar(&remove, "remove", nil, "a tracker's URL to remove; may be repeated")
	return a.verb(c, func(ctx context.Context, cl *api.Client, args []string) error {
		t, err := findOne(ctx, cl, args[0])
		if err != nil {
			return err
		}
		if len(add) > 0 {
			err = cl.AddTrackers(ctx, t.ID, add...)
		}
		for _, u := range remove {
			if err == nil {
				err = cl.RemoveTracker(ctx, t.ID, u)
			}
		}
		if err != nil {
			return err
		}
		list, err := cl.Trackers(ctx, t.ID)
		if err != nil {
			return err
		}
		rows := [][]string{{"WHERE", "WORKS", "SEEDS", "LEECHERS", "NEXT", "MESSAGE"}}
		for _, r := range list {
			a.emit(struct {
				Event string `json:"event"`
				library.Tracker
			}{"tracker", r})
			next := "-"
			if r.Next >= 0 {
				next = duration(time.Duration(r.Next) * time.Second)
			}
			rows = append(rows, []string{printable(r.URL), map[bool]string{true: "yes", false: "no"}[r.Working], known(r.Seeds), known(r.Leeches), next, printable(r.Message)})
		}
		switch {
		case a.json:
		case len(list) == 0:
			a.say("it looks nowhere for peers")
		default:
			a.lines(rows)
		}
		return nil
	})
}

func known(n int) string {
	if n < 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

// token is `shoal token`.
func (a *app) token() *cobra.Command {
	c := &cobra.Command{Use: "token", Short: "Make, list and remove tokens by which programs use the node", Args: noArguments,
		Example: "  shoal token add sonarr --user ann --scope add --scope control\n  shoal token ls\n  shoal token rm ID",
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(a.tokenAdd(), a.tokenList(), a.tokenRemove())
	return c
}

func (a *app) tokenAdd() *cobra.Command {
	var scopes []string
	var user string
	var expires time.Duration
	c := &cobra.Command{Use: "add NAME", Short: "Make a token; it is shown once", Args: one("what the token is for"),
		Example: "  shoal token add grafana --user ann --scope read --expires 8760h"}
	c.Flags().StringSliceVar(&scopes, "scope", []string{"read"}, "what may be done with it: read, add, control, admin; may be repeated")
	c.Flags().StringVar(&user, "user", "", "whose token it is; needed by who uses the node's socket")
	c.Flags().DurationVar(&expires, "expires", 0, "how long it is good; 0: until it is removed")
	return a.verb(c, func(ctx context.Context, cl *api.Client, args []string) error {
		r := api.TokenRequest{Name: args[0], User: user}
		for _, s := range scopes {
			r.Scopes = append(r.Scopes, accounts.Scope(s))
		}
		if expires > 0 {
			r.Expires = time.Now().Add(expires).Unix()
		}
		t, err := cl.AddToken(ctx, r)
		if err != nil {
			return err
		}
		a.emit(map[string]any{"event": "token", "token": t.Secret, "id": t.ID, "name": t.Name})
		if !a.json {
			a.result("%s", t.Secret)
		}
		a.say("it is shown this once; programs send it as a Bearer token, or as a password")
		return nil
	})
}

func (a *app) tokenList() *cobra.Command {
	c := &cobra.Command{Use: "ls", Short: "List tokens", Args: noArguments, Example: "  shoal token ls"}
	return a.verb(c, func(ctx context.Context, cl *api.Client, _ []string) error {
		list, err := cl.Tokens(ctx)
		if err != nil {
			return err
		}
		rows := [][]string{{"ID", "NAME", "USER", "MAY", "LAST USED"}}
		for _, t := range list {
			a.emit(struct {
				Event string `json:"event"`
				accounts.Token
			}{"token", t})
			used := "never"
			if t.LastUsed > 0 {
				used = time.Unix(t.LastUsed, 0).Format("2006-01-02 15:04")
			}
			var may []string
			for _, s := range t.Scopes {
				may = append(may, string(s))
			}
			rows = append(rows, []string{t.ID, printable(t.Name), printable(t.User), strings.Join(may, ","), used})
		}
		if !a.json {
			a.lines(rows)
		}
		return nil
	})
}

func (a *app) tokenRemove() *cobra.Command {
	c := &cobra.Command{Use: "rm ID", Short: "Remove a token", Args: one("a token's ID"), Example: "  shoal token rm 1a2b"}
	return a.verb(c, func(ctx context.Context, cl *api.Client, args []string) error {
		if err := cl.RemoveToken(ctx, args[0]); err != nil {
			return err
		}
		a.say("%s: removed", args[0])
		return nil
	})
}
