package mse

import "golang.org/x/sys/cpu"

// haveBlocks reports whether xorBlocks can be called. Its PINSRB is of SSE4.1.
var haveBlocks = cpu.X86.HasSSE41

// xorBlocks XORs n blocks of blockLen bytes, at least one, from src into dst with the key stream of a state, and returns the next j.
//
//go:noescape
func xorBlocks(s *[256]uint8, i, j uint8, dst, src *byte, n int) uint8
