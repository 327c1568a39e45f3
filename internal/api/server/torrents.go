package server

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"shoal/internal/accounts"
	"shoal/internal/api"
	"shoal/internal/form"
	"shoal/internal/library"
)

// ListQuery chooses rows, for the list and for its events.
type ListQuery struct {
	Text     string   `query:"q" maxLength:"500" doc:"words that all occur in the name"`
	State    []string `query:"state" maxItems:"20" doc:"any of these states, or active, complete, incomplete; separated by commas"`
	Category string   `query:"category" maxLength:"200" doc:"given but empty: without category"`
	Tag      string   `query:"tag" maxLength:"200" doc:"given but empty: without tags"`
	Tracker  string   `query:"tracker" maxLength:"300" doc:"host; given but empty: without trackers"`
	Sort     string   `query:"sort" enum:"id,infohash_v1,infohash_v2,name,state,reason,size,total_size,done,progress,complete,down_rate,up_rate,downloaded,uploaded,ratio,eta,peers,seeds,known_peers,category,tags,tracker,added,completed,last_active,active_time,seeding_time,queue,forced,sequential,private,down_limit,up_limit,seed_ratio,seed_time,dir,path,files,pieces,piece_length,availability," doc:"a field of Torrent; none: added, the newest first"`
	Desc     bool     `query:"desc" doc:"the other way round"`
	Offset   int      `query:"offset" minimum:"0" maximum:"10000000"`

	category, tag, tracker *string
}

// Resolve tells what was given and empty from what was not given.
func (q *ListQuery) Resolve(ctx huma.Context) []error {
	u := ctx.URL()
	values := u.Query()
	for _, x := range []struct {
		name  string
		value *string
		to    **string
	}{{"category", &q.Category, &q.category}, {"tag", &q.Tag, &q.tag}, {"tracker", &q.Tracker, &q.tracker}} {
		if values.Has(x.name) {
			*x.to = x.value
		}
	}
	return nil
}

func (q *ListQuery) query(limit int) library.Query {
	l := library.Query{Text: q.Text, Category: q.category, Tag: q.tag, Tracker: q.tracker, Sort: q.Sort, Desc: q.Desc, Offset: q.Offset, Limit: limit}
	for _, s := range q.State {
		if s != "" {
			l.State = append(l.State, library.State(s))
		}
	}
	return l
}

type listInput struct {
	ListQuery
	Limit int `query:"limit" default:"100" minimum:"1" maximum:"5000" doc:"rows at most"`
}

// TorrentInput names a torrent.
type TorrentInput struct {
	ID string `path:"id" pattern:"^[0-9A-Fa-f]{40}([0-9A-Fa-f]{24})?$" doc:"its id, or any of its infohashes"`
}

func (s *Server) torrentRoutes() {
	const tag = "Torrents"
	handle(s, route{method: "GET", path: "/torrents", id: "listTorrents", tag: tag, summary: "The list, by parts", need: accounts.Read},
		func(_ context.Context, in *listInput) (*body[library.Page], error) {
			p, err := s.List(in.query(in.Limit))
			return answer(p), err
		})
	op := handle(s, route{method: "POST", path: "/torrents", id: "addTorrents", tag: tag, need: accounts.Add, limit: maxUpload,
		summary: "Add by links and files", status: http.StatusCreated},
		func(ctx context.Context, in *struct{ Body api.AddRequest }) (*body[api.AddResult], error) {
			r, err := s.add(ctx, in.Body, nil)
			return answer(r), err
		})
	op.RequestBody.Content["multipart/form-data"] = multipartSchema()
	handle(s, route{method: "POST", path: "/torrents/actions", id: "actOnTorrents", tag: tag, summary: "Do something to many", need: accounts.Control, limit: 8 << 20},
		func(ctx context.Context, in *struct{ Body api.ActionRequest }) (*none, error) {
			ids := in.Body.IDs
			if len(ids) == 1 && ids[0] == "all" {
				ids = nil
			}
			return nil, s.Library.Act(ctx, in.Body.Action, ids)
		})
	handle(s, route{method: "GET", path: "/torrents/{id}", id: "getTorrent", tag: tag, summary: "All about one", need: accounts.Read},
		func(_ context.Context, in *TorrentInput) (*body[library.Detail], error) {
			d, err := s.Library.Get(in.ID)
			return answer(d), err
		})
	handle(s, route{method: "PATCH", path: "/torrents/{id}", id: "changeTorrent", tag: tag, summary: "Change what is given", need: accounts.Control},
		func(ctx context.Context, in *struct {
			TorrentInput
			Body library.Change
		}) (*body[library.Detail], error) {
			if in.Body.Dir != nil {
				if err := s.MayUse(ctx, *in.Body.Dir); err != nil {
					return nil, err
				}
			}
			if err := s.Library.Change(ctx, in.ID, in.Body); err != nil {
				return nil, err
			}
			d, err := s.Library.Get(in.ID)
			return answer(d), err
		})
	handle(s, route{method: "DELETE", path: "/torrents/{id}", id: "removeTorrent", tag: tag, summary: "Remove", need: accounts.Control},
		func(ctx context.Context, in *struct {
			TorrentInput
			Data bool `query:"data" doc:"with its files"`
		}) (*none, error) {
			action := library.Remove
			if in.Data {
				action = library.RemoveData
			}
			return nil, s.Library.Act(ctx, action, []string{in.ID})
		})
}

// List is the library's, with the numbers of rows rounded to what people can see, so that events tell of fewer changes.
func (s *Server) List(q library.Query) (library.Page, error) {
	p, err := s.Library.List(q)
	if err != nil {
		return p, err
	}
	rows := make([]library.Torrent, len(p.Torrents))
	for i, t := range p.Torrents {
		rows[i] = rounded(t)
	}
	p.Torrents = rows
	return p, nil
}

// add adds what a request names. It fails as a whole only if nothing was added and there was one thing to add.
func (s *Server) add(ctx context.Context, r api.AddRequest, names []string) (api.AddResult, error) {
	result := api.AddResult{Added: []library.Added{}, Failed: []api.AddFailure{}}
	if len(r.Links)+len(r.Torrents) == 0 {
		return result, huma.Error422UnprocessableEntity("there is nothing to add: give links or torrents")
	}
	if r.Dir != "" {
		if err := s.MayUse(ctx, r.Dir); err != nil {
			return result, err
		}
	}
	one := func(called string, q library.Request) error {
		a, err := s.Library.Add(ctx, q)
		if err != nil {
			result.Failed = append(result.Failed, api.AddFailure{Link: called, Message: err.Error()})
			return err
		}
		result.Added = append(result.Added, a)
		return nil
	}
	var err error
	for _, link := range r.Links {
		if link = strings.TrimSpace(link); link != "" {
			err = one(link, request(r, link, nil))
		}
	}
	for i, t := range r.Torrents {
		called := fmt.Sprintf("torrent %d", i+1)
		if i < len(names) {
			called = names[i]
		}
		err = one(called, request(r, "", t))
	}
	if len(result.Added) == 0 && len(result.Failed) == 1 {
		return result, err
	}
	return result, nil
}

func request(r api.AddRequest, link string, torrent []byte) library.Request {
	return library.Request{
		Link: link, Torrent: torrent, Dir: r.Dir, Category: r.Category, Tags: r.Tags, Name: r.Name, Paused: r.Paused, Forced: r.Forced, Top: r.Top,
		Sequential: r.Sequential, SkipCheck: r.SkipCheck, Select: r.Select, Trackers: r.Trackers, Peers: r.Peers,
		DownLimit: r.DownLimit, UpLimit: r.UpLimit, SeedRatio: r.SeedRatio, SeedTime: r.SeedTime,
	}
}

// multipartSchema describes the form that POST /torrents takes beside JSON.
func multipartSchema() *huma.MediaType {
	text := func(doc string) *huma.Schema { return &huma.Schema{Type: "string", Description: doc} }
	yes := func() *huma.Schema { return &huma.Schema{Type: "boolean"} }
	return &huma.MediaType{Schema: &huma.Schema{Type: "object", Properties: map[string]*huma.Schema{
		"file":       {Type: "array", Items: &huma.Schema{Type: "string", Format: "binary"}, Description: ".torrent files"},
		"link":       {Type: "array", Items: text("link"), Description: "each a magnet link, an infohash or a URL"},
		"dir":        text("as in JSON"),
		"category":   text("as in JSON"),
		"tag":        {Type: "array", Items: text("tag")},
		"paused":     yes(),
		"sequential": yes(),
		"skip_check": yes(),
	}}}
}

// multipartAdd takes the form of POST /torrents, and leaves all else to next.
func (s *Server) multipartAdd(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind := r.Header.Get("Content-Type")
		if r.Method != http.MethodPost || r.URL.Path != "/torrents" || !strings.HasPrefix(kind, "multipart/") {
			next.ServeHTTP(w, r)
			return
		}
		if who := accounts.FromContext(r.Context()); !who.May(accounts.Add) {
			status := http.StatusForbidden
			if len(who.Scopes) == 0 {
				status = http.StatusUnauthorized
			}
			problem(w, status, "this needs the scope add")
			return
		}
		f, err := form.Read(kind, r.Body)
		if err != nil {
			problem(w, http.StatusUnprocessableEntity, err.Error())
			return
		}
		yes := func(name string) bool { return slices.Contains([]string{"true", "1", "on"}, f.Values.Get(name)) }
		q := api.AddRequest{Links: f.Values["link"], Dir: f.Values.Get("dir"), Category: f.Values.Get("category"), Tags: f.Values["tag"],
			Paused: yes("paused"), Sequential: yes("sequential"), SkipCheck: yes("skip_check")}
		var names []string
		for _, x := range f.Files {
			q.Torrents = append(q.Torrents, x.Data)
			names = append(names, x.Name)
		}
		result, err := s.add(r.Context(), q, names)
		s.streams.kick()
		writeJSON(w, http.StatusCreated, result, s.status(err))
	})
}
