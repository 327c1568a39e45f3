//go:build race

package stream

// scale is by how much less everything is where the race detector makes it slow: bitrate, lines, pieces and films.
const scale = 16
