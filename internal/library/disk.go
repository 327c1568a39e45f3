package library

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"shoal/internal/bt/torrent"
	"shoal/internal/storage"
)

// checkDisks holds downloads on filesystems where less is free than the floor, and lets them go on when there is room again.
func (l *Library) checkDisks() {
	type held struct {
		t   *torrent.Torrent
		why error
	}
	l.mu.Lock()
	dirs := map[string]bool{l.set.Dir: true}
	for _, e := range l.entries {
		if e.t != nil && !e.rec.Complete {
			dirs[e.rec.Dir] = true
		}
	}
	floor := l.set.Floor
	l.mu.Unlock()
	disks, of := look(dirs, floor)
	var changes []held
	l.mu.Lock()
	l.disks = disks
	for _, e := range l.entries {
		if e.t == nil || e.rec.Complete || e.offline || e.busy != "" {
			continue
		}
		st := e.t.Look()
		full := of[e.rec.Dir]
		switch is := st.Held && !errors.Is(st.Problem, errMissing); {
		case full.Full && !is:
			changes = append(changes, held{e.t, fmt.Errorf("%w: %s are left on %s, and %s are to stay free; it goes on when there is room",
				storage.ErrFull, bytes(full.Free), full.Mount, bytes(full.Floor))})
		case !full.Full && is:
			changes = append(changes, held{e.t, nil})
		}
	}
	l.mu.Unlock()
	for _, c := range changes {
		_ = c.t.Hold(c.why) // it ended, if this fails
	}
}

// look returns the filesystems of folders, and each folder's.
func look(dirs map[string]bool, floor int64) (disks []Disk, of map[string]Disk) {
	of = map[string]Disk{}
	seen := map[string]bool{}
	for dir := range dirs {
		free, mount, err := storage.Free(dir)
		if err != nil {
			continue
		}
		d := Disk{Mount: mount, Free: free, Floor: floor, Full: free < floor}
		of[dir] = d
		if !seen[mount] {
			seen[mount] = true
			disks = append(disks, d)
		}
	}
	return disks, of
}

// bytes writes a size for people.
func bytes(n int64) string {
	const units = "KMGTPE"
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/(1<<10), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	return fmt.Sprintf("%.1f %ciB", f, units[i])
}

// exists fails if a folder is not there.
func exists(dir string) error {
	fi, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the folder %s is not there: is its disk attached? Bring it back and resume, or recheck to fetch all anew", dir)
	case err != nil:
		return err
	case !fi.IsDir():
		return fmt.Errorf("%s is not a folder", dir)
	}
	return nil
}
