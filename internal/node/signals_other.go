//go:build !unix

package node

import "os"

// dumps returns a channel that gets nothing: the system has no such signal.
func dumps() chan os.Signal { return nil }

// hangups returns a channel that gets nothing: the system has no such signal.
func hangups() chan os.Signal { return nil }
