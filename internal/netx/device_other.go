//go:build !linux && !darwin && !windows

package netx

import "errors"

const (
	bindSupported    = false
	bindFiltersInput = false
)

func bindToDevice(uintptr, string, string) error { return errors.ErrUnsupported }
