//go:build race

package utp

// race is 1 under the race detector.
const race = 1
