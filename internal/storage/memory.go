package storage

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"sync"
	"time"

	"shoal/internal/block"
)

// Memory is a Store that keeps content, and journals, in memory: for tests and simulations. It has one worker, and it
// never waits for anything outside the process, so it works in a testing/synctest bubble. What was written outlives the
// handles, so content can be opened again, as after a restart.
type Memory struct {
	*store
	disk *memDisk
}

// NewMemory returns an empty store. Blocks given to Write come from pool, whose OnPressure it sets.
func NewMemory(pool *block.Pool) *Memory {
	return newMemory(pool, &memDisk{files: map[string]*memFile{}, limit: 1 << 50})
}

// Restart returns a new store over the same files, as after a restart of the program. The old one goes on as it is.
func (m *Memory) Restart(pool *block.Pool) *Memory { return newMemory(pool, m.disk) }

func newMemory(pool *block.Pool, d *memDisk) *Memory {
	return &Memory{newStore(pool, d, FilesOptions{Workers: 1}), d}
}

// SetLimit sets how many bytes all files together may hold before writes fail with ErrFull.
func (m *Memory) SetLimit(bytes int64) {
	m.disk.mu.Lock()
	m.disk.limit = bytes
	m.disk.mu.Unlock()
}

// Get returns what the file at a path holds, or false if there is none.
func (m *Memory) Get(name string) ([]byte, bool) {
	f := m.disk.find(filepath.Clean(name))
	if f == nil {
		return nil, false
	}
	b := make([]byte, f.Size())
	_, _ = f.ReadAt(b, 0)
	return b, true
}

// Put makes a file, or replaces it, as another program would; with nil it deletes it.
func (m *Memory) Put(name string, content []byte) {
	d := m.disk
	name = filepath.Clean(name)
	d.mu.Lock()
	defer d.mu.Unlock()
	if old := d.files[name]; old != nil {
		d.free(old)
	}
	delete(d.files, name)
	if content != nil {
		f := d.make(name)
		_, _ = f.put(content, 0)
	}
}

// memChunk is the unit in which a memory file has bytes or a hole.
const memChunk = 16 << 10

// memDisk is a disk in memory. All its files share its lock: nobody waits behind it for longer than a copy of a piece.
type memDisk struct {
	mu      sync.Mutex
	files   map[string]*memFile
	used    int64
	limit   int64
	changes int64
}

// memFile is a file. Its times are the disk's count of changes.
type memFile struct {
	d       *memDisk
	name    string
	link    string // of a symbolic link
	size    int64
	chunks  map[int64][]byte
	changed int64
}

type memFolder struct {
	d    *memDisk
	root string
}

func (d *memDisk) find(name string) *memFile {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.files[name]
}

// make is called with mu held.
func (d *memDisk) make(name string) *memFile {
	f := &memFile{d: d, name: name, chunks: map[int64][]byte{}}
	f.touch()
	d.files[name] = f
	return f
}

// free is called with mu held.
func (d *memDisk) free(f *memFile) { d.used -= int64(len(f.chunks)) * memChunk }

func (d *memDisk) open(root string, create bool) (folder, error) { return memFolder{d, root}, nil }
func (d *memDisk) bootID() string                                { return "memory" }

func (d *memDisk) room(string) (int64, string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return max(0, d.limit-d.used), "memory", nil
}

func (d *memDisk) move(from, to folder, name string) error {
	return d.rename(from.(memFolder).path(name), to.(memFolder).path(name), false)
}

func (d *memDisk) rename(old, new string, replace bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.files[old]
	if f == nil {
		return &fs.PathError{Op: "rename", Path: old, Err: fs.ErrNotExist}
	}
	if there := d.files[new]; there != nil {
		if !replace {
			return &fs.PathError{Op: "rename", Path: new, Err: fs.ErrExist}
		}
		d.free(there)
	}
	delete(d.files, old)
	d.files[new] = f
	f.name = new
	return nil
}

func (m memFolder) path(name string) string {
	return filepath.Join(m.root, filepath.FromSlash(path.Clean("/"+name)))
}

func (m memFolder) openFile(name string, mode openMode) (file, error) {
	m.d.mu.Lock()
	defer m.d.mu.Unlock()
	p := m.path(name)
	f := m.d.files[p]
	switch {
	case f != nil && mode&emptied != 0:
		m.d.free(f)
		f.size, f.chunks = 0, map[int64][]byte{}
	case f == nil && mode&creating == 0:
		return nil, &fs.PathError{Op: "open", Path: p, Err: fs.ErrNotExist}
	case f == nil:
		f = m.d.make(p)
	}
	return f, nil
}

func (m memFolder) stat(name string) (fs.FileInfo, error) {
	m.d.mu.Lock()
	defer m.d.mu.Unlock()
	if f := m.d.files[m.path(name)]; f != nil {
		return f.info(), nil
	}
	return nil, &fs.PathError{Op: "stat", Path: m.path(name), Err: fs.ErrNotExist}
}

func (m memFolder) rename(old, new string) error { return m.d.rename(m.path(old), m.path(new), true) }

func (m memFolder) remove(name string) error {
	m.d.mu.Lock()
	defer m.d.mu.Unlock()
	if f := m.d.files[m.path(name)]; f != nil {
		m.d.free(f)
		delete(m.d.files, f.name)
	}
	return nil
}

func (m memFolder) prune(string) {}

func (m memFolder) symlink(target, name string) error {
	m.d.mu.Lock()
	defer m.d.mu.Unlock()
	m.d.make(m.path(name)).link = target
	return nil
}

func (m memFolder) sync(string) error { return nil }
func (m memFolder) close() error      { return nil }

// touch is called with the disk's mu held.
func (f *memFile) touch() {
	f.d.changes++
	f.changed = f.d.changes
}

func (f *memFile) Size() int64 {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return f.size
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	n := int(max(0, min(int64(len(p)), f.size-off)))
	for q := p[:n]; len(q) > 0; {
		in := off % memChunk
		k := int(min(int64(len(q)), memChunk-in))
		if c := f.chunks[off/memChunk]; c != nil {
			copy(q[:k], c[in:])
		} else {
			clear(q[:k])
		}
		q, off = q[k:], off+int64(k)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return f.put(p, off)
}

// put is called with the disk's mu held.
func (f *memFile) put(p []byte, off int64) (int, error) {
	f.touch()
	done := 0
	for done < len(p) {
		at := off + int64(done)
		c := f.chunks[at/memChunk]
		if c == nil {
			if f.d.used+memChunk > f.d.limit {
				return done, fmt.Errorf("write %s: %w on memory", f.name, ErrFull)
			}
			c = make([]byte, memChunk)
			f.chunks[at/memChunk] = c
			f.d.used += memChunk
		}
		done += copy(c[at%memChunk:], p[done:])
		f.size = max(f.size, off+int64(done))
	}
	return done, nil
}

func (f *memFile) writeAll(bufs [][]byte, off int64) error { return writeEach(f, bufs, off) }

func (f *memFile) truncate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.touch()
	for i, c := range f.chunks {
		if i*memChunk >= size {
			delete(f.chunks, i)
			f.d.used -= memChunk
		} else if (i+1)*memChunk > size {
			clear(c[size-i*memChunk:])
		}
	}
	f.size = size
	return nil
}

func (f *memFile) allocate(int64) error { return nil }
func (f *memFile) sync() error          { return nil }
func (f *memFile) close() error         { return nil }

func (f *memFile) stat() (fs.FileInfo, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return f.info(), nil
}

// info is called with the disk's mu held.
func (f *memFile) info() fs.FileInfo { return memInfo{f.name, f.size, f.changed, f.link != ""} }

type memInfo struct {
	name          string
	size, changed int64
	link          bool
}

func (i memInfo) Name() string       { return filepath.Base(i.name) }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) ModTime() time.Time { return time.Unix(0, i.changed) }
func (i memInfo) IsDir() bool        { return false }
func (i memInfo) Sys() any           { return nil }
func (i memInfo) Mode() fs.FileMode {
	if i.link {
		return 0o777 | fs.ModeSymlink
	}
	return 0o644
}
