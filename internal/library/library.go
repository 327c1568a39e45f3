// Package library keeps a node's torrents: what a person wants of each (paused, where, how long it seeds), remembered across runs, and who is
// at work now. The engine below, bt/session, knows only those at work.
package library
