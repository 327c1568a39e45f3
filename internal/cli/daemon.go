package cli

import (
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"

	"shoal/internal/config"
	"shoal/internal/database"
	"shoal/internal/node"
)

func (a *app) daemon() *cobra.Command {
	var f placeFlags
	c := &cobra.Command{
		Use:   "daemon",
		Short: "Run a node with its web UI until Ctrl-C",
		Long: `A node keeps torrents at work and remembers them. People use it in a browser, other verbs talk to it, and so do programs that know
qBittorrent's or Transmission's API. Its settings come from flags, SHOAL_... variables, a file and the web UI, in this order; see 'shoal config'.`,
		Example: `  shoal                                    the same as shoal daemon
  shoal daemon --home ~/torrents           everything below one folder
  shoal daemon --api-listen 0.0.0.0:7462   to be used from other machines`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return a.runDaemon(c, &f) },
	}
	f.add(c)
	config.AddFlags(c.Flags())
	return c
}

func (a *app) runDaemon(c *cobra.Command, f *placeFlags) error {
	o := f.options()
	o.Flags = c.Flags()
	if _, err := config.Load(o); err != nil {
		return usage(err)
	}
	out := a.out
	if a.quiet || a.json {
		out = io.Discard
	}
	err := node.Run(c.Context(), node.Options{Config: o, Version: version(), Out: out, Log: os.Stderr})
	switch {
	case errors.Is(err, node.ErrListen):
		return withCode(exitNetwork, err)
	case errors.Is(err, database.ErrLocked):
		return withCode(exitError, err)
	}
	return err
}
