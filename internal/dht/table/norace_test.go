//go:build !race

package table

const race = false
