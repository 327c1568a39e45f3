//go:build race

package swarm

const race = true // runs are ten times slower: let them be smaller
