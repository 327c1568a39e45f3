//go:build race

package table

const race = true // runs are ten times slower: let them be smaller
