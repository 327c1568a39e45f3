package node

import (
	"context"

	"shoal/internal/history"
	"shoal/internal/library"
	"shoal/internal/sharing"
)

// shelf is the library, with what is shared and what was, as the API needs it: server.Library.
type shelf struct {
	*library.Library
	*sharing.Sharing
	history *history.History
}

func (s shelf) Act(ctx context.Context, a library.Action, ids []string) error {
	if ids == nil {
		ids = []string{"all"}
	}
	return s.Do(ctx, a, ids)
}

func (s shelf) Change(_ context.Context, id string, c library.Change) error { return s.Set(id, c) }

func (s shelf) SetPriority(_ context.Context, id string, files []int, p library.Priority) error {
	return s.SetFiles(id, files, p)
}

func (s shelf) RenameFile(_ context.Context, id string, file int, path string) error {
	return s.Library.RenameFile(id, file, path)
}

func (s shelf) AddPeers(_ context.Context, id string, peers []string) error {
	return s.Library.AddPeers(id, peers)
}

func (s shelf) AddTrackers(_ context.Context, id string, urls []string) error {
	return s.Library.AddTrackers(id, urls)
}

func (s shelf) RemoveTracker(_ context.Context, id, url string) error {
	return s.Library.RemoveTracker(id, url)
}

func (s shelf) Torrent(id string) ([]byte, error) { return s.Metainfo(id) }

func (s shelf) History(span string) (library.History, error) { return s.history.Of(span) }

func (s shelf) Categories() ([]library.Category, error) { return s.Library.Categories(), nil }

func (s shelf) PutCategory(_ context.Context, c library.Category) error {
	return s.Library.PutCategory(c)
}

func (s shelf) RemoveCategory(_ context.Context, name string) error { return s.DeleteCategory(name) }

func (s shelf) Tags() ([]string, error) { return s.Library.Tags(), nil }

func (s shelf) PutTag(_ context.Context, name string) error { return s.Library.PutTag(name) }

func (s shelf) RemoveTag(_ context.Context, name string) error { return s.DeleteTag(name) }

func (s shelf) SeedRules() ([]library.SeedRule, error) { return s.Library.SeedRules(), nil }

func (s shelf) SetSeedRules(_ context.Context, rules []library.SeedRule) error {
	return s.Library.SetSeedRules(rules)
}

func (s shelf) Share(_ context.Context, q library.ShareRequest) (library.Job, error) {
	return s.Sharing.Share(q)
}
