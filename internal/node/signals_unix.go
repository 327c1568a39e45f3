//go:build unix

package node

import (
	"os"
	"os/signal"
	"syscall"
)

// hangups returns a channel that gets the signals by which a service is told to read its settings again.
func hangups() chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c
}
