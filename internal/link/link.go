// Package link finds out what a person named: a magnet link, an infohash, a publisher's link, a .torrent file or the URL of one.
package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"shoal/internal/bt/magnet"
	"shoal/internal/bt/metainfo"
	"shoal/internal/bt/session"
)

// Errors that those of Open and File wrap.
var (
	ErrBad      = errors.New("not a link") // what was named makes no sense
	ErrNotFound = errors.New("not found")
	ErrNetwork  = errors.New("cannot be fetched")
)

// because makes an error that reads as err and also is kind.
func because(kind, err error) error {
	if err == nil {
		return nil
	}
	return &caused{kind, err}
}

type caused struct{ kind, err error }

func (c *caused) Error() string   { return c.err.Error() }
func (c *caused) Unwrap() []error { return []error{c.err, c.kind} }

// Link is what a person named. One of Torrent and Magnet is set.
type Link struct {
	Text    string
	Torrent *metainfo.Torrent
	Magnet  *magnet.Magnet // its Hash is zero if it is a publisher's (BEP 46) that was not followed yet
}

// Name is what to call it before its metadata is there. It comes from strangers.
func (l *Link) Name() string {
	switch {
	case l.Torrent != nil:
		return l.Torrent.Info.Name
	case l.Magnet.Name != "":
		return l.Magnet.Name
	}
	return l.Magnet.Hash.String()
}

// IsURL reports whether a text is the URL of a .torrent file.
func IsURL(text string) bool {
	lower := strings.ToLower(text)
	return strings.HasPrefix(lower, "http://") || strings.HasPrefix(lower, "https://")
}

// Open finds out what a text that is no path means: a magnet link, an infohash, or a URL, which client fetches.
func Open(ctx context.Context, text string, client *http.Client) (*Link, error) {
	if IsURL(text) {
		b, err := fetch(ctx, text, client)
		if err != nil {
			return nil, err
		}
		return Parse(text, b)
	}
	m, err := magnet.ParseLink(text)
	if err != nil {
		return nil, because(ErrBad, err)
	}
	return &Link{Text: text, Magnet: m}, nil
}

// OpenPath is Open for texts that may also be paths of .torrent files.
func OpenPath(ctx context.Context, text string, client *http.Client) (*Link, error) {
	if IsURL(text) || strings.HasPrefix(strings.ToLower(text), "magnet:") {
		return Open(ctx, text, client)
	}
	l, err := File(text)
	if !errors.Is(err, os.ErrNotExist) {
		return l, err
	}
	if m, bad := magnet.ParseLink(text); bad == nil {
		return &Link{Text: text, Magnet: m}, nil
	}
	return nil, because(ErrNotFound, fmt.Errorf("%s: no such file, and not a magnet link or infohash", text))
}

// File reads a .torrent file. It may be named by a file: URL, as desktops do.
func File(path string) (*Link, error) {
	path, err := local(path)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if fi, err := f.Stat(); err == nil && fi.IsDir() {
		return nil, because(ErrBad, fmt.Errorf("%s is a folder; to offer it to others: shoal share %s", path, path))
	}
	b, err := readAll(f, path)
	if err != nil {
		return nil, err
	}
	return Parse(path, b)
}

// local returns the path that a file: URL (RFC 8089) names, and other texts as they are.
func local(text string) (string, error) {
	if !strings.HasPrefix(strings.ToLower(text), "file://") {
		return text, nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return "", because(ErrBad, err)
	}
	if u.Host != "" && !strings.EqualFold(u.Host, "localhost") {
		return "", because(ErrBad, fmt.Errorf("%s: the file is on another machine, %s; fetch it from there first", text, u.Host))
	}
	path := u.Path
	if runtime.GOOS == "windows" {
		path = strings.TrimPrefix(path, "/") // of /C:/folder
	}
	return filepath.FromSlash(path), nil
}

// Parse reads what a .torrent file holds. from names it in errors.
func Parse(from string, b []byte) (*Link, error) {
	t, err := metainfo.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	return &Link{Text: from, Torrent: t}, nil
}

// readAll reads a .torrent of bounded size.
func readAll(r io.Reader, from string) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, metainfo.MaxTorrent+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	if len(b) > metainfo.MaxTorrent {
		return nil, fmt.Errorf("%s: longer than %d MiB, which no torrent is", from, metainfo.MaxTorrent>>20)
	}
	return b, nil
}

// fetch downloads a .torrent file.
func fetch(ctx context.Context, from string, client *http.Client) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, because(ErrBad, err)
	}
	resp, err := client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, because(ErrNetwork, fmt.Errorf("%s: %w", from, err))
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotFound, resp.StatusCode == http.StatusGone:
		return nil, because(ErrNotFound, fmt.Errorf("%s: the server says %s", from, resp.Status))
	case resp.StatusCode != http.StatusOK:
		return nil, because(ErrNetwork, fmt.Errorf("%s: the server says %s", from, resp.Status))
	}
	b, err := readAll(resp.Body, from)
	return b, because(ErrNetwork, err)
}

// Spec begins a session.Spec with what the link says.
func (l *Link) Spec() session.Spec {
	s := session.Spec{Torrent: l.Torrent}
	if l.Magnet == nil {
		return s
	}
	s.InfoHash = l.Magnet.Hash
	for _, u := range l.Magnet.Trackers {
		s.Trackers = append(s.Trackers, []string{u})
	}
	s.WebSeeds = l.Magnet.WebSeeds
	return s
}
