package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"shoal/internal/config"
)

// placeFlags say whose settings are meant.
type placeFlags struct{ home, file string }

func (f *placeFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.home, "home", "", "keep everything below this folder: config.toml, state, downloads, run/api.sock")
	c.Flags().StringVar(&f.file, "config", "", "file of settings (default: config.toml in the folder for settings)")
}

func (f *placeFlags) options() config.Options {
	return config.Options{Home: f.home, File: f.file, Environ: os.Environ()}
}

// settings loads what is set.
func (f *placeFlags) settings() (*config.Loaded, error) {
	l, err := config.Load(f.options())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		err = usage(err)
	}
	return l, err
}

func (a *app) config() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Show and check the node's settings",
		Example: `  shoal config show                        every setting, its value and where that comes from
  shoal config example > config.toml       a file to begin with
  shoal config check config.toml           find mistakes`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage(fmt.Errorf("%q is none of check, show and example; see '%s --help'", args[0], c.CommandPath()))
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.configCheck(), a.configShow(), a.configExample())
	return c
}

// noArguments is arguments for verbs that take none.
func noArguments(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage(fmt.Errorf("%q: %s takes flags only; see '%s --help'", args[0], c.CommandPath(), c.CommandPath()))
	}
	return nil
}

func (a *app) configCheck() *cobra.Command {
	var f placeFlags
	c := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Find mistakes in the settings",
		Example: `  shoal config check                       the settings that the node would have
  shoal config check config.toml           with this file`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage(fmt.Errorf("name one file at most; see '%s --help'", c.CommandPath()))
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				f.file = args[0]
			}
			l, err := f.settings()
			if err != nil {
				return err
			}
			for _, n := range l.Notices {
				a.warn("%s", n)
			}
			a.emit(map[string]any{"event": "checked", "file": l.File})
			a.say("nothing wrong; settings are read from %s", l.File)
			return nil
		},
	}
	f.add(c)
	return c
}

func (a *app) configShow() *cobra.Command {
	var f placeFlags
	c := &cobra.Command{
		Use:   "show",
		Short: "Show every setting, its value and where that comes from",
		Example: `  shoal config show
  shoal config show --json                 one object a setting`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			l, err := f.settings()
			if err != nil {
				return err
			}
			for _, s := range l.Settings() {
				a.emit(s)
				if !a.json {
					a.result("%-28s %-40s %s", s.Key, s.Written(), s.Place)
				}
			}
			return nil
		},
	}
	f.add(c)
	return c
}

func (a *app) configExample() *cobra.Command {
	return &cobra.Command{
		Use:     "example",
		Short:   "Print a file of settings that explains each",
		Example: `  shoal config example > ~/.config/shoal/config.toml`,
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			a.result("%s", strings.TrimSuffix(config.Example(), "\n"))
			return nil
		},
	}
}
