package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"shoal/internal/bt/magnet"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/session"
	"shoal/internal/ident"
	"shoal/internal/netx"
)

// link is what a person named: a magnet link, a .torrent file or URL, or a bare infohash.
type link struct {
	text    string
	torrent *metainfo.Torrent
	magnet  *magnet.Magnet
}

// name is what to call it before its metadata is there.
func (l *link) name() string {
	switch {
	case l.torrent != nil:
		return l.torrent.Info.Name
	case l.magnet.Name != "":
		return printable(l.magnet.Name)
	}
	return l.magnet.Hash.String()
}

// openLink finds out what a link is. client fetches URLs.
func openLink(ctx context.Context, text string, client *http.Client) (*link, error) {
	l := &link{text: text}
	lower := strings.ToLower(text)
	switch {
	case strings.HasPrefix(lower, "magnet:"):
		m, err := magnet.ParseLink(text)
		if err != nil {
			return nil, usage(err)
		}
		l.magnet = m
		return l, nil
	case strings.HasPrefix(lower, "http://"), strings.HasPrefix(lower, "https://"):
		b, err := fetch(ctx, text, client)
		if err != nil {
			return nil, err
		}
		return l, l.parse(b)
	}
	b, err := readTorrent(text)
	if err == nil {
		return l, l.parse(b)
	}
	if errors.Is(err, os.ErrNotExist) {
		if m, bad := magnet.ParseLink(text); bad == nil {
			l.magnet = m
			return l, nil
		}
		return nil, withCode(exitNotFound, fmt.Errorf("%s: no such file, and not a magnet link or infohash", text))
	}
	return nil, err
}

func (l *link) parse(b []byte) error {
	t, err := metainfo.Parse(b)
	if err != nil {
		return fmt.Errorf("%s: %w", l.text, err)
	}
	l.torrent = t
	return nil
}

func readTorrent(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if fi, err := f.Stat(); err == nil && fi.IsDir() {
		return nil, usage(fmt.Errorf("%s is a folder; to offer it to others: shoal share %s", path, path))
	}
	return readAll(f, path)
}

// readAll reads a .torrent of bounded size.
func readAll(r io.Reader, from string) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, metainfo.MaxTorrent+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	if len(b) > metainfo.MaxTorrent {
		return nil, fmt.Errorf("%s: longer than %s, which no torrent is", from, size(metainfo.MaxTorrent))
	}
	return b, nil
}

// direct returns what fetches URLs over the machine's own network, for verbs that talk to nobody else.
func direct() *http.Client {
	return netx.HTTPClient(netx.NewHost(netx.Options{}), netx.HTTPOptions{UserAgent: client()})
}

// fetch downloads a .torrent file.
func fetch(ctx context.Context, from string, client *http.Client) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, usage(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, withCode(exitNetwork, fmt.Errorf("%s: %w", from, err))
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotFound, resp.StatusCode == http.StatusGone:
		return nil, withCode(exitNotFound, fmt.Errorf("%s: the server says %s", from, resp.Status))
	case resp.StatusCode != http.StatusOK:
		return nil, withCode(exitNetwork, fmt.Errorf("%s: the server says %s", from, resp.Status))
	}
	b, err := readAll(resp.Body, from)
	return b, withCode(exitNetwork, err)
}

// spec begins a session.Spec with what the link says.
func (l *link) spec() session.Spec {
	s := session.Spec{Torrent: l.torrent}
	if l.magnet == nil {
		return s
	}
	s.InfoHash = l.magnet.Hash
	for _, u := range l.magnet.Trackers {
		s.Trackers = append(s.Trackers, []string{u})
	}
	s.WebSeeds = l.magnet.WebSeeds
	return s
}

// magnetOfHash stands for a link of which only the hash is left.
func magnetOfHash(h ident.InfoHash) *magnet.Magnet { return &magnet.Magnet{Hash: h} }

func rangesOf(l *link) []magnet.Range {
	if l.magnet == nil {
		return nil
	}
	return l.magnet.Select
}

// printable makes a name from the network safe to show on a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '\ufffd'
		}
		return r
	}, s)
}
