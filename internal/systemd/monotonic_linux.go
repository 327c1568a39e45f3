package systemd

import (
	"time"

	"golang.org/x/sys/unix"
)

// monotonic is what CLOCK_MONOTONIC shows, 0 if it cannot be read.
func monotonic() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
