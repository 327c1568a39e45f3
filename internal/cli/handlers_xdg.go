//go:build unix && !darwin

package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// handlersNote ends what is said after the installation.
const handlersNote = ""

// desktopEntry is the name of our desktop entry (Desktop Entry Specification 1.5).
const desktopEntry = "shoal.desktop"

// opened are the types that we open.
var opened = []string{"x-scheme-handler/magnet", "application/x-bittorrent"}

// xdgDir is a base folder of the XDG specification.
func xdgDir(variable string, below ...string) (string, error) {
	if d := os.Getenv(variable); filepath.IsAbs(d) {
		return d, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(append([]string{home}, below...)...), nil
}

// entryText is the desktop entry of a program.
func entryText(program string) string {
	return `[Desktop Entry]
Type=Application
Name=shoal
GenericName=File sharing
Comment=Share, fetch and seed files with no centre
Exec=` + execQuote(program) + ` add --open %U
Terminal=false
NoDisplay=true
Categories=Network;FileTransfer;P2P;
MimeType=` + strings.Join(opened, ";") + `;
`
}

// execQuote writes a path as an argument of Exec: in quotation marks, what is special escaped, and then the backslashes of that as of any
// value of the file, and % as a field code.
func execQuote(path string) string {
	path = strings.NewReplacer(`\`, `\\\\`, `"`, `\\"`, "`", "\\\\`", "$", `\\$`, "%", "%%").Replace(path)
	return `"` + path + `"`
}

func addHandlers(program string) error {
	if strings.ContainsAny(program, "\n\r\x00=") {
		return fmt.Errorf("%q cannot be in a desktop entry: move the program to a folder without = and line breaks", program)
	}
	apps, err := xdgDir("XDG_DATA_HOME", ".local", "share")
	if err != nil {
		return err
	}
	apps = filepath.Join(apps, "applications")
	if err := os.MkdirAll(apps, 0o755); err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(apps, desktopEntry), []byte(entryText(program)), 0o644); err != nil {
		return err
	}
	refresh(apps)
	return editMimeApps(func(lines []string) []string {
		for _, mime := range opened {
			lines = preferUs(lines, "Default Applications", mime)
			lines = preferUs(lines, "Added Associations", mime)
		}
		return lines
	})
}

func removeHandlers() error {
	apps, err := xdgDir("XDG_DATA_HOME", ".local", "share")
	if err != nil {
		return err
	}
	apps = filepath.Join(apps, "applications")
	if err := os.Remove(filepath.Join(apps, desktopEntry)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	refresh(apps)
	return editMimeApps(func(lines []string) []string { return dropUs(lines) })
}

// refresh has the desktop's cache of entries made anew, where there is the program for it; desktops that look at the files themselves
// need it not.
func refresh(apps string) {
	if tool, err := exec.LookPath("update-desktop-database"); err == nil {
		_ = exec.Command(tool, apps).Run()
	}
}

// maxMimeApps bounds mimeapps.list, in bytes.
const maxMimeApps = 1 << 20

// editMimeApps changes the user's mimeapps.list (MIME Applications Associations Specification 1.0.1).
func editMimeApps(edit func([]string) []string) error {
	dir, err := xdgDir("XDG_CONFIG_HOME", ".config")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "mimeapps.list")
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // it is kept where its owner keeps it
	}
	var before []byte
	f, err := os.Open(path)
	if err == nil {
		before, err = io.ReadAll(io.LimitReader(f, maxMimeApps+1))
		f.Close()
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(before) > maxMimeApps {
		return fmt.Errorf("%s has more than %d bytes", path, maxMimeApps)
	}
	var lines []string
	if text := strings.TrimSuffix(string(before), "\n"); text != "" {
		lines = strings.Split(text, "\n")
	}
	after := edit(slices.Clone(lines))
	if slices.Equal(lines, after) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return replaceFile(path, []byte(strings.Join(after, "\n")+"\n"), 0o644)
}

// replaceFile writes a file whole or not at all.
func replaceFile(path string, b []byte, mode fs.FileMode) error {
	if fi, err := os.Stat(path); err == nil {
		mode = fi.Mode().Perm()
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(b)
	err = errors.Join(err, tmp.Chmod(mode), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}

// preferUs puts our entry first among those of a type in a group of mimeapps.list. All else stays as it is.
func preferUs(lines []string, group, mime string) []string {
	in, end := false, -1 // end is where the group's next key would go
	for i, line := range lines {
		text := strings.TrimSpace(line)
		if strings.HasPrefix(text, "[") {
			in = text == "["+group+"]"
		}
		if in && text != "" {
			end = i + 1
		}
		key, value, ok := strings.Cut(text, "=")
		if in && ok && strings.TrimSpace(key) == mime {
			lines[i] = mime + "=" + strings.Join(append([]string{desktopEntry}, others(value)...), ";") + ";"
			return lines
		}
	}
	line := mime + "=" + desktopEntry + ";"
	if end >= 0 {
		return slices.Insert(lines, end, line)
	}
	if len(lines) > 0 {
		lines = append(lines, "")
	}
	return append(lines, "["+group+"]", line)
}

// dropUs takes our entry out of every list; a key of which nothing is left goes.
func dropUs(lines []string) []string {
	var kept []string
	for _, line := range lines {
		key, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(strings.TrimSpace(line), "#") || !slices.Contains(strings.Split(value, ";"), desktopEntry) {
			kept = append(kept, line)
		} else if rest := others(value); len(rest) > 0 {
			kept = append(kept, key+"="+strings.Join(rest, ";")+";")
		}
	}
	return kept
}

// others returns the applications of a list but ours.
func others(list string) (rest []string) {
	for _, a := range strings.Split(list, ";") {
		if a = strings.TrimSpace(a); a != "" && a != desktopEntry {
			rest = append(rest, a)
		}
	}
	return rest
}
