package cli

import (
	"fmt"
	"strconv"
	"time"

	"shoal/internal/config"
)

// size formats bytes in binary units, as files are measured.
func size(n int64) string {
	const units = "KMGTPE"
	f, u := float64(n), -1
	for f >= 1023.5 && u < len(units)-1 {
		f /= 1024
		u++
	}
	if u < 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%s %ciB", digits(f), units[u])
}

// speed formats bytes per second in decimal units, as lines are measured.
func speed(f float64) string {
	const units = "kMGT"
	u := -1
	for f >= 999.5 && u < len(units)-1 {
		f /= 1000
		u++
	}
	if u < 0 {
		return fmt.Sprintf("%.0f B/s", f)
	}
	return fmt.Sprintf("%s %cB/s", digits(f), units[u])
}

func digits(f float64) string {
	if f < 9.95 {
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.0f", f)
}

// duration formats a time to go in at most two units.
func duration(d time.Duration) string {
	d = d.Round(time.Second)
	h, m, s := int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60
	switch {
	case h >= 48:
		return fmt.Sprintf("%dd%dh", h/24, h%24)
	case h > 0:
		return fmt.Sprintf("%dh%dm", h, m)
	case m > 0:
		return fmt.Sprintf("%dm%ds", m, s)
	}
	return fmt.Sprintf("%ds", s)
}

// bytesFlag is a flag of a size or a rate: a number with an optional unit, k, M, G (powers of 1000) or Ki, Mi, Gi (of 1024).
type bytesFlag int64

func (b *bytesFlag) String() string {
	if *b == 0 {
		return ""
	}
	return strconv.FormatInt(int64(*b), 10)
}

func (b *bytesFlag) Type() string { return "BYTES" }

func (b *bytesFlag) Set(s string) error {
	n, err := config.ParseBytes(s)
	if err != nil {
		return fmt.Errorf("%q is %w", s, err)
	}
	*b = bytesFlag(n)
	return nil
}
