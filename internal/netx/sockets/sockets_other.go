//go:build !linux

package sockets

import "errors"

// List returns errors.ErrUnsupported here.
func List() ([]Socket, error) { return nil, errors.ErrUnsupported }
