package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// Source is where a value comes from.
type Source string

// The sources, the weakest first.
const (
	SourceDefault Source = "default"
	SourceSaved   Source = "saved" // through the API
	SourceFile    Source = "file"
	SourceEnv     Source = "env"
	SourceFlag    Source = "flag"
)

// Options are what Load reads.
type Options struct {
	Home    string         // of --home; empty: $SHOAL_HOME, or the customary places
	File    string         // of --config; empty: $SHOAL_CONFIG, or the customary file, which need not be there
	Environ []string       // as os.Environ returns it
	Flags   *pflag.FlagSet // those of AddFlags that were given; nil: none
	Saved   Saved          // by Check
}

// Saved are the values that were saved through the API, by key. Load passes over what it does not understand, for it may be of another
// version, and says so in Notices.
type Saved map[string]json.RawMessage

// Loaded are the settings in force.
type Loaded struct {
	Config  Config
	Paths   Paths
	File    string   // of settings, whether it is there or not
	Notices []string // what a person should know

	options Options
	origins map[string]origin
}

// origin is where a value was found.
type origin struct {
	source Source
	place  string // for people
}

// assignment is a value for a setting, before it was looked at.
type assignment struct {
	setting  *setting
	raw      any
	fromFile bool   // raw is the path of a file that holds the value
	base     string // folder that relative paths are in
	origin
}

// byKey finds a setting.
var byKey = func() map[string]*setting {
	m := map[string]*setting{}
	for i := range table {
		m[table[i].key] = &table[i]
	}
	return m
}()

// Load reads all that is set. The error names every problem, each with its key, place and remedy, one a line.
func Load(o Options) (*Loaded, error) {
	l, problems := load(o)
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return l, nil
}

// With returns the settings as they would be with these saved values in place of those that there are. Unlike Load it refuses a saved
// value that is wrong, by itself or beside the others.
func (l *Loaded) With(saved Saved) (*Loaded, error) {
	var problems []error
	for _, key := range slices.Sorted(maps.Keys(saved)) {
		if _, err := l.Check(key, saved[key]); err != nil {
			problems = append(problems, err)
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	o := l.options
	o.Saved = saved
	return Load(o)
}

func load(o Options) (*Loaded, []error) {
	env := environment(o.Environ)
	if o.Home == "" {
		o.Home = env["SHOAL_HOME"]
	}
	if o.File == "" {
		o.File = env["SHOAL_CONFIG"]
	}
	paths, err := FindPaths(o.Home, o.Environ)
	l := &Loaded{Paths: paths, File: paths.Config, options: o, origins: map[string]origin{}}
	if err != nil && o.File == "" {
		l.Notices = append(l.Notices, err.Error())
	}
	if o.File != "" {
		if l.File, err = filepath.Abs(o.File); err != nil {
			return l, []error{err}
		}
	}
	var problems []error
	for i := range table {
		if err := l.assign(table[i].byDefault(paths)); err != nil {
			problems = append(problems, err)
		}
	}
	l.assignSaved(o.Saved)
	var list []assignment
	if l.File != "" {
		list, problems = appendBoth(list, problems)(fromFile(l.File, o.File != ""))
	}
	list, problems = appendBoth(list, problems)(fromEnvironment(env))
	list, problems = appendBoth(list, problems)(fromFlags(o.Flags))
	for _, a := range list {
		if err := l.assign(a); err != nil {
			problems = append(problems, err)
		}
	}
	if len(problems) == 0 {
		l.Config.together(func(key string, err error) {
			problems = append(problems, fmt.Errorf("%s: %s: %w", l.place(key), key, err))
		})
	}
	return l, problems
}

func appendBoth(list []assignment, problems []error) func([]assignment, []error) ([]assignment, []error) {
	return func(more []assignment, bad []error) ([]assignment, []error) {
		return append(list, more...), append(problems, bad...)
	}
}

// byDefault is a setting's default.
func (s *setting) byDefault(p Paths) assignment {
	text := strings.NewReplacer("{downloads}", p.Downloads, "{state}", p.State, "{socket}", p.Socket).Replace(s.def)
	if text == "" && s.kind != Text && s.kind != Path && s.kind != Secret && s.kind != List && s.kind != PathList {
		panic("no default for " + s.key)
	}
	return assignment{setting: s, raw: text, origin: origin{SourceDefault, "default"}}
}

// assignSaved takes over what was saved, but what is not understood.
func (l *Loaded) assignSaved(saved Saved) {
	for _, key := range slices.Sorted(maps.Keys(saved)) {
		o := origin{SourceSaved, "saved settings"}
		s, raw := byKey[key], any(nil)
		err := json.Unmarshal(saved[key], &raw)
		switch {
		case s == nil || s.fixed:
			err = fmt.Errorf("%s: unknown key %s", o.place, key)
		case err == nil:
			err = l.assign(assignment{setting: s, raw: raw, origin: o})
		}
		if err != nil {
			l.Notices = append(l.Notices, err.Error()+"; it was left out")
		}
	}
}

// assign gives a setting a value, if there is nothing wrong with it.
func (l *Loaded) assign(a assignment) error {
	v, err := l.value(a)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", a.place, a.setting.key, err)
	}
	store(a.setting.field(&l.Config), v)
	l.origins[a.setting.key] = a.origin
	return nil
}

// value looks at what was written.
func (l *Loaded) value(a assignment) (any, error) {
	s, raw := a.setting, a.raw
	if a.fromFile {
		path, err := Path.parse(raw)
		if err == nil {
			path, err = l.absolute(path.(string), a.base)
		}
		if err == nil {
			raw, err = readSecret(path.(string))
		}
		if err != nil {
			return nil, fmt.Errorf("the file that holds it: %w", err)
		}
	}
	v, err := s.kind.parse(raw)
	if err != nil {
		return nil, s.quoted(raw, err)
	}
	if s.off && v == "off" {
		v = ""
	}
	switch s.kind {
	case Path:
		v, err = l.absolute(v.(string), a.base)
	case PathList:
		list := v.([]string)
		for i := range list {
			if list[i], err = l.absolute(list[i], a.base); err != nil {
				break
			}
		}
	}
	if err == nil {
		err = s.validate(v)
	}
	if err != nil {
		return nil, s.quoted(raw, err)
	}
	return v, nil
}

// quoted has an error begin with the value that is wrong, unless that is secret or long.
func (s *setting) quoted(raw any, err error) error {
	if text := fmt.Sprint(raw); !s.secret && len(text) <= 200 {
		return fmt.Errorf("%q is wrong: %w", text, err)
	}
	return err
}

// absolute completes a path: "~/" is the home folder, and what is relative is below base, or the working folder if that is empty.
func (l *Loaded) absolute(path, base string) (string, error) {
	if path == "" {
		return "", nil
	}
	if rest, ok := strings.CutPrefix(path, "~"); ok && (rest == "" || rest[0] == '/') {
		env := environment(l.options.Environ)
		user := env["HOME"]
		if user == "" {
			user = env["USERPROFILE"]
		}
		if user == "" {
			return "", errors.New("~ is no folder here: the environment names no home; write the whole path")
		}
		path = filepath.Join(user, rest)
	}
	if !filepath.IsAbs(path) && base != "" {
		path = filepath.Join(base, path)
	}
	return filepath.Abs(path)
}

// place says where a setting's value was found, for errors.
func (l *Loaded) place(key string) string {
	if o := l.origins[key]; o.place != "" {
		return o.place
	}
	return "default"
}
