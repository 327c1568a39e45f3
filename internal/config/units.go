package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

var (
	errSize     = errors.New("not a size such as 500k, 16MiB or 2G")
	errDuration = errors.New("not a duration such as 90s, 30m, 12h or 7d")
)

// byteUnits are powers of 1000 and of 1024, the largest first.
var byteUnits = []struct {
	name  string
	bytes float64
}{
	{"TiB", 1 << 40}, {"T", 1e12}, {"GiB", 1 << 30}, {"G", 1e9}, {"MiB", 1 << 20}, {"M", 1e6}, {"KiB", 1 << 10}, {"k", 1e3},
}

// ParseBytes reads a size or, with or without "/s", a rate: a number with an optional unit k, M, G, T (powers of 1000) or Ki, Mi, Gi, Ti (of
// 1024), with or without B.
func ParseBytes(s string) (int64, error) {
	number := strings.TrimRight(s, "kKMGTiBb/s")
	unit := strings.ToLower(strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(s[len(number):], "/s"), "B"), "b"))
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || !(f >= 0) {
		return 0, errSize
	}
	mult := 1.0
	for _, u := range byteUnits {
		if strings.ToLower(strings.TrimSuffix(u.name, "B")) == unit {
			mult, unit = u.bytes, ""
		}
	}
	if unit != "" || f*mult > 1<<62 {
		return 0, errSize
	}
	return int64(f * mult), nil
}

// formatBytes writes a size as ParseBytes reads it, with the largest unit that fits without a fraction.
func formatBytes(n int64) string {
	for _, u := range byteUnits {
		if whole := int64(u.bytes); n >= whole && n%whole == 0 {
			return strconv.FormatInt(n/whole, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// ParseDuration reads what time.ParseDuration does, a number of days such as "7d", or seconds without a unit.
func ParseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		f, err := strconv.ParseFloat(days, 64)
		if err != nil || !(f >= 0 && f*24 < math.MaxInt64/float64(time.Hour)) {
			return 0, errDuration
		}
		return time.Duration(f * 24 * float64(time.Hour)), nil
	}
	if n, err := strconv.ParseUint(s, 10, 32); err == nil {
		return time.Duration(n) * time.Second, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, errDuration
	}
	return d, nil
}

// formatDuration writes a duration as ParseDuration reads it.
func formatDuration(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d > 0 && d%day == 0:
		return strconv.FormatInt(int64(d/day), 10) + "d"
	case d > 0 && d%time.Hour == 0:
		return strconv.FormatInt(int64(d/time.Hour), 10) + "h"
	case d > 0 && d%time.Minute == 0:
		return strconv.FormatInt(int64(d/time.Minute), 10) + "m"
	}
	return d.String()
}
