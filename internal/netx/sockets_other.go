//go:build !linux

package netx

import "errors"

// Sockets returns errors.ErrUnsupported here.
func Sockets() ([]Socket, error) { return nil, errors.ErrUnsupported }
