package server

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"shoal/internal/accounts"
	"shoal/internal/api"
)

// maxEntries is how many entries of a folder are listed.
const maxEntries = 5000

// below returns the root that a path lies in, and the path from there; by its words alone: links are for os.Root to refuse.
func (s *Server) below(path string) (root, rel string, err error) {
	if !filepath.IsAbs(path) || strings.ContainsRune(path, 0) {
		return "", "", huma.Error422UnprocessableEntity("a folder is named by its whole path")
	}
	path = filepath.Clean(path)
	for _, r := range s.access.Load().Roots {
		r = filepath.Clean(r)
		if rel, err := filepath.Rel(r, path); err == nil && filepath.IsLocal(rel) {
			if len(r) > len(root) {
				root = r
			}
		}
	}
	if root == "" {
		return "", "", huma.Error403Forbidden(path + " is in none of the folders that the settings let be looked into")
	}
	rel, err = filepath.Rel(root, path)
	return root, rel, err
}

// MayUse refuses a folder or file of the machine that who asks may not name: one who is no admin may name what is below the roots.
func (s *Server) MayUse(ctx context.Context, path string) error {
	if accounts.FromContext(ctx).May(accounts.Manage) {
		return nil
	}
	name, rel, err := s.below(path)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(name)
	if err != nil {
		return folderError(path, err)
	}
	defer root.Close()
	for { // what does not exist yet must not be made beyond a link that leads out
		_, err := root.Stat(rel)
		if err == nil {
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) || rel == "." {
			return folderError(path, err)
		}
		if _, err := root.Lstat(rel); err == nil {
			return folderError(path, errors.New("it is a link to nowhere"))
		}
		rel = filepath.Dir(rel)
	}
}

func folderError(path string, err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return huma.Error404NotFound(path + " does not exist")
	case errors.Is(err, fs.ErrPermission):
		return huma.Error403Forbidden("the node may not read " + path)
	}
	return huma.Error403Forbidden(path + " cannot be looked into: " + err.Error())
}

// folder lists a folder below the roots. A link that leads out of its root is left out, and refused when asked for.
func (s *Server) folder(path string) (api.Folder, error) {
	if path == "" {
		f := api.Folder{Entries: []api.Entry{}}
		for _, r := range s.access.Load().Roots {
			f.Entries = append(f.Entries, api.Entry{Name: r, Path: r, Folder: true})
		}
		return f, nil
	}
	name, rel, err := s.below(path)
	if err != nil {
		return api.Folder{}, err
	}
	root, err := os.OpenRoot(name)
	if err != nil {
		return api.Folder{}, folderError(path, err)
	}
	defer root.Close()
	info, err := root.Stat(rel)
	if err != nil {
		return api.Folder{}, folderError(path, err)
	}
	if !info.IsDir() { // before it is opened: a FIFO would wait for its writer
		return api.Folder{}, huma.Error422UnprocessableEntity(path + " is not a folder")
	}
	dir, err := root.Open(rel)
	if err != nil {
		return api.Folder{}, folderError(path, err)
	}
	defer dir.Close()
	names, err := dir.ReadDir(maxEntries + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return api.Folder{}, folderError(path, err)
	}
	f := api.Folder{Path: filepath.Join(name, rel), Entries: []api.Entry{}, More: len(names) > maxEntries}
	if rel != "." {
		f.Parent = filepath.Dir(f.Path)
	}
	for _, n := range names[:min(len(names), maxEntries)] {
		info, err := root.Stat(filepath.Join(rel, n.Name()))
		if err != nil || !info.IsDir() && !info.Mode().IsRegular() {
			continue
		}
		e := api.Entry{Name: n.Name(), Path: filepath.Join(f.Path, n.Name()), Folder: info.IsDir(), Time: info.ModTime().Unix()}
		if !e.Folder {
			e.Size = info.Size()
		}
		f.Entries = append(f.Entries, e)
	}
	slices.SortFunc(f.Entries, func(a, b api.Entry) int {
		if a.Folder != b.Folder {
			if a.Folder {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), cmp.Compare(a.Name, b.Name))
	})
	return f, nil
}
