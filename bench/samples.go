//go:build linux

package main

import (
	"maps"
	"math"
	"slices"
)

// samples are all measurements of a sitting.
type samples []sample

// of returns a value of every run, in ascending order.
func (s samples) of(test, client, name string) []float64 {
	var v []float64
	for i := range s {
		if x, ok := s[i].Values[name]; ok && s[i].Test == test && s[i].Client == client {
			v = append(v, x)
		}
	}
	slices.Sort(v)
	return v
}

// median returns NaN if there is no run.
func (s samples) median(test, client, name string) float64 {
	v := s.of(test, client, name)
	if len(v) == 0 {
		return math.NaN()
	}
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// clients returns who took part in a test, in the order of their first runs.
func (s samples) clients(test string) []string {
	var names []string
	for i := range s {
		if s[i].Test == test && !slices.Contains(names, s[i].Client) {
			names = append(names, s[i].Client)
		}
	}
	return names
}

// tests returns what was measured, in that order.
func (s samples) tests() []string {
	var names []string
	for i := range s {
		if !slices.Contains(names, s[i].Test) {
			names = append(names, s[i].Test)
		}
	}
	return names
}

func sortedKeys(v values) []string { return slices.Sorted(maps.Keys(v)) }
