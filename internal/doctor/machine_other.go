//go:build !linux && !darwin

package doctor

import "errors"

func fileLimits() (soft, hard uint64, err error) { return 0, 0, errors.ErrUnsupported }

func raiseFiles(uint64) error { return errors.ErrUnsupported }
