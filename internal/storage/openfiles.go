package storage

import "sync"

// fileKey names a file of an open content: its index in the layout, or one past the last for the parts file.
type fileKey struct {
	h     *handle
	index int
}

// openFile is a file that stays open while it is in use, and afterwards until others need its place.
type openFile struct {
	file
	key      fileKey
	writable bool

	// Guarded by openFiles.mu.
	refs       int
	gone       bool // no longer in the map: the last user closes it
	prev, next *openFile
}

// openFiles keeps the most recently used files open, at most max at a time; only while more than max are in use at
// once are there more.
type openFiles struct {
	max int

	mu   sync.Mutex
	m    map[fileKey]*openFile
	ring openFile // next is the most recently used, prev the least
}

func newOpenFiles(limit int) *openFiles {
	c := &openFiles{max: limit, m: map[fileKey]*openFile{}}
	c.ring.prev, c.ring.next = &c.ring, &c.ring
	return c
}

// acquire opens a file, or finds it open. It stays open until release.
func (c *openFiles) acquire(key fileKey, write bool) (*openFile, error) {
	c.mu.Lock()
	if f := c.find(key, write); f != nil {
		c.mu.Unlock()
		return f, nil
	}
	c.mu.Unlock()
	opened, err := key.h.openFile(key.index, write)
	if err != nil {
		return nil, err
	}
	return c.adopt(key, opened, write), nil
}

// adopt takes an open file, as acquire would have opened it. It closes it if it is open already.
func (c *openFiles) adopt(key fileKey, opened file, write bool) *openFile {
	c.mu.Lock()
	if f := c.find(key, write); f != nil { // another was faster
		c.mu.Unlock()
		opened.close()
		return f
	}
	var closing []*openFile
	if old := c.m[key]; old != nil {
		closing = c.drop(old, closing) // open only for reading
	}
	f := &openFile{file: opened, key: key, writable: write, refs: 1}
	c.m[key] = f
	c.push(f)
	for least := c.ring.prev; len(c.m) > c.max && least != &c.ring; {
		f := least
		least = least.prev
		if f.refs == 0 {
			closing = c.drop(f, closing)
		}
	}
	c.mu.Unlock()
	closeAll(closing)
	return f
}

// release ends a use.
func (c *openFiles) release(f *openFile) {
	c.mu.Lock()
	f.refs--
	last := f.gone && f.refs == 0
	c.mu.Unlock()
	if last {
		f.close()
	}
}

// forget closes a file, or every file of a content if index is negative, now or when its last user is done.
func (c *openFiles) forget(h *handle, index int) {
	var closing []*openFile
	c.mu.Lock()
	if index >= 0 {
		if f := c.m[fileKey{h, index}]; f != nil {
			closing = c.drop(f, closing)
		}
	} else {
		for f := c.ring.next; f != &c.ring; {
			next := f.next
			if f.key.h == h {
				closing = c.drop(f, closing)
			}
			f = next
		}
	}
	c.mu.Unlock()
	closeAll(closing)
}

// find is called with mu held.
func (c *openFiles) find(key fileKey, write bool) *openFile {
	f := c.m[key]
	if f == nil || write && !f.writable {
		return nil
	}
	f.refs++
	if c.ring.next != f {
		f.prev.next, f.next.prev = f.next, f.prev
		c.push(f)
	}
	return f
}

// push is called with mu held.
func (c *openFiles) push(f *openFile) {
	f.prev, f.next = &c.ring, c.ring.next
	f.prev.next, f.next.prev = f, f
}

// drop is called with mu held. It adds the file to closing if nobody uses it.
func (c *openFiles) drop(f *openFile, closing []*openFile) []*openFile {
	delete(c.m, f.key)
	f.prev.next, f.next.prev = f.next, f.prev
	f.gone = true
	if f.refs == 0 {
		closing = append(closing, f)
	}
	return closing
}

func closeAll(files []*openFile) {
	for _, f := range files {
		f.close()
	}
}
