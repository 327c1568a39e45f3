package cli

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"shoal/internal/bt/magnet"
	"shoal/internal/ident"
	"shoal/internal/link"
	"shoal/internal/netx"
)

// openLink finds out what a link is. client fetches URLs.
func openLink(ctx context.Context, text string, client *http.Client) (*link.Link, error) {
	l, err := link.OpenPath(ctx, text, client)
	return l, linkError(err)
}

// linkError gives an error of package link its exit code.
func linkError(err error) error {
	switch {
	case errors.Is(err, link.ErrBad):
		return usage(err)
	case errors.Is(err, link.ErrNotFound):
		return withCode(exitNotFound, err)
	case errors.Is(err, link.ErrNetwork):
		return withCode(exitNetwork, err)
	}
	return err
}

// nameOf is what to call a link before its metadata is there.
func nameOf(l *link.Link) string { return printable(l.Name()) }

// direct returns what fetches URLs over the machine's own network, for verbs that talk to nobody else.
func direct() *http.Client {
	return netx.HTTPClient(netx.NewHost(netx.Options{}), netx.HTTPOptions{UserAgent: client()})
}

// magnetOfHash stands for a link of which only the hash is left.
func magnetOfHash(h ident.InfoHash) *magnet.Magnet { return &magnet.Magnet{Hash: h} }

func rangesOf(l *link.Link) []magnet.Range {
	if l.Magnet == nil {
		return nil
	}
	return l.Magnet.Select
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
