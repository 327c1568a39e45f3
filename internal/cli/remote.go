package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"shoal/internal/api"
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
}

// client returns a client of the node.
func (r *remote) client() (*api.Client, error) {
	host := r.host
	if host == "" {
		host = os.Getenv("SHOAL_HOST")
	}
	if host == "" {
		set, err := r.settings()
		if err != nil {
			return nil, err
		}
		if set.Config.API.Socket == "" {
			return nil, withCode(exitUnreachable, errors.New("there is no socket to reach a node by; name one with --host URL"))
		}
		return api.NewLocal(set.Config.API.Socket), nil
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

// running returns a client if a node of this user runs, and nil if none does.
func (r *remote) running(ctx context.Context) *api.Client {
	set, err := r.settings()
	if err != nil || set.Config.API.Socket == "" {
		return nil
	}
	conn, err := local.Socket(set.Config.API.Socket).Dial(ctx, "", "")
	if err != nil {
		return nil
	}
	conn.Close()
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
	c.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := r.client()
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
