//go:build unix

package node

import (
	"os"
	"os/signal"
	"syscall"
)

// dumps returns a channel that gets the signals by which a person asks what the node is doing.
func dumps() chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	return c
}

// hangups returns a channel that gets the signals by which a service is told to read its settings again.
func hangups() chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c
}
