//go:build !race

package stream

const scale = 1
