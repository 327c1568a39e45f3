// Package cli is shoal's command line: one verb for each intent.
package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"shoal/internal/link"
)

// Main runs the command line and returns its exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := interrupts(stderr)
	defer stop()
	a := &app{out: stdout, err: stderr}
	root := a.root()
	if len(args) > 0 && meansGet(args[0]) {
		args = append([]string{"get"}, args...)
	}
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil {
		a.fail(err)
	}
	return codeOf(err)
}

// Root returns the tree of verbs, for who makes manuals of it.
func Root() *cobra.Command { return (&app{out: io.Discard, err: io.Discard}).root() }

// infohash is one by itself, of v1 or v2.
var infohash = regexp.MustCompile(`^(?:[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}|[A-Za-z2-7]{32})$`)

// meansGet reports whether what stands where a verb should is something to get.
func meansGet(text string) bool {
	lower := strings.ToLower(text)
	return strings.HasPrefix(lower, "magnet:") || link.IsURL(text) || strings.HasSuffix(lower, ".torrent") || infohash.MatchString(text)
}

// interrupts returns a context that the first Ctrl-C ends. The second leaves at once.
func interrupts(stderr io.Writer) (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	c := make(chan os.Signal, 2)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			case <-c:
				if n > 0 {
					fmt.Fprintln(stderr)
					os.Exit(exitInterrupted)
				}
				cancel()
			}
		}
	}()
	return ctx, func() {
		signal.Stop(c)
		close(done)
		cancel()
	}
}

// app is one run of the program.
type app struct {
	out, err io.Writer
	json     bool
	quiet    bool

	mu sync.Mutex // of out
}

func (a *app) root() *cobra.Command {
	c := &cobra.Command{
		Use:   "shoal",
		Short: "Share, fetch and seed files with no centre",
		Long:  "shoal shares, fetches and seeds files over BitTorrent (v1, v2 and hybrid), with no server in between. Without a verb it runs a node.",
		Example: `  shoal                                  run a node with a web UI; it prints where
  shoal get 'magnet:?xt=urn:btih:…'      fetch what a magnet link names
  shoal get debian.torrent -o ~/isos     fetch what a .torrent file lists
  shoal play 'magnet:?xt=urn:btih:…'     play a film while it is fetched
  shoal share ./talk.mp4                 offer a file; prints a link for others
  shoal show debian.torrent              see what a torrent holds`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version(),
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage(fmt.Errorf("%q is not a verb; see 'shoal --help'", args[0]))
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return a.runDaemon(c, &placeFlags{}) },
	}
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage(fmt.Errorf("%w; see '%s --help'", err, c.CommandPath()))
	})
	a.helps(c)
	c.PersistentFlags().BoolVar(&a.json, "json", false, "print one JSON object a line; sizes in bytes, times in seconds")
	c.PersistentFlags().BoolVarP(&a.quiet, "quiet", "q", false, "print errors and results only")
	group(c, groupShare, "Fetch and share", a.get(), a.play(), a.share(), a.seed(), a.create(), a.show(), a.verify())
	group(c, groupNode, "The node", a.daemon(), a.add(), a.ls(), a.top(), a.pause(), a.resume(), a.remove(), a.set(), a.recheckVerb(), a.announce(), a.files(),
		a.peersVerb(), a.trackers(), a.token(), a.user(), a.config())
	group(c, groupTools, "Tools", a.doctor(), a.healthcheck(), a.tracker(), a.installHandlers())
	c.SetHelpCommandGroupID(groupTools)
	c.SetCompletionCommandGroupID(groupTools)
	return c
}

// Version is set by the linker in releases.
var Version = ""

func version() string {
	if Version != "" {
		return Version
	}
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" && b.Main.Version != "(devel)" {
		return b.Main.Version
	}
	return "dev"
}

// client is what we call ourselves to peers and trackers.
func client() string { return "shoal/" + version() }

// some is arguments for verbs that take one or more.
func some(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usage(fmt.Errorf("name %s; see '%s --help'", what, c.CommandPath()))
		}
		return nil
	}
}

// one is arguments for verbs that take exactly one.
func one(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usage(fmt.Errorf("name %s, and only one; see '%s --help'", what, c.CommandPath()))
		}
		return nil
	}
}

// say prints a line for people, unless --quiet or --json.
func (a *app) say(format string, args ...any) {
	if a.quiet || a.json {
		return
	}
	a.result(format, args...)
}

// result prints a line for people that --quiet does not silence.
func (a *app) result(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fmt.Fprintf(a.out, format+"\n", args...)
}

// emit prints one JSON object, with --json only.
func (a *app) emit(v any) {
	if !a.json {
		return
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // every value is of our own types
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	fmt.Fprintf(a.out, "%s\n", b)
}

// fail prints an error.
func (a *app) fail(err error) {
	if a.json {
		a.emit(map[string]any{"event": "error", "message": err.Error(), "exit": codeOf(err)})
		return
	}
	fmt.Fprintln(a.err, "shoal:", err)
}

// warn prints what a person should know and nothing depends on.
func (a *app) warn(format string, args ...any) {
	if a.json {
		a.emit(map[string]any{"event": "notice", "message": fmt.Sprintf(format, args...)})
		return
	}
	if !a.quiet {
		fmt.Fprintf(a.err, "shoal: "+format+"\n", args...)
	}
}
