package tracker

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"shoal/internal/ident"
)

// Scrape asks one tracker, by its announce URL, how many peers the swarms with the given names have (BEP 48, BEP 15).
// Swarms that the tracker does not know are missing from the result. It may be called at any time.
func (c *Client) Scrape(ctx context.Context, tracker string, names ...ident.V1) (map[ident.V1]Counts, error) {
	p := newPlace(tracker, 0)
	if p.dead {
		return nil, errors.New(p.status.Message)
	}
	targets, err := c.targets(ctx, p.url())
	if err != nil {
		return nil, fmt.Errorf("scrape: %s", describe(err))
	}
	counts := make(map[ident.V1]Counts, len(names))
	for batch := range slices.Chunk(names, maxScrape) {
		if err := c.scrape(ctx, p.url(), targets, batch, counts); err != nil {
			return nil, fmt.Errorf("scrape: %s", describe(err))
		}
	}
	return counts, nil
}

// scrape fills counts with the answer to one request, over the first family that gives one.
func (c *Client) scrape(ctx context.Context, u *url.URL, targets []target, names []ident.V1, counts map[ident.V1]Counts) (err error) {
	for _, t := range targets {
		var got map[ident.V1]Counts
		if u.Scheme == "udp" {
			got, err = c.scrapeUDP(ctx, u, t, names)
		} else {
			got, err = c.scrapeHTTP(ctx, u, t, names)
		}
		if err != nil {
			continue
		}
		for _, name := range names { // and nothing that was not asked for
			if c, ok := got[name]; ok {
				counts[name] = c
			}
		}
		return nil
	}
	return err
}

func (c *Client) scrapeHTTP(ctx context.Context, u *url.URL, t target, names []ident.V1) (map[ident.V1]Counts, error) {
	u, err := scrapeURL(u, names)
	if err != nil {
		return nil, err
	}
	body, err := c.fetch(ctx, t.family, u)
	if err != nil {
		return nil, err
	}
	return parseScrape(body)
}

func (c *Client) scrapeUDP(ctx context.Context, u *url.URL, t target, names []ident.V1) (map[ident.V1]Counts, error) {
	b, err := c.askUDP(ctx, u, t, func(id uint64, tx uint32) []byte { return scrapePacket(id, tx, names) })
	if err != nil {
		return nil, err
	}
	list, err := parseScrapePacket(b, names)
	if err != nil {
		return nil, err
	}
	counts := make(map[ident.V1]Counts, len(names))
	for i, name := range names {
		counts[name] = list[i]
	}
	return counts, nil
}
