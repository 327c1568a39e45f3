//go:build !linux && !darwin && !windows

package netx

import "errors"

func setDontFragment(uintptr, int) error { return errors.ErrUnsupported }
