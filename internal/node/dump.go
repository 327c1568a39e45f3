package node

import (
	"log/slog"
	"maps"
	"runtime"
	"slices"
)

// dump writes what the node is doing to the log, for whoever looks for the cause of trouble.
func (w *work) dump() {
	s := w.Snapshot(false)
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	states := make([]any, 0, len(s.Torrents))
	for _, name := range slices.Sorted(maps.Keys(s.Torrents)) {
		states = append(states, slog.Int(name, s.Torrents[name]))
	}
	w.log.Info("state of the process", "goroutines", runtime.NumGoroutine(), "heap", mem.HeapAlloc, "from_system", mem.Sys, "collections", mem.NumGC)
	w.log.Info("state of the torrents", slog.Group("torrents", states...), slog.Group("waiting", "download", s.Queue["download"], "seed", s.Queue["seed"]),
		"down_rate", int64(s.Down), "up_rate", int64(s.Up), slog.Group("peers", "tcp", s.Peers["tcp"], "utp", s.Peers["utp"], "webseed", s.Peers["webseed"]))
	w.log.Info("state of payload memory", "used", s.Pool.Used, "peak", s.Pool.Peak, "limit", s.Pool.Limit, "wasted", s.Wasted, "bad", s.BadBytes)
	w.log.Info("state of the servers", "streams", s.Streams, "streamed", s.Streamed, "clients", s.Clients)
	for _, d := range s.Disks {
		w.log.Info("state of a disk", "mount", d.Mount, "free", d.Free, "floor", d.Floor)
	}
	for what, failing := range s.Failing {
		if failing {
			w.log.Warn("not well", "what", what)
		}
	}
}
