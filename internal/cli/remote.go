package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"shoal/internal/api"
	"shoal/internal/config"
	"shoal/internal/library"
	"shoal/internal/netx"
	"shoal/internal/netx/local"
)

// remote is how verbs reach the node: by its Unix socket, or by a URL with a token.
type remote struct {
	placeFlags
	host, tokenFile string
}

func (r *remote) add(c *cobra.Command) {
	r.placeFlags.add(c)
	c.Flags().StringVar(&r.host, "host", "", "URL of the node, such as https://nas.lan:7462 (default: $SHOAL_HOST, or the node of this machine by its socket)")
	c.Flags().StringVar(&r.tokenFile, "token-file", "", "file that holds a token of the node (default: the token in $SHOAL_TOKEN)")
	for _, name := range []string{"home", "config", "host", "token-file"} {
		c.Flags().Lookup(name).Annotations = map[string][]string{config.FlagGroup: {"Which node"}}
	}
}

// client returns a client of the node.
func (r *remote) client(ctx context.Context) (*api.Client, error) {
	host := r.host
	if host == "" {
		host = os.Getenv("SHOAL_HOST")
	}
	if host == "" {
		sockets, err := r.sockets()
		if err != nil {
			return nil, err
		}
		if len(sockets) == 0 {
			return nil, withCode(exitUnreachable, errors.New("there is no socket to reach a node by; name one with --host URL"))
		}
		for _, s := range sockets {
			if answers(ctx, s) {
				return api.NewLocal(s), nil
			}
		}
		return api.NewLocal(sockets[0]), nil
	}
	token := os.Getenv("SHOAL_TOKEN")
	if r.tokenFile != "" {
		b, err := os.ReadFile(r.tokenFile)
		if err != nil {
			return nil, err
		}
		token = strings.TrimSpace(string(b))
	}
	c, err := api.NewRemote(netx.NewHost(netx.Options{}), host, token)
	return c, usageIf(err)
}

func usageIf(err error) error {
	if err == nil {
		return nil
	}
	return usage(err)
}

// systemSocket is where a node listens that the system runs for all its users: see packaging/systemd. Who is in its group may open it.
const systemSocket = "/run/shoal/api.sock"

// sockets returns where the node of this machine may listen: the person's own, and then the system's, unless a certain one is named.
func (r *remote) sockets() (list []string, err error) {
	set, err := r.settings()
	if err != nil {
		return nil, err
	}
	if s := set.Config.API.Socket; s != "" {
		list = append(list, s)
	}
	if r.home == "" && r.file == "" && os.Getenv("SHOAL_HOME") == "" && os.Getenv("SHOAL_API_SOCKET") == "" && !slices.Contains(list, systemSocket) {
		list = append(list, systemSocket)
	}
	return list, nil
}

// answers reports whether somebody listens at a socket whom we may talk to.
func answers(ctx context.Context, socket string) bool {
	conn, err := local.Socket(socket).Dial(ctx, "", "")
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// running returns a client if a node of this user runs, and nil if none does. The system's does not count: it may not write where this user does.
func (r *remote) running(ctx context.Context) *api.Client {
	set, err := r.settings()
	if err != nil || set.Config.API.Socket == "" || !answers(ctx, set.Config.API.Socket) {
		return nil
	}
	return api.NewLocal(set.Config.API.Socket)
}

// apiError gives an error of a node its exit code, and says what to do.
func apiError(err error) error {
	var p *api.Problem
	switch {
	case err == nil:
		return nil
	case errors.Is(err, api.ErrUnreachable):
		return withCode(exitUnreachable, fmt.Errorf("%w; start one with: shoal", err))
	case errors.As(err, &p) && (p.Status == http.StatusUnauthorized || p.Status == http.StatusForbidden):
		return withCode(exitDenied, fmt.Errorf("the node refuses: %w; a token in $SHOAL_TOKEN or --token-file may help: shoal token add", err))
	case errors.As(err, &p) && p.Status == http.StatusNotFound:
		return withCode(exitNotFound, err)
	case errors.As(err, &p) && p.Status >= 400 && p.Status < 500:
		return usage(err)
	}
	return err
}

// verb is a verb that talks to the node.
func (a *app) verb(c *cobra.Command, run func(ctx context.Context, c *api.Client, args []string) error) *cobra.Command {
	r := &remote{}
	r.add(c)
	if strings.Contains(c.Use, "TORRENT") {
		c.ValidArgsFunction = r.complete
	}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := r.client(cmd.Context())
		if err != nil {
			return err
		}
		defer client.Close()
		return apiError(run(cmd.Context(), client, args))
	}
	return c
}

// minPrefix is the fewest digits of an infohash that name a torrent.
const minPrefix = 4

// find returns the torrents that a person means: by id, infohash, the first digits of one, or words of the name. A text that fits several is an error,
// unless they may be many.
func find(ctx context.Context, c *api.Client, text string, many bool) ([]library.Torrent, error) {
	if d, err := c.Get(ctx, text); err == nil && len(text) >= 40 {
		return []library.Torrent{d.Torrent}, nil
	}
	page, err := c.List(ctx, library.Query{Sort: "name"})
	if err != nil {
		return nil, err
	}
	lower := strings.ToLower(text)
	var out []library.Torrent
	for _, t := range page.Torrents {
		if len(lower) >= minPrefix && (strings.HasPrefix(t.ID, lower) || strings.HasPrefix(t.HashV1, lower) || strings.HasPrefix(t.HashV2, lower)) {
			out = append(out, t)
		}
	}
	if len(out) == 0 {
		out = named(page.Torrents, lower)
	}
	switch {
	case len(out) == 0:
		return nil, withCode(exitNotFound, fmt.Errorf("%s: no such torrent; see them with: shoal ls", printable(text)))
	case len(out) > 1 && !many:
		list := ""
		for _, t := range out[:min(len(out), 5)] {
			list += fmt.Sprintf("\n  %s  %s", t.ID[:8], printable(t.Name))
		}
		return nil, usage(fmt.Errorf("%s fits %d torrents; name one by the first digits:%s", printable(text), len(out), list))
	}
	return out, nil
}

// named returns torrents by name: the one that is called so, or those that have all words.
func named(list []library.Torrent, lower string) (out []library.Torrent) {
	words := strings.Fields(lower)
	for _, t := range list {
		name := strings.ToLower(t.Name)
		if name == lower {
			return []library.Torrent{t}
		}
		fits := len(words) > 0
		for _, w := range words {
			fits = fits && strings.Contains(name, w)
		}
		if fits {
			out = append(out, t)
		}
	}
	return out
}

// one torrent that a person means.
func findOne(ctx context.Context, c *api.Client, text string) (library.Torrent, error) {
	list, err := find(ctx, c, text, false)
	if err != nil {
		return library.Torrent{}, err
	}
	return list[0], nil
}

// Bounds of completion, so that a shell never hangs or floods.
const (
	completionTime = 500 * time.Millisecond
	maxCompletions = 200
)

// complete offers the node's torrents to the shell, by name and by id.
func (r *remote) complete(c *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(c.Context(), completionTime)
	defer cancel()
	cl, err := r.client(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer cl.Close()
	page, err := cl.List(ctx, library.Query{Sort: "name"})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []cobra.Completion
	lower := strings.ToLower(begun)
	for _, t := range page.Torrents {
		name := printable(t.Name)
		if strings.HasPrefix(strings.ToLower(name), lower) {
			out = append(out, cobra.CompletionWithDesc(name, string(t.State)))
		} else if strings.HasPrefix(t.ID, lower) {
			out = append(out, cobra.CompletionWithDesc(t.ID[:max(8, len(lower))], name))
		}
		if len(out) == maxCompletions {
			break
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
