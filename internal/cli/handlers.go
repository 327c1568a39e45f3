package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func (a *app) installHandlers() *cobra.Command {
	var uninstall bool
	c := &cobra.Command{
		Use:   "install-handlers",
		Short: "Have the desktop open magnet links and .torrent files with shoal",
		Long: `Makes shoal what the desktop opens magnet links and .torrent files with, for this user alone: what is opened is added to the node. On Linux and other
systems with a freedesktop.org desktop, a desktop entry and mimeapps.list; on Windows, the user's registry.`,
		Example: `  shoal install-handlers
  shoal install-handlers --uninstall       what was there before is the default again`,
		Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			program, err := os.Executable()
			if err != nil {
				return err
			}
			if uninstall {
				err = removeHandlers()
			} else {
				err = addHandlers(program)
			}
			if err != nil {
				return fmt.Errorf("handlers of links: %w", err)
			}
			a.emit(map[string]any{"event": "handlers", "installed": !uninstall})
			if uninstall {
				a.say("magnet links and .torrent files are no longer opened with shoal")
			} else {
				a.say("magnet links and .torrent files are opened with %s%s", program, handlersNote)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&uninstall, "uninstall", false, "take back what was installed")
	return c
}
