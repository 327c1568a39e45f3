//go:build !unix

package node

import "os"

// hangups returns a channel that gets nothing: the system has no such signal.
func hangups() chan os.Signal { return nil }
