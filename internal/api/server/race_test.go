//go:build race

package server

// race is 1 under the race detector.
const race = 1
