//go:build !amd64

package sha

var available = false

func blocks1(*[2][5]uint32, *byte, *byte, int) { panic("unreachable") }

func blocks256(*[2][8]uint32, *[64]uint32, *byte, *byte, int) { panic("unreachable") }
