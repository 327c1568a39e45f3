package cli

import (
	"errors"
	"io/fs"
	"net"

	"shoal/internal/storage"
)

// Exit codes, which mean the same for every verb.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitNotFound    = 3 // no such file or link, or no metadata to be had
	exitNetwork     = 4
	exitDiskFull    = 5
	exitUnsound     = 6 // data does not match its hashes
	exitInterrupted = 7 // interrupted before the work was done; it can be taken up again
	exitDenied      = 8 // the node wants to know who asks, or does not let them
	exitUnreachable = 9 // no node answers
)

// exitError is an error that names its exit code.
type coded struct {
	code int
	err  error
}

func (e *coded) Error() string { return e.err.Error() }
func (e *coded) Unwrap() error { return e.err }

// withCode gives an error an exit code; nil stays nil.
func withCode(code int, err error) error {
	if err == nil {
		return nil
	}
	return &coded{code, err}
}

func usage(err error) error { return withCode(exitUsage, err) }

// codeOf returns the exit code of an error.
func codeOf(err error) int {
	var c *coded
	var op *net.OpError
	var dns *net.DNSError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &c):
		return c.code
	case errors.Is(err, storage.ErrFull):
		return exitDiskFull
	case errors.Is(err, fs.ErrNotExist):
		return exitNotFound
	case errors.As(err, &op), errors.As(err, &dns):
		return exitNetwork
	}
	return exitError
}
