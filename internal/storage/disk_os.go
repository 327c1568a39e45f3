package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// errCrossDevice is the failure of a move that a rename cannot do.
var errCrossDevice = errors.New("on another file system")

// osDisk is the machine's file system. All access below a root goes through os.Root, which confines it.
type osDisk struct{}

type osFolder struct{ root *os.Root }

func (osDisk) open(root string, create bool) (folder, error) {
	r, err := os.OpenRoot(root)
	if create && errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(root, 0o755); err == nil {
			r, err = os.OpenRoot(root)
		}
	}
	if err != nil {
		return nil, err
	}
	return osFolder{r}, nil
}

func (osDisk) bootID() string { return bootID() }

// Free returns the bytes free for us on the filesystem that a folder is on, or will be on when it is made, and the filesystem's name (its mount
// point).
func Free(dir string) (free int64, mount string, err error) { return osDisk{}.room(dir) }

func (osDisk) room(root string) (int64, string, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return 0, "", err
	}
	for { // a root that is not made yet will be where its nearest ancestor is
		_, err := os.Stat(root)
		up := filepath.Dir(root)
		if err == nil || !errors.Is(err, fs.ErrNotExist) || up == root {
			return freeSpace(root)
		}
		root = up
	}
}

func (osDisk) move(from, to folder, name string) error {
	src, dst := from.(osFolder).root, to.(osFolder).root
	if _, err := dst.Lstat(filepath.FromSlash(name)); err == nil {
		return &fs.PathError{Op: "move", Path: filepath.Join(dst.Name(), name), Err: fs.ErrExist}
	}
	dir := filepath.FromSlash(path.Dir(name))
	if err := dst.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	fromDir, err := src.Open(dir)
	if err != nil {
		return err
	}
	defer fromDir.Close()
	toDir, err := dst.Open(dir)
	if err != nil {
		return err
	}
	defer toDir.Close()
	return renameBetween(fromDir, toDir, path.Base(name))
}

func (d osFolder) openFile(name string, mode openMode) (file, error) {
	flag, perm := os.O_RDONLY, fs.FileMode(0o644)
	if mode&forWriting != 0 {
		flag = os.O_RDWR
	}
	if mode&emptied != 0 {
		flag |= os.O_TRUNC
	}
	if mode&executable != 0 {
		perm = 0o755
	}
	name = filepath.FromSlash(name)
	f, err := d.root.OpenFile(name, flag, perm)
	if mode&creating != 0 && errors.Is(err, fs.ErrNotExist) {
		if err = d.root.MkdirAll(filepath.Dir(name), 0o755); err == nil {
			f, err = d.root.OpenFile(name, flag|os.O_CREATE, perm)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("in %s: %w", d.root.Name(), err)
	}
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		f.Close()
		return nil, errors.Join(err, fmt.Errorf("%s is not a regular file", f.Name()))
	}
	if mode&scattered != 0 {
		setSparse(f)
	}
	return &osFile{f, f.Fd()}, nil
}

func (d osFolder) stat(name string) (fs.FileInfo, error) {
	return d.root.Lstat(filepath.FromSlash(name))
}

func (d osFolder) rename(old, new string) error {
	old, new = filepath.FromSlash(old), filepath.FromSlash(new)
	if err := d.root.MkdirAll(filepath.Dir(new), 0o755); err != nil {
		return err
	}
	return d.root.Rename(old, new)
}

func (d osFolder) remove(name string) error {
	if err := d.root.Remove(filepath.FromSlash(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	d.prune(name)
	return nil
}

func (d osFolder) prune(name string) {
	for up := path.Dir(name); up != "."; up = path.Dir(up) {
		if d.root.Remove(filepath.FromSlash(up)) != nil {
			break // not empty, or not ours to remove
		}
	}
}

func (d osFolder) symlink(target, name string) error {
	from, to := filepath.FromSlash(path.Dir(name)), filepath.FromSlash(target)
	if !filepath.IsLocal(to) {
		return fmt.Errorf("symbolic link %q leads out of the folder, to %q", name, target)
	}
	rel, err := filepath.Rel(from, to)
	if err != nil {
		return err
	}
	if err := d.root.MkdirAll(from, 0o755); err != nil {
		return err
	}
	return d.root.Symlink(rel, filepath.FromSlash(name))
}

func (d osFolder) sync(name string) error {
	f, err := d.root.Open(filepath.FromSlash(path.Dir(name)))
	if err != nil {
		return err
	}
	defer f.Close()
	return syncFolder(f)
}

func (d osFolder) close() error { return d.root.Close() }

// osFile keeps the descriptor beside the file: it stays valid until close.
type osFile struct {
	*os.File
	fd uintptr
}

func (f *osFile) stat() (fs.FileInfo, error) { return f.Stat() }
func (f *osFile) truncate(size int64) error  { return f.Truncate(size) }
func (f *osFile) allocate(size int64) error  { return allocate(f, size) }
func (f *osFile) sync() error                { return f.Sync() }
func (f *osFile) close() error               { return f.Close() }
