package server

import (
	"context"
	"encoding/json"
	"path/filepath"

	"github.com/danielgtaylor/huma/v2"

	"shoal/internal/accounts"
	"shoal/internal/api"
	"shoal/internal/library"
	"shoal/internal/logring"
)

// nodeRoutes are for the node as a whole.
func (s *Server) nodeRoutes() {
	const tag = "Node"
	handle(s, route{method: "GET", path: "/stats", id: "getStats", tag: tag, summary: "Rates, totals, ports, disks", need: accounts.Read},
		func(context.Context, *none) (*body[library.Totals], error) { return answer(s.totals()), nil })
	handle(s, route{method: "GET", path: "/stats/history", id: "getHistory", tag: tag, summary: "Columns for charts", need: accounts.Read},
		func(_ context.Context, in *struct {
			Span string `query:"span" enum:"hour,day,month" default:"hour"`
		}) (*body[library.History], error) {
			h, err := s.Library.History(in.Span)
			return answer(h), err
		})
	handle(s, route{method: "GET", path: "/log", id: "getLog", tag: tag, summary: "The newest lines of the log", need: accounts.Manage},
		func(_ context.Context, in *struct {
			After uint64 `query:"after" doc:"id of a line: only later ones"`
			Level string `query:"level" enum:"debug,info,warn,error" default:"info"`
			Limit int    `query:"limit" default:"500" minimum:"1" maximum:"5000"`
		}) (*body[[]logring.Line], error) {
			return answer(s.Log.Lines(in.After, logring.ParseLevel(in.Level), in.Limit)), nil
		})
	if s.Doctor != nil {
		handle(s, route{method: "GET", path: "/doctor", id: "getDoctor", tag: tag, summary: "Checks of the machine and the network; takes seconds", need: accounts.Manage},
			func(ctx context.Context, _ *none) (*body[[]api.Check], error) {
				return answer(notNil(s.Doctor(ctx))), nil
			})
	}
	s.settingRoutes()
	s.documentRoutes()
	s.shareRoutes()
}

func (s *Server) totals() library.Totals {
	t := s.Library.Totals()
	t.Disks, t.Notices = notNil(t.Disks), notNil(t.Notices)
	return t
}

func (s *Server) settingRoutes() {
	if s.Settings == nil {
		return
	}
	const tag = "Node"
	handle(s, route{method: "GET", path: "/settings", id: "listSettings", tag: tag, summary: "Every setting", need: accounts.Manage},
		func(context.Context, *none) (*body[[]api.Setting], error) {
			return answer(notNil(s.Settings.List())), nil
		})
	handle(s, route{method: "PATCH", path: "/settings", id: "changeSettings", tag: tag, summary: "Change what is given; all of it or nothing", need: accounts.Manage},
		func(_ context.Context, in *struct{ Body map[string]any }) (*body[[]api.Setting], error) {
			if err := s.Settings.Save(in.Body); err != nil {
				return nil, huma.Error422UnprocessableEntity(err.Error())
			}
			return answer(notNil(s.Settings.List())), nil
		})
}

// documentKinds are the kinds of documents, and what each is.
var documentKinds = []struct{ kind, singular, text string }{
	{"watch", "Watch", "folders whose new .torrent files are added"},
	{"feeds", "Feed", "RSS feeds and the rules for what is taken from them"},
	{"schedules", "Schedule", "what is set at which times"},
	{"hooks", "Hook", "programs that are run when something happens"},
}

type DocumentInput struct {
	ID string `path:"id" pattern:"^[A-Za-z0-9._-]{1,64}$" doc:"chosen by who makes it"`
}

// documentRoutes read and write what automates the node: only for admins, since it runs programs and holds the URLs of private feeds.
func (s *Server) documentRoutes() {
	if s.Documents == nil {
		return
	}
	const tag = "Automation"
	for _, k := range documentKinds {
		handle(s, route{method: "GET", path: "/" + k.kind, id: "list" + k.singular, tag: tag, summary: "All " + k.text, need: accounts.Manage},
			func(context.Context, *none) (*body[[]json.RawMessage], error) {
				d, err := s.Documents.List(k.kind)
				return answer(notNil(d)), err
			})
		handle(s, route{method: "PUT", path: "/" + k.kind + "/{id}", id: "put" + k.singular, tag: tag, summary: "Make or change", need: accounts.Manage},
			func(ctx context.Context, in *struct {
				DocumentInput
				Body json.RawMessage
			}) (*none, error) {
				return nil, s.Documents.Put(ctx, k.kind, in.ID, in.Body)
			})
		handle(s, route{method: "DELETE", path: "/" + k.kind + "/{id}", id: "remove" + k.singular, tag: tag, summary: "Remove", need: accounts.Manage},
			func(ctx context.Context, in *DocumentInput) (*none, error) {
				return nil, s.Documents.Delete(ctx, k.kind, in.ID)
			})
	}
}

type JobInput struct {
	ID string `path:"id" maxLength:"64"`
}

// shareRoutes are for sharing what lies on the node's machine, and for choosing it.
func (s *Server) shareRoutes() {
	const tag = "Sharing"
	handle(s, route{method: "POST", path: "/shares", id: "share", tag: tag, summary: "Hash a file or folder and seed it where it lies", need: accounts.Add, status: 202},
		func(ctx context.Context, in *struct{ Body library.ShareRequest }) (*body[library.Job], error) {
			if err := s.MayUse(ctx, in.Body.Path); err != nil {
				return nil, err
			}
			j, err := s.Library.Share(ctx, in.Body)
			return answer(j), err
		})
	handle(s, route{method: "GET", path: "/jobs", id: "listJobs", tag: tag, summary: "Work that takes long", need: accounts.Read},
		func(context.Context, *none) (*body[[]library.Job], error) {
			return answer(notNil(s.Library.Jobs())), nil
		})
	handle(s, route{method: "GET", path: "/jobs/{id}", id: "getJob", tag: tag, summary: "One of them", need: accounts.Read},
		func(_ context.Context, in *JobInput) (*body[library.Job], error) {
			j, err := s.Library.Job(in.ID)
			return answer(j), err
		})
	binary(handle(s, route{method: "GET", path: "/jobs/{id}/torrent", id: "getJobTorrent", tag: tag, summary: "The .torrent file that it has made", need: accounts.Read},
		func(_ context.Context, in *JobInput) (*bytesOut, error) {
			t, err := s.Library.JobTorrent(in.ID)
			if err != nil {
				return nil, err
			}
			j, err := s.Library.Job(in.ID)
			return &bytesOut{ContentType: "application/x-bittorrent", Disposition: attachment(filepath.Base(j.Path) + ".torrent"), Body: t}, err
		}), "application/x-bittorrent")
	handle(s, route{method: "DELETE", path: "/jobs/{id}", id: "cancelJob", tag: tag, summary: "Stop it", need: accounts.Add},
		func(_ context.Context, in *JobInput) (*none, error) { return nil, s.Library.CancelJob(in.ID) })
	handle(s, route{method: "GET", path: "/fs", id: "listFolder", tag: tag, summary: "A folder of the node's machine, below the roots of the settings", need: accounts.Manage},
		func(_ context.Context, in *struct {
			Path string `query:"path" maxLength:"4096" doc:"absolute; empty: the roots"`
		}) (*body[api.Folder], error) {
			f, err := s.folder(in.Path)
			return answer(f), err
		})
}
