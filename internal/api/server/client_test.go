package server

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"shoal/internal/accounts"
	"shoal/internal/api"
	"shoal/internal/library"
	"shoal/internal/netx/local"
)

// The client and the server agree on every call.
func TestClient(t *testing.T) {
	s, f := fakeNode(t, 1500, nil)
	quick(s)
	path := filepath.Join(t.TempDir(), "api.sock")
	l, err := local.Socket(path).Listen(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	go s.ServeLocal(l)
	c := api.NewLocal(path)
	defer c.Close()
	ctx := t.Context()
	id := f.Order[0]
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	p, err := c.List(ctx, library.Query{})
	if err != nil || len(p.Torrents) != 1500 {
		t.Fatal(len(p.Torrents), err)
	}
	r, err := c.Add(ctx, api.AddRequest{Links: []string{"magnet:?xt=1"}, Torrents: [][]byte{[]byte("de")}})
	if check("add", err); len(r.Added) != 2 {
		t.Fatalf("%+v", r)
	}
	check("act", c.Act(ctx, library.Pause, id, r.Added[0].ID))
	name := "renamed"
	d, err := c.Change(ctx, id, library.Change{Name: &name})
	if check("change", err); d.Name != name || d.State != library.Paused {
		t.Fatalf("%+v", d)
	}
	files, err := c.Files(ctx, id)
	if check("files", err); len(files) != d.Files {
		t.Fatal(len(files))
	}
	check("change files", c.ChangeFiles(ctx, id, api.FileChange{Files: []int{0}, Priority: library.High}))
	check("add peers", c.AddPeers(ctx, id, "127.0.0.1:1"))
	_, err = c.Peers(ctx, id)
	check("peers", err)
	check("add trackers", c.AddTrackers(ctx, id, "http://a.example/x?y=z&b"))
	check("remove tracker", c.RemoveTracker(ctx, id, "http://a.example/x?y=z&b"))
	_, err = c.Trackers(ctx, id)
	check("trackers", err)
	pieces, err := c.Pieces(ctx, id)
	if check("pieces", err); len(pieces) != d.Pieces {
		t.Fatal(len(pieces))
	}
	_, err = c.TorrentFile(ctx, id)
	check("torrent", err)
	_, err = c.Stats(ctx)
	check("stats", err)
	_, err = c.History(ctx, "hour")
	check("history", err)
	check("put category", c.PutCategory(ctx, library.Category{Name: "a/b c?"}))
	check("remove category", c.RemoveCategory(ctx, "a/b c?"))
	_, err = c.Categories(ctx)
	check("categories", err)
	_, err = c.ChangeSettings(ctx, map[string]any{"down_limit": 5})
	check("change settings", err)
	_, err = c.Settings(ctx)
	check("settings", err)
	_, err = c.Doctor(ctx)
	check("doctor", err)
	_, err = c.Log(ctx, 0, "info")
	check("log", err)
	j, err := c.Share(ctx, library.ShareRequest{Path: "/x"})
	check("share", err)
	_, err = c.Job(ctx, j.ID)
	check("job", err)
	check("cancel", c.CancelJob(ctx, j.ID))
	check("add user", c.AddUser(ctx, api.UserRequest{Name: "ann", Password: password, Role: accounts.Admin}))
	check("add second", c.AddUser(ctx, api.UserRequest{Name: "bob", Password: password, Role: accounts.User}))
	_, err = c.Users(ctx)
	check("users", err)
	tok, err := c.AddToken(ctx, api.TokenRequest{Name: "x", User: "ann", Scopes: []accounts.Scope{accounts.Read}})
	if check("add token", err); tok.Secret == "" {
		t.Fatalf("%+v", tok)
	}
	var problem *api.Problem
	if _, err := c.AddToken(ctx, api.TokenRequest{Name: "x", Scopes: []accounts.Scope{accounts.Read}}); !errors.As(err, &problem) || problem.Status != 422 {
		t.Errorf("a token of nobody: %v", err)
	}
	check("remove token", c.RemoveToken(ctx, tok.ID))
	_, err = c.Tokens(ctx)
	check("tokens", err)
	check("remove user", c.RemoveUser(ctx, "bob"))
	me, err := c.Me(ctx)
	if check("me", err); len(me.Scopes) != 4 {
		t.Fatalf("%+v", me)
	}
	eventCtx, cancel := context.WithCancel(ctx)
	seen := map[string]bool{}
	err = c.Events(eventCtx, api.EventQuery{Query: library.Query{Limit: 10}, Torrent: id, Parts: []string{"files", "pieces"}}, func(e api.Event) error {
		f.Step()
		if seen[e.Name] = true; seen["list"] && seen["delta"] && seen["stats"] && seen["detail"] {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err, seen)
	}
}
