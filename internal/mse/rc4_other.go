//go:build !amd64

package mse

var haveBlocks = false

func xorBlocks(*[256]uint8, uint8, uint8, *byte, *byte, int) uint8 { panic("unreachable") }
