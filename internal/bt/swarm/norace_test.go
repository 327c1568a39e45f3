//go:build !race

package swarm

const race = false
