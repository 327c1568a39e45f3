package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"shoal/internal/bt/tracker/server"
	"shoal/internal/link"
)

// accessList is a list of torrents in a file of infohashes, or a folder of .torrent files.
type accessList struct {
	path string // empty: no list
	seen map[string]fileState
}

// fileState tells one content of a file from the next.
type fileState struct {
	size     int64
	modified time.Time
}

// look returns the state of everything that the list is read from.
func (l *accessList) look() (map[string]fileState, error) {
	if l.path == "" {
		return nil, nil
	}
	state := map[string]fileState{}
	err := filepath.WalkDir(l.path, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() || path != l.path && !strings.HasSuffix(path, ".torrent") {
			return nil
		}
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) && path != l.path {
			return nil // it has just gone
		}
		if err != nil {
			return err
		}
		state[path] = fileState{info.Size(), info.ModTime()}
		return nil
	})
	return state, err
}

// read returns the list, nil if there is none. In a folder, what is no torrent is passed over and told in notices.
func (l *accessList) read() (list server.List, notices []string, err error) {
	if l.path == "" {
		return nil, nil, nil
	}
	if l.seen, err = l.look(); err != nil {
		return nil, nil, err
	}
	list = server.List{}
	for path := range l.seen {
		switch {
		case strings.HasSuffix(path, ".torrent"):
			err = addTorrent(list, path)
		default:
			err = addListed(list, path)
		}
		if err != nil && path != l.path {
			notices = append(notices, err.Error())
		} else if err != nil {
			return nil, nil, err
		}
	}
	return list, notices, nil
}

func addListed(list server.List, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := list.ReadList(f); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func addTorrent(list server.List, path string) error {
	l, err := link.File(path)
	if err != nil {
		return linkError(err)
	}
	list.Add(l.Torrent.Info.Hash)
	return nil
}

// accessLists say which torrents a tracker serves.
type accessLists struct{ allow, deny accessList }

// read reads both lists.
func (l *accessLists) read() (a server.Access, notices []string, err error) {
	var allow, deny []string
	var badAllow, badDeny error
	a.Allow, allow, badAllow = l.allow.read()
	a.Deny, deny, badDeny = l.deny.read()
	return a, append(allow, deny...), errors.Join(badAllow, badDeny)
}

// changed reports whether one of the lists is not what was read.
func (l *accessLists) changed() bool { return l.allow.changed() || l.deny.changed() }

func (l *accessList) changed() bool {
	now, err := l.look()
	return err == nil && !maps.Equal(now, l.seen)
}
