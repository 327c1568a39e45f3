package qbittorrent

import (
	"net/http"
	"strings"

	"shoal/internal/library"
)

// maxAdded is how many torrents one request adds.
const maxAdded = 1000

// add adds what the links and files name. As of 5.2 it is a conflict if nothing was added that was not here; the text is what older programs look for.
func (c *call) add() (any, error) {
	q, err := c.request()
	if err != nil {
		return nil, err
	}
	var requests []library.Request
	for _, link := range c.lines("urls", "\n") {
		r := q
		r.Link = link
		requests = append(requests, r)
	}
	for _, f := range c.files {
		r := q
		r.Torrent = f.Data
		requests = append(requests, r)
	}
	switch {
	case len(requests) == 0:
		return nil, bad("there is nothing to add: urls or torrents")
	case len(requests) > maxAdded:
		return nil, bad("at most %d at once", maxAdded)
	}
	added := 0
	for _, r := range requests {
		a, err := c.Library.Add(c.ctx, r)
		if err != nil {
			c.Logger.Warn("a torrent was not added", "link", r.Link, "error", err, "api", "qbittorrent")
		} else if !a.Existed {
			added++
		}
	}
	if added == 0 {
		return nil, refusal{http.StatusConflict, "Fails."}
	}
	return "Ok.", nil
}

// request returns what the parameters say of each torrent that is added.
func (c *call) request() (q library.Request, err error) {
	v := c.values
	q = library.Request{
		Dir: v.Get("savepath"), Category: v.Get("category"), Tags: c.tagNames(), Name: strings.TrimSpace(v.Get("rename")),
		Paused: c.yes("stopped") || c.yes("paused"), Forced: c.yes("forced"), Top: c.yes("addToTopOfQueue"),
		Sequential: c.yes("sequentialDownload"), SkipCheck: c.yes("skip_checking"),
	}
	if err := c.mayUse(q.Dir); err != nil {
		return q, err
	}
	for name, to := range map[string]*int64{"dlLimit": &q.DownLimit, "upLimit": &q.UpLimit} {
		if v.Get(name) != "" {
			n, err := c.number(name)
			if err != nil {
				return q, err
			}
			*to = max(n, 0)
		}
	}
	if text := v.Get("ratioLimit"); text != "" {
		if q.SeedRatio, err = ourRatio(text); err != nil {
			return q, err
		}
	}
	if text := v.Get("seedingTimeLimit"); text != "" {
		if q.SeedTime, err = ourSeconds(text); err != nil {
			return q, err
		}
	}
	return q, nil
}
