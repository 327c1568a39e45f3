package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Setting is a setting as the API shows it. A secret's value is what may be shown of it, which may be nothing.
type Setting struct {
	Key     string   `json:"key"`
	Title   string   `json:"title"`
	Text    string   `json:"text"`
	Group   string   `json:"group"`
	Type    Kind     `json:"type"`
	Unit    string   `json:"unit"`
	Default any      `json:"default"`
	Value   any      `json:"value"`
	Source  Source   `json:"source"`
	Place   string   `json:"place"`   // file and line, variable or flag
	Locked  bool     `json:"locked"`  // it cannot be changed through the API: something stronger sets it, or it is for the file, the environment and flags only
	Restart bool     `json:"restart"` // a change takes effect when the node starts again
	Choices []string `json:"choices"`
}

// Settings lists every setting and its value.
func (l *Loaded) Settings() []Setting {
	list := make([]Setting, len(table))
	for i := range table {
		s := &table[i]
		o := l.origins[s.key]
		def, err := l.value(s.byDefault(l.Paths))
		if err != nil {
			panic(err) // the tests have every default
		}
		groupName, _, _ := strings.Cut(s.key, ".")
		list[i] = Setting{
			Key: s.key, Title: s.title, Text: s.text, Group: groupName, Type: s.kind, Unit: s.kind.unit(), Default: s.shown(def), Value: s.shown(read(s.field(&l.Config))),
			Source: o.source, Place: o.place, Locked: s.fixed || o.source == SourceFile || o.source == SourceEnv || o.source == SourceFlag,
			Restart: s.restart, Choices: s.choices,
		}
		if list[i].Choices == nil {
			list[i].Choices = []string{}
		}
	}
	return list
}

// shown returns a value as JSON has it, without what is secret.
func (s *setting) shown(v any) any {
	text, isText := v.(string)
	switch {
	case isText && s.secret && s.show == nil:
		return ""
	case isText && s.secret:
		return s.show(text)
	case isText && s.off && text == "":
		return "off"
	}
	return plain(v)
}

// Written returns the value as it may stand in the file.
func (s Setting) Written() string {
	k := s.Type
	v, err := k.parse(s.Value)
	if list, ok := s.Value.([]string); ok {
		v, err = list, nil
	}
	switch {
	case k == Secret:
		return "(not shown)"
	case err != nil:
		return fmt.Sprint(s.Value)
	}
	return k.toml(v)
}

// ErrLocked is returned for a setting that cannot be changed through the API.
var ErrLocked = errors.New("it cannot be changed here")

// Check looks at a value that is to be saved, and returns it as it should be. errors.Is(err, ErrLocked) holds where something else sets it.
func (l *Loaded) Check(key string, value json.RawMessage) (json.RawMessage, error) {
	s := byKey[key]
	if s == nil {
		return nil, fmt.Errorf("unknown setting %s%s", key, didYouMean(key, fileKeys()))
	}
	switch o := l.origins[key]; {
	case o.source == SourceFile || o.source == SourceEnv || o.source == SourceFlag:
		return nil, fmt.Errorf("%s: %w: %s sets it", key, ErrLocked, o.place)
	case s.fixed:
		return nil, fmt.Errorf("%s: %w: set it in %s or by %s", key, ErrLocked, l.File, s.variable())
	}
	var raw any
	if err := json.Unmarshal(value, &raw); err != nil {
		return nil, fmt.Errorf("%s: not JSON: %w", key, err)
	}
	v, err := l.value(assignment{setting: s, raw: raw})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	if s.off && v == "" {
		v = "off"
	}
	return json.Marshal(plain(v))
}

// Change is a setting that differs between two configurations.
type Change struct {
	Key     string
	Restart bool // it takes effect when the node starts again
}

// Diff returns what differs, in the order of the settings.
func Diff(before, after *Config) (changes []Change) {
	for i := range table {
		s := &table[i]
		if !reflect.DeepEqual(read(s.field(before)), read(s.field(after))) {
			changes = append(changes, Change{s.key, s.restart})
		}
	}
	return changes
}
