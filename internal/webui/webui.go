// Package webui holds the built web UI. Its source is in web/; `make web` builds it into dist, which is committed, so that building
// shoal needs no Node.
package webui

import (
	"embed"
	"io/fs"
)

//go:embed dist
var files embed.FS

// FS returns the built files, index.html at the top.
func FS() fs.FS {
	f, err := fs.Sub(files, "dist")
	if err != nil {
		panic(err) // the name is a constant
	}
	return f
}
