package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"shoal/internal/accounts"
	"shoal/internal/library"
	"shoal/internal/logring"
)

// queryOf returns the parameters that choose rows.
func queryOf(q library.Query) url.Values {
	v := url.Values{}
	put := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	put("q", q.Text)
	var states []string
	for _, s := range q.State {
		states = append(states, string(s))
	}
	put("state", strings.Join(states, ","))
	for name, value := range map[string]*string{"category": q.Category, "tag": q.Tag, "tracker": q.Tracker} {
		if value != nil {
			v.Set(name, *value)
		}
	}
	put("sort", q.Sort)
	if q.Desc {
		v.Set("desc", "true")
	}
	if q.Offset > 0 {
		v.Set("offset", number(q.Offset))
	}
	if q.Limit > 0 {
		v.Set("limit", number(q.Limit))
	}
	return v
}

// pageRows is how many rows are asked for at once.
const pageRows = 1000

// List returns the rows of a query; without a limit all of them, asked for by parts.
func (c *Client) List(ctx context.Context, q library.Query) (library.Page, error) {
	if q.Limit > 0 {
		return get[library.Page](ctx, c, "/torrents", queryOf(q))
	}
	var all library.Page
	seen := map[string]bool{}
	for {
		q.Limit = pageRows
		p, err := get[library.Page](ctx, c, "/torrents", queryOf(q))
		if err != nil {
			return p, err
		}
		rows := all.Torrents
		for _, t := range p.Torrents { // one that moves while we read may come twice
			if !seen[t.ID] {
				seen[t.ID] = true
				rows = append(rows, t)
			}
		}
		all = p
		all.Torrents = rows
		q.Offset += len(p.Torrents)
		if len(p.Torrents) == 0 || q.Offset >= p.Total {
			return all, nil
		}
	}
}

// Add adds torrents.
func (c *Client) Add(ctx context.Context, r AddRequest) (out AddResult, err error) {
	err = c.call(ctx, http.MethodPost, "/torrents", nil, r, &out)
	return out, err
}

// Act does something to torrents; to all for the one id "all".
func (c *Client) Act(ctx context.Context, a library.Action, ids ...string) error {
	return c.call(ctx, http.MethodPost, "/torrents/actions", nil, ActionRequest{a, ids}, nil)
}

// Get returns all about a torrent.
func (c *Client) Get(ctx context.Context, id string) (library.Detail, error) {
	return get[library.Detail](ctx, c, "/torrents"+segment(id), nil)
}

// Change changes a torrent.
func (c *Client) Change(ctx context.Context, id string, ch library.Change) (d library.Detail, err error) {
	err = c.call(ctx, http.MethodPatch, "/torrents"+segment(id), nil, ch, &d)
	return d, err
}

// Files returns all files of a torrent.
func (c *Client) Files(ctx context.Context, id string) (files []TorrentFile, err error) {
	for {
		p, err := get[FilePage](ctx, c, "/torrents"+segment(id)+"/files", url.Values{"offset": {number(len(files))}, "limit": {"20000"}})
		if err != nil {
			return nil, err
		}
		if files = append(files, p.Files...); len(p.Files) == 0 || len(files) >= p.Total {
			return files, nil
		}
	}
}

// ChangeFiles changes files of a torrent.
func (c *Client) ChangeFiles(ctx context.Context, id string, ch FileChange) error {
	return c.call(ctx, http.MethodPatch, "/torrents"+segment(id)+"/files", nil, ch, nil)
}

// Peers returns the connections of a torrent.
func (c *Client) Peers(ctx context.Context, id string) ([]library.Peer, error) {
	return get[[]library.Peer](ctx, c, "/torrents"+segment(id)+"/peers", nil)
}

// AddPeers has a torrent connect to peers.
func (c *Client) AddPeers(ctx context.Context, id string, peers ...string) error {
	return c.call(ctx, http.MethodPost, "/torrents"+segment(id)+"/peers", nil, PeerRequest{peers}, nil)
}

// Trackers returns where a torrent's peers are looked for.
func (c *Client) Trackers(ctx context.Context, id string) ([]library.Tracker, error) {
	return get[[]library.Tracker](ctx, c, "/torrents"+segment(id)+"/trackers", nil)
}

// AddTrackers adds trackers to a torrent.
func (c *Client) AddTrackers(ctx context.Context, id string, urls ...string) error {
	return c.call(ctx, http.MethodPost, "/torrents"+segment(id)+"/trackers", nil, TrackerRequest{urls}, nil)
}

// RemoveTracker takes a tracker from a torrent.
func (c *Client) RemoveTracker(ctx context.Context, id, tracker string) error {
	return c.call(ctx, http.MethodDelete, "/torrents"+segment(id)+"/trackers", url.Values{"url": {tracker}}, nil, nil)
}

// Pieces returns a byte for each piece of a torrent.
func (c *Client) Pieces(ctx context.Context, id string) ([]byte, error) {
	return get[[]byte](ctx, c, "/torrents"+segment(id)+"/pieces", nil)
}

// TorrentFile returns the .torrent file of a torrent.
func (c *Client) TorrentFile(ctx context.Context, id string) ([]byte, error) {
	return get[[]byte](ctx, c, "/torrents"+segment(id)+"/torrent", nil)
}

// Stats returns the node's totals.
func (c *Client) Stats(ctx context.Context) (library.Totals, error) {
	return get[library.Totals](ctx, c, "/stats", nil)
}

// History returns columns for charts of an hour, a day or a month.
func (c *Client) History(ctx context.Context, span string) (library.History, error) {
	return get[library.History](ctx, c, "/stats/history", url.Values{"span": {span}})
}

// Categories returns the categories.
func (c *Client) Categories(ctx context.Context) ([]library.Category, error) {
	return get[[]library.Category](ctx, c, "/categories", nil)
}

// PutCategory makes or changes a category.
func (c *Client) PutCategory(ctx context.Context, x library.Category) error {
	return c.call(ctx, http.MethodPut, "/categories"+segment(x.Name), nil, x, nil)
}

// RemoveCategory removes a category.
func (c *Client) RemoveCategory(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, "/categories"+segment(name), nil, nil, nil)
}

// Settings returns every setting.
func (c *Client) Settings(ctx context.Context) ([]Setting, error) {
	return get[[]Setting](ctx, c, "/settings", nil)
}

// ChangeSettings changes settings and returns all.
func (c *Client) ChangeSettings(ctx context.Context, values map[string]any) (s []Setting, err error) {
	err = c.call(ctx, http.MethodPatch, "/settings", nil, values, &s)
	return s, err
}

// Doctor runs the checks.
func (c *Client) Doctor(ctx context.Context) ([]Check, error) {
	return get[[]Check](ctx, c, "/doctor", nil)
}

// Log returns lines of the node's log after the one of an id.
func (c *Client) Log(ctx context.Context, after uint64, level string) ([]logring.Line, error) {
	b, _ := json.Marshal(after)
	return get[[]logring.Line](ctx, c, "/log", url.Values{"after": {string(b)}, "level": {level}})
}

// Share has the node hash what lies on its machine and seed it.
func (c *Client) Share(ctx context.Context, r library.ShareRequest) (j library.Job, err error) {
	err = c.call(ctx, http.MethodPost, "/shares", nil, r, &j)
	return j, err
}

// Job returns how far a job is.
func (c *Client) Job(ctx context.Context, id string) (library.Job, error) {
	return get[library.Job](ctx, c, "/jobs"+segment(id), nil)
}

// CancelJob stops a job.
func (c *Client) CancelJob(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, "/jobs"+segment(id), nil, nil, nil)
}

// Me tells who the node takes us for.
func (c *Client) Me(ctx context.Context) (Me, error) { return get[Me](ctx, c, "/me", nil) }

// Users returns the users.
func (c *Client) Users(ctx context.Context) ([]accounts.Account, error) {
	return get[[]accounts.Account](ctx, c, "/users", nil)
}

// AddUser makes a user.
func (c *Client) AddUser(ctx context.Context, r UserRequest) error {
	return c.call(ctx, http.MethodPost, "/users", nil, r, nil)
}

// RemoveUser removes a user.
func (c *Client) RemoveUser(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, "/users"+segment(name), nil, nil, nil)
}

// Tokens returns the tokens.
func (c *Client) Tokens(ctx context.Context) ([]accounts.Token, error) {
	return get[[]accounts.Token](ctx, c, "/tokens", nil)
}

// AddToken makes a token.
func (c *Client) AddToken(ctx context.Context, r TokenRequest) (t NewToken, err error) {
	err = c.call(ctx, http.MethodPost, "/tokens", nil, r, &t)
	return t, err
}

// RemoveToken ends a token.
func (c *Client) RemoveToken(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, "/tokens"+segment(id), nil, nil, nil)
}
