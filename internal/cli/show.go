package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"shoal/internal/bt/magnet"
	"shoal/internal/bt/metainfo"
)

// showJSON is what `shoal show --json` prints; names are stable.
type showJSON struct {
	Event       string     `json:"event"` // torrent or magnet
	Name        string     `json:"name,omitempty"`
	V1          string     `json:"infohash_v1,omitempty"`
	V2          string     `json:"infohash_v2,omitempty"`
	Total       int64      `json:"total,omitempty"`
	PieceLength int64      `json:"piece_length,omitempty"`
	Pieces      int        `json:"pieces,omitempty"`
	Private     bool       `json:"private,omitempty"`
	Source      string     `json:"source,omitempty"`
	Comment     string     `json:"comment,omitempty"`
	CreatedBy   string     `json:"created_by,omitempty"`
	Created     int64      `json:"created,omitempty"` // Unix seconds
	Trackers    [][]string `json:"trackers,omitempty"`
	WebSeeds    []string   `json:"webseeds,omitempty"`
	HTTPSeeds   []string   `json:"httpseeds,omitempty"`
	Nodes       []string   `json:"nodes,omitempty"`
	Peers       []string   `json:"peers,omitempty"`
	Files       []fileJSON `json:"files,omitempty"`
	Notices     []string   `json:"notices,omitempty"`
	Magnet      string     `json:"magnet"`
}

func (a *app) show() *cobra.Command {
	return &cobra.Command{
		Use:   "show LINK",
		Short: "Show what a .torrent or magnet link holds, without contacting anybody",
		Example: `  shoal show debian.torrent
  shoal show 'magnet:?xt=urn:btih:…' --json`,
		Args: one("a .torrent file or URL, or a magnet link"),
		RunE: func(c *cobra.Command, args []string) error { return a.runShow(c.Context(), args[0]) },
	}
}

func (a *app) runShow(ctx context.Context, text string) error {
	l, err := openLink(ctx, text, direct())
	if err != nil {
		return err
	}
	var s showJSON
	if l.Torrent != nil {
		s = showTorrent(l.Torrent)
	} else {
		s = showMagnet(l.Magnet)
	}
	if a.json {
		a.emit(s)
		return nil
	}
	a.print(&s)
	return nil
}

func showTorrent(t *metainfo.Torrent) showJSON {
	i := t.Info
	s := showJSON{
		Event: "torrent", Name: i.Name, V1: v1(i), V2: v2(i), Total: i.Layout.DataSize(), PieceLength: i.Layout.PieceLength, Pieces: i.Layout.Pieces(),
		Private: i.Private, Source: i.Source, Comment: t.Comment, CreatedBy: t.CreatedBy, Trackers: t.Announce, WebSeeds: t.WebSeeds,
		HTTPSeeds: t.HTTPSeeds, Nodes: t.Nodes, Notices: append(append([]string{}, t.Notices...), i.Notices...), Magnet: magnetOf(t, nil).String(),
	}
	if !t.Created.IsZero() {
		s.Created = t.Created.Unix()
	}
	for k := range i.Layout.Files {
		f := &i.Layout.Files[k]
		s.Files = append(s.Files, fileJSON{Index: k + 1, Path: f.Path, Size: f.Length, Symlink: f.Symlink})
	}
	return s
}

func showMagnet(m *magnet.Magnet) showJSON {
	s := showJSON{Event: "magnet", Name: m.Name, Trackers: tiers(m.Trackers), WebSeeds: m.WebSeeds, Peers: m.Peers, Magnet: m.String()}
	if m.Hash.HasV1() {
		s.V1 = m.Hash.V1.String()
	}
	if m.Hash.HasV2() {
		s.V2 = m.Hash.V2.String()
	}
	return s
}

// print shows it to a person.
func (a *app) print(s *showJSON) {
	row := func(label, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); text != "" {
			a.result("%-12s %s", label, printable(text))
		}
	}
	row("name", "%s", s.Name)
	row("infohash v1", "%s", s.V1)
	row("infohash v2", "%s", s.V2)
	if s.Event == "torrent" {
		row("size", "%s in %s", size(s.Total), files(len(s.Files)))
		row("pieces", "%d of %s", s.Pieces, size(s.PieceLength))
	}
	if s.Private {
		row("private", "yes: peers come from the trackers only")
	}
	row("source", "%s", s.Source)
	row("comment", "%s", s.Comment)
	row("created by", "%s", s.CreatedBy)
	if s.Created != 0 {
		row("created", "%s", time.Unix(s.Created, 0).UTC().Format(time.RFC3339))
	}
	for i, tier := range s.Trackers {
		row(fmt.Sprintf("tracker %d", i+1), "%s", strings.Join(tier, "  "))
	}
	for _, u := range append(append([]string{}, s.WebSeeds...), s.HTTPSeeds...) {
		row("web seed", "%s", u)
	}
	for _, n := range s.Nodes {
		row("DHT node", "%s", n)
	}
	for _, p := range s.Peers {
		row("peer", "%s", p)
	}
	for _, n := range s.Notices {
		row("notice", "%s", n)
	}
	row("magnet", "%s", s.Magnet)
	for _, f := range s.Files {
		link := ""
		if f.Symlink != "" {
			link = " → " + f.Symlink
		}
		a.result("%5d  %10s  %s", f.Index, size(f.Size), printable(f.Path+link))
	}
}
