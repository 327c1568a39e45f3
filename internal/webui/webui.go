// Package webui holds the built web UI. Its source is in web/; `make web` builds it into dist, which is committed, so that building shoal needs no
// Node.
package webui

import (
	"embed"
	"io/fs"
)

//go:embed dist
var files embed.FS

// FS returns the built files, index.html at the top. Links in them are relative, so that they work below any path; what is in assets has a hash of its
// content in its name.
func FS() fs.FS {
	f, err := fs.Sub(files, "dist")
	if err != nil {
		panic(err) // the name is a constant
	}
	return f
}
