//go:build !linux

package doctor

import (
	"errors"
	"os"
)

func featuresOf(*os.File) (features, error) { return features{}, errors.ErrUnsupported }

func forget(*os.File) {}
