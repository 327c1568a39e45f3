package config

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Paths are where the node's things lie if no setting says otherwise.
type Paths struct {
	Home      string // of --home: everything is below it; empty: the customary places
	Config    string // the file of settings
	State     string // the database, and below it "torrents"
	Cache     string
	Socket    string // of the API; empty: there is no place for it
	Downloads string
}

// Torrents is the folder of metadata and resume journals of those who have no settings.
func (p Paths) Torrents() string { return torrents(p.State) }

func torrents(state string) string {
	if state == "" {
		return ""
	}
	return filepath.Join(state, "torrents")
}

// FindPaths returns the places of a user, or those below home if that is not empty. environ is the environment, as os.Environ returns it.
//
// On Linux and other Unix systems they follow the XDG Base Directory Specification 0.8. On macOS and Windows all is where programs keep
// their own files, ~/Library/Application Support and %AppData%.
func FindPaths(home string, environ []string) (Paths, error) {
	if home != "" {
		home, err := filepath.Abs(home)
		if err != nil {
			return Paths{}, err
		}
		return Paths{
			Home: home, Config: filepath.Join(home, "config.toml"), State: filepath.Join(home, "state"), Cache: filepath.Join(home, "cache"),
			Socket: filepath.Join(home, "run", "api.sock"), Downloads: filepath.Join(home, "downloads"),
		}, nil
	}
	env := environment(environ)
	var p Paths
	var user string
	switch runtime.GOOS {
	case "windows":
		p, user = windowsPaths(env)
	case "darwin":
		p, user = darwinPaths(env)
	default:
		p, user = xdgPaths(env)
	}
	if p.Config == "" {
		return p, errors.New("the environment names no home folder; say where the node's files are with --home DIR")
	}
	if p.Downloads == "" && user != "" {
		p.Downloads = filepath.Join(user, "Downloads")
	}
	return p, nil
}

func xdgPaths(env map[string]string) (Paths, string) {
	user := absolute(env["HOME"])
	dir := func(name string, below ...string) string {
		if d := absolute(env[name]); d != "" {
			return filepath.Join(d, "shoal")
		}
		if user == "" {
			return ""
		}
		return filepath.Join(append(append([]string{user}, below...), "shoal")...)
	}
	var p Paths
	if d := dir("XDG_CONFIG_HOME", ".config"); d != "" {
		p.Config = filepath.Join(d, "config.toml")
		p.Downloads = userDir(filepath.Join(filepath.Dir(d), "user-dirs.dirs"), "XDG_DOWNLOAD_DIR", user)
	}
	p.State = dir("XDG_STATE_HOME", ".local", "state")
	p.Cache = dir("XDG_CACHE_HOME", ".cache")
	if d := absolute(env["XDG_RUNTIME_DIR"]); d != "" {
		p.Socket = filepath.Join(d, "shoal", "api.sock")
	} else if p.State != "" {
		p.Socket = filepath.Join(p.State, "api.sock") // as private, and there after a login has ended
	}
	if d := absolute(env["XDG_DOWNLOAD_DIR"]); d != "" {
		p.Downloads = d
	}
	return p, user
}

func darwinPaths(env map[string]string) (Paths, string) {
	user := absolute(env["HOME"])
	if user == "" {
		return Paths{}, ""
	}
	own := filepath.Join(user, "Library", "Application Support", "shoal")
	return Paths{
		Config: filepath.Join(own, "config.toml"), State: own, Cache: filepath.Join(user, "Library", "Caches", "shoal"), Socket: filepath.Join(own, "api.sock"),
	}, user
}

func windowsPaths(env map[string]string) (Paths, string) {
	roaming, local := absolute(env["APPDATA"]), absolute(env["LOCALAPPDATA"])
	if roaming == "" {
		return Paths{}, ""
	}
	if local == "" {
		local = roaming
	}
	own := filepath.Join(roaming, "shoal")
	return Paths{
		Config: filepath.Join(own, "config.toml"), State: own, Cache: filepath.Join(local, "shoal", "cache"), Socket: filepath.Join(local, "shoal", "api.sock"),
	}, absolute(env["USERPROFILE"])
}

// absolute returns a path that the environment names, or nothing: the XDG specification has relative ones ignored.
func absolute(path string) string {
	if !filepath.IsAbs(path) {
		return ""
	}
	return filepath.Clean(path)
}

// userDir reads one folder of xdg-user-dirs' file, in which a value is "$HOME/path" or an absolute path.
func userDir(file, name, home string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for n := 0; n < 1000 && lines.Scan(); n++ {
		value, ok := strings.CutPrefix(strings.TrimSpace(lines.Text()), name+"=")
		if !ok {
			continue
		}
		value = strings.Trim(value, `"`)
		if rest, ok := strings.CutPrefix(value, "$HOME"); ok && home != "" {
			value = home + rest
		}
		if dir := absolute(value); dir != home {
			return dir
		}
	}
	return ""
}

// environment makes a map of what os.Environ returns. Of names that are there twice the last counts, as it does for programs that are started.
func environment(environ []string) map[string]string {
	env := map[string]string{}
	for _, e := range environ {
		if name, value, ok := strings.Cut(e, "="); ok {
			if runtime.GOOS == "windows" {
				name = strings.ToUpper(name)
			}
			env[name] = value
		}
	}
	return env
}
