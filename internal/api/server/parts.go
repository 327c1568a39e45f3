package server

import (
	"context"
	"net/url"
	"path"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"shoal/internal/accounts"
	"shoal/internal/api"
	"shoal/internal/library"
)

// bytesOut is an answer that is not JSON.
type bytesOut struct {
	ContentType string `header:"Content-Type"`
	Disposition string `header:"Content-Disposition"`
	Body        []byte
}

func (s *Server) partRoutes() {
	s.fileRoutes()
	const tag = "Torrents"
	handle(s, route{method: "GET", path: "/torrents/{id}/peers", id: "listPeers", tag: tag, summary: "Connections", need: accounts.Read},
		func(_ context.Context, in *TorrentInput) (*body[[]library.Peer], error) {
			p, err := s.Library.Peers(in.ID)
			return answer(notNil(p)), err
		})
	handle(s, route{method: "POST", path: "/torrents/{id}/peers", id: "addPeers", tag: tag, summary: "Connect to peers", need: accounts.Control},
		func(ctx context.Context, in *struct {
			TorrentInput
			Body api.PeerRequest
		}) (*none, error) {
			return nil, s.Library.AddPeers(ctx, in.ID, in.Body.Peers)
		})
	handle(s, route{method: "GET", path: "/torrents/{id}/trackers", id: "listTrackers", tag: tag, summary: "Where peers are looked for", need: accounts.Read},
		func(_ context.Context, in *TorrentInput) (*body[[]library.Tracker], error) {
			t, err := s.Library.Trackers(in.ID)
			return answer(notNil(t)), err
		})
	handle(s, route{method: "POST", path: "/torrents/{id}/trackers", id: "addTrackers", tag: tag, summary: "Add trackers", need: accounts.Control},
		func(ctx context.Context, in *struct {
			TorrentInput
			Body api.TrackerRequest
		}) (*none, error) {
			return nil, s.Library.AddTrackers(ctx, in.ID, in.Body.URLs)
		})
	handle(s, route{method: "DELETE", path: "/torrents/{id}/trackers", id: "removeTracker", tag: tag, summary: "Remove a tracker", need: accounts.Control},
		func(ctx context.Context, in *struct {
			TorrentInput
			URL string `query:"url" required:"true" maxLength:"2000"`
		}) (*none, error) {
			return nil, s.Library.RemoveTracker(ctx, in.ID, in.URL)
		})
	binary(handle(s, route{method: "GET", path: "/torrents/{id}/pieces", id: "getPieces", tag: tag, need: accounts.Read,
		summary: "A byte for each piece: 0 missing, 1 under way, 2 there; bit 7: not wanted"},
		func(_ context.Context, in *TorrentInput) (*bytesOut, error) {
			p, err := s.Library.Pieces(in.ID)
			return &bytesOut{ContentType: "application/octet-stream", Body: p}, err
		}), "application/octet-stream")
	binary(handle(s, route{method: "GET", path: "/torrents/{id}/torrent", id: "getTorrentFile", tag: tag, summary: "The .torrent file", need: accounts.Read},
		func(_ context.Context, in *TorrentInput) (*bytesOut, error) {
			t, err := s.Library.Torrent(in.ID)
			if err != nil {
				return nil, err
			}
			d, err := s.Library.Get(in.ID)
			return &bytesOut{ContentType: "application/x-bittorrent", Disposition: attachment(d.Name + ".torrent"), Body: t}, err
		}), "application/x-bittorrent")
}

// binary says in the specification that an answer is bytes of a type.
func binary(op *huma.Operation, contentType string) {
	op.Responses["200"].Content = map[string]*huma.MediaType{contentType: {Schema: &huma.Schema{Type: "string", Format: "binary"}}}
}

// attachment names a download (RFC 6266).
func attachment(name string) string {
	return "attachment; filename*=UTF-8''" + strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
}

// notNil returns a list that is [] in JSON when it is empty.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (s *Server) fileRoutes() {
	const tag = "Torrents"
	handle(s, route{method: "GET", path: "/torrents/{id}/files", id: "listFiles", tag: tag, summary: "Files, by parts", need: accounts.Read},
		func(ctx context.Context, in *struct {
			TorrentInput
			Offset int `query:"offset" minimum:"0"`
			Limit  int `query:"limit" default:"5000" minimum:"1" maximum:"20000"`
		}) (*body[api.FilePage], error) {
			p, err := s.files(ctx, in.ID, in.Offset, in.Limit)
			return answer(p), err
		})
	handle(s, route{method: "PATCH", path: "/torrents/{id}/files", id: "changeFiles", tag: tag, summary: "Give files a priority, or one a path", need: accounts.Control},
		func(ctx context.Context, in *struct {
			TorrentInput
			Body api.FileChange
		}) (*none, error) {
			b := in.Body
			switch {
			case b.Index != nil && b.Path != "" && b.Priority == "":
				return nil, s.Library.RenameFile(ctx, in.ID, *b.Index, b.Path)
			case b.Index == nil && b.Path == "" && b.Priority != "" && len(b.Files) > 0:
				return nil, s.Library.SetPriority(ctx, in.ID, b.Files, b.Priority)
			}
			return nil, huma.Error422UnprocessableEntity("give files and a priority, or an index and a path")
		})
}

// files returns a run of the files of a torrent, each with how to play it.
func (s *Server) files(ctx context.Context, id string, offset, limit int) (api.FilePage, error) {
	list, err := s.Library.Files(id)
	if err != nil {
		return api.FilePage{}, err
	}
	p := api.FilePage{Total: len(list), Files: []api.TorrentFile{}}
	list = list[min(offset, len(list)):]
	base := originOf(ctx).base
	for _, f := range list[:min(limit, len(list))] {
		row := api.TorrentFile{File: f, Media: media(f.Path)}
		if s.StreamURL != nil {
			if u := s.StreamURL(id, f.Index, f.Path); u != "" {
				row.StreamURL = base + u
			}
		}
		p.Files = append(p.Files, row)
	}
	return p, nil
}

// kinds are the media that players and browsers know, by the end of the name.
var kinds = map[string]string{
	"mp4 m4v mkv webm avi mov mpg mpeg ts m2ts wmv flv ogv 3gp vob":   "video",
	"mp3 m4a m4b flac ogg oga opus wav aac wma aiff ape alac mka ac3": "audio",
	"jpg jpeg png gif webp avif bmp svg tif tiff":                     "image",
	"srt vtt ass ssa sub idx sup":                                     "subtitle",
}

var mediaByEnd = func() map[string]string {
	m := map[string]string{}
	for ends, kind := range kinds {
		for e := range strings.FieldsSeq(ends) {
			m["."+e] = kind
		}
	}
	return m
}()

func media(name string) string { return mediaByEnd[strings.ToLower(path.Ext(name))] }
