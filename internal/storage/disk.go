package storage

import (
	"io"
	"io/fs"
)

// disk is where content and journals lie: the machine's own file system, or memory.
type disk interface {
	// open gives access below root. With create it makes root and what leads to it.
	open(root string, create bool) (folder, error)
	// move takes a file from below one open folder to the same path below another. It fails with errCrossDevice when
	// that needs a copy, and with fs.ErrExist rather than replace a file.
	move(from, to folder, path string) error
	// room returns the bytes free for us where root is or would be, and the name of that file system.
	room(root string) (free int64, mount string, err error)
	// bootID differs after each start of the machine. Empty: unknown, so every start of ours may follow one of it.
	bootID() string
}

// folder is an open root. Its paths are slash-separated and never lead out of it, not even through symbolic links.
type folder interface {
	// openFile opens a regular file. With create, the folders on its way and the file are made if missing.
	openFile(path string, mode openMode) (file, error)
	stat(path string) (fs.FileInfo, error) // does not follow a final symbolic link
	// rename gives a file another path below the same root, making folders on the way. It replaces what is there.
	rename(old, new string) error
	// remove deletes a file, then each folder above it that this leaves empty.
	remove(path string) error
	// prune deletes each folder above a path that is empty.
	prune(path string)
	// symlink makes path a link to target, both below the root.
	symlink(target, path string) error
	// sync makes the names in the folder that holds path survive a power loss, as far as the system can.
	sync(path string) error
	close() error
}

// file is an open file. Its methods are safe for concurrent use.
type file interface {
	io.ReaderAt
	io.WriterAt
	// writeAll writes buffers one after the other from off on, with as few system calls as the system allows. Its
	// caller gets the slice back with its elements changed.
	writeAll(bufs [][]byte, off int64) error
	stat() (fs.FileInfo, error)
	truncate(size int64) error
	// allocate reserves the blocks of the first size bytes, or does nothing where the system cannot.
	allocate(size int64) error
	sync() error
	close() error
}

// openMode says how to open a file.
type openMode uint8

const (
	forWriting openMode = 1 << iota
	creating
	executable // permission bits of a file that is made
	emptied    // cut to nothing
	scattered  // expect large holes: a system that needs to be told is told
)

// writeEach is writeAll with a call for each buffer.
func writeEach(f io.WriterAt, bufs [][]byte, off int64) error {
	for _, b := range bufs {
		if _, err := f.WriteAt(b, off); err != nil {
			return err
		}
		off += int64(len(b))
	}
	return nil
}
