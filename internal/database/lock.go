package database

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrLocked says that another node has the folder.
var ErrLocked = errors.New("another node runs on this folder: stop it first, or use another --home")

var errHeld = errors.New("held")

// Lock makes sure that one node at a time uses a folder, which must exist. The lock ends with Close or with the process, however that ends; the
// file stays. An error that wraps ErrLocked names the process that has it.
func Lock(folder string) (io.Closer, error) {
	name := filepath.Join(folder, "lock")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock of %s: %w", folder, explain(err))
	}
	if err := lockFile(f); err != nil {
		defer f.Close()
		if !errors.Is(err, errHeld) {
			return nil, fmt.Errorf("lock of %s: %w", folder, err)
		}
		text, _ := io.ReadAll(io.LimitReader(f, 32))
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			return nil, fmt.Errorf("%s: %w (process %d)", folder, ErrLocked, pid)
		}
		return nil, fmt.Errorf("%s: %w", folder, ErrLocked)
	}
	pid := []byte(strconv.Itoa(os.Getpid()) + "\n")
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt(pid, 0)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock of %s: %w", folder, explain(err))
	}
	return f, nil
}
