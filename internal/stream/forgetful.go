package stream

import (
	"shoal/internal/block"
	"shoal/internal/storage"
	"shoal/internal/storage/cache"
)

// Forgetful makes a store, for session.Config.Store, that holds at most so many bytes of content, in memory; see cache.Cache. Torrents in
// it must be Transient. So that a reader's window and what it read last have room, and those of a second reader, Options.Ahead should be at
// most AheadOf(limit).
func Forgetful(limit int64) func(*block.Pool) storage.Store {
	return func(*block.Pool) storage.Store { return cache.New(limit) }
}

// AheadOf returns how far ahead readers may fetch what is kept in so many bytes.
func AheadOf(limit int64) int64 { return limit / 4 }
