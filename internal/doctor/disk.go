package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"shoal/internal/database"
)

// What the speed test writes and reads at most, and how long it may take for each, so that a slow disk does not hold it up.
const (
	speedBytes = 64 << 20
	speedTime  = 4 * time.Second
	// slowDisk is what a line of 100 Mbit/s brings: a disk below holds it up.
	slowDisk = 12.5e6 // bytes/s
)

func diskSpeed(ctx context.Context, e *Environment) finding {
	if e.Downloads == "" {
		return skip("no downloads folder was named")
	}
	free, _, err := e.machine.free(e.Downloads)
	if err == nil && free < e.Floor+2*speedBytes {
		return skip("too little space is free to try")
	}
	return e.machine.withTemp(e.Downloads, func(f *os.File) finding {
		wrote, err := writeSpeed(ctx, f, e.machine.now)
		if err != nil {
			return finding{Fail, "writing: " + err.Error(), "see whether the disk is full or failing: dmesg, df " + e.Downloads}
		}
		read, err := readSpeed(ctx, f, e.machine.now)
		if err != nil {
			return finding{Fail, "reading what was just written: " + err.Error(), "see whether the disk is failing: dmesg, smartctl -a"}
		}
		text := fmt.Sprintf("%s writes %.0f MB/s and reads %.0f MB/s, in order", e.Downloads, wrote/1e6, read/1e6)
		if wrote < slowDisk {
			return finding{Warn, text + ": it holds up downloads over a line of 100 Mbit/s", "set folders.incomplete to a folder on a faster disk"}
		}
		return ok("%s", text)
	})
}

// writeSpeed writes what no disk can compress until there is enough or the time is up, has it reach the disk and returns bytes a second.
func writeSpeed(ctx context.Context, f *os.File, now func() time.Time) (float64, error) {
	random := rand.NewChaCha8([32]byte{1})
	b := make([]byte, 1<<20)
	began, n := now(), 0
	for n < speedBytes && now().Sub(began) < speedTime && ctx.Err() == nil {
		_, _ = random.Read(b)
		k, err := f.Write(b)
		n += k
		if err != nil {
			return 0, err
		}
	}
	err := f.Sync()
	return float64(n) / max(now().Sub(began).Seconds(), 1e-6), err
}

func readSpeed(ctx context.Context, f *os.File, now func() time.Time) (float64, error) {
	forget(f)
	b := make([]byte, 1<<20)
	size, err := f.Seek(0, 2)
	if err != nil {
		return 0, err
	}
	began, n := now(), int64(0)
	for n < size && now().Sub(began) < speedTime && ctx.Err() == nil {
		k, err := f.ReadAt(b[:min(int64(len(b)), size-n)], n)
		n += int64(k)
		if err != nil {
			return 0, err
		}
	}
	return float64(n) / max(now().Sub(began).Seconds(), 1e-6), nil
}

func freeSpace(_ context.Context, e *Environment) finding {
	if e.Downloads == "" {
		return skip("no downloads folder was named")
	}
	free, mount, err := e.machine.free(e.Downloads)
	if err != nil {
		return finding{Fail, err.Error(), "set folders.downloads to a folder that can be reached"}
	}
	text := fmt.Sprintf("%s are free on %s", gib(free), mount)
	switch {
	case free < e.Floor:
		return finding{Fail, fmt.Sprintf("%s, less than the %s that are to stay free: downloads wait", text, gib(e.Floor)), "free some space on " + mount + ", or lower disk.free_space_floor"}
	case free < 2*e.Floor:
		return finding{Warn, fmt.Sprintf("%s; downloads wait below %s", text, gib(e.Floor)), "free some space on " + mount + " soon"}
	}
	return ok("%s", text)
}

func gib(n int64) string { return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30)) }

func fileSystem(_ context.Context, e *Environment) finding {
	if e.Downloads == "" {
		return skip("no downloads folder was named")
	}
	return e.machine.withTemp(e.Downloads, func(f *os.File) finding {
		is, err := e.machine.features(f)
		name := e.Downloads
		if is.name != "" {
			name += " is " + is.name + ", which"
		}
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			return skip("not looked at on this system")
		case err != nil:
			return finding{Fail, err.Error(), "see whether the disk is failing: dmesg"}
		case is.small:
			return finding{Warn, name + " holds no file larger than 4 GiB", "set folders.downloads to a folder on another file system"}
		case !is.sparse:
			return finding{Warn, name + " has no holes in files: every file takes its whole size as soon as its end is written", "set folders.downloads to a folder on another file system, such as ext4, XFS or Btrfs"}
		case !is.reserves:
			return ok("%s has holes in files, and cannot reserve space: disk.preallocate does nothing", name)
		}
		return ok("%s has holes in files and reserves space", name)
	})
}

// clock compares the clock with the files that it wrote, and those with the file system's own.
func clock(_ context.Context, e *Environment) finding {
	const remedy = "timedatectl set-ntp true"
	now := e.machine.now()
	if now.Year() < 2026 || now.Year() > 2100 {
		return finding{Fail, "it says " + now.Format(time.DateOnly) + ": certificates are taken for invalid, and times are wrong", remedy}
	}
	if newest, name := newestFile(e.State); newest.Sub(now) > time.Hour {
		return finding{Warn, fmt.Sprintf("%s was written on %s, which is yet to come: the clock was or is wrong", name, newest.Format(time.DateTime)), remedy}
	}
	if e.Downloads == "" {
		return ok("it says %s", now.Format(time.DateTime))
	}
	return e.machine.withTemp(e.Downloads, func(f *os.File) finding {
		fi, err := f.Stat()
		if err != nil {
			return finding{Fail, err.Error(), "see whether the disk is failing: dmesg"}
		}
		if off := fi.ModTime().Sub(e.machine.now()); off.Abs() > time.Minute {
			return finding{Warn, fmt.Sprintf("the file system of %s is %s off", e.Downloads, off.Round(time.Second)), remedy + ", here and on the file server"}
		}
		return ok("it says %s", now.Format(time.DateTime))
	})
}

// newestFile returns the latest time of a file in a folder, of the first thousand.
func newestFile(dir string) (newest time.Time, name string) {
	if dir == "" {
		return
	}
	d, err := os.Open(dir)
	if err != nil {
		return
	}
	defer d.Close()
	entries, _ := d.ReadDir(1000)
	for _, entry := range entries {
		if fi, err := entry.Info(); err == nil && fi.ModTime().After(newest) {
			newest, name = fi.ModTime(), filepath.Join(dir, entry.Name())
		}
	}
	return newest, name
}

// nearest returns a folder, or the nearest one above that is there.
func nearest(dir string) string {
	for {
		_, err := os.Stat(dir)
		up := filepath.Dir(dir)
		if !errors.Is(err, fs.ErrNotExist) || up == dir {
			return dir
		}
		dir = up
	}
}

func single(_ context.Context, e *Environment) finding {
	switch {
	case e.Running:
		return ok("this node is the one on %s", e.State)
	case e.State == "":
		return skip("no state folder was named")
	}
	if _, err := os.Stat(e.State); errors.Is(err, fs.ErrNotExist) {
		return ok("no node has been here: %s is not there yet", e.State)
	}
	lock, err := database.Lock(e.State)
	switch {
	case errors.Is(err, database.ErrLocked):
		return finding{Warn, err.Error(), "shoal doctor without --offline asks that node; to run a second one, give it --home DIR of its own"}
	case err != nil:
		return finding{Fail, err.Error(), "chown or chmod " + e.State + " so that shoal may write to it"}
	}
	lock.Close()
	return ok("no node runs on %s", e.State)
}
