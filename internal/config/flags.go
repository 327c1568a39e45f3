package config

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// flagName returns a setting's flag, and whether that turns it off. A secret's names the file that holds it: what is in a command line
// all users of a machine can read.
func (s *setting) flagName() (name string, inverted bool) {
	name = s.flag
	if name == "" {
		name = strings.NewReplacer(".", "-", "_", "-").Replace(s.key)
	}
	if s.kind == Secret {
		name += "-file"
	}
	return name, s.kind == Bool && strings.HasPrefix(name, "no-")
}

// flagValue is a flag of a setting. It keeps what was written; Load looks at it.
type flagValue struct {
	setting *setting
	raw     any
}

func (f *flagValue) String() string {
	if f.raw == nil {
		return ""
	}
	return fmt.Sprint(f.raw)
}

func (f *flagValue) Type() string {
	switch f.setting.kind {
	case Bool:
		return "bool"
	case Secret:
		return "FILE"
	case Enum:
		return strings.Join(f.setting.choices, "|")
	case PathList:
		return "PATH"
	case List, Text:
		return "TEXT"
	case Int, Number:
		return "N"
	}
	return strings.ToUpper(string(f.setting.kind))
}

func (f *flagValue) Set(text string) error {
	if k := f.setting.kind; k == List || k == PathList {
		list, _ := f.raw.([]any)
		more, err := parseList(text)
		if err != nil {
			return err
		}
		for _, s := range more.([]string) {
			list = append(list, s)
		}
		f.raw = list
		return nil
	}
	f.raw = text
	return nil
}

// IsBoolFlag lets --flag stand for --flag=true.
func (f *flagValue) IsBoolFlag() bool { return f.setting.kind == Bool }

// FlagGroup is the annotation of a setting's flag that names the settings it stands among.
const FlagGroup = "group"

// AddFlags adds a flag for each setting, in the order of the table.
func AddFlags(fs *pflag.FlagSet) {
	fs.SortFlags = false
	titles := map[string]string{}
	for _, g := range groups {
		titles[g.name] = g.title
	}
	for i := range table {
		s := &table[i]
		name, inverted := s.flagName()
		text := strings.ToLower(s.text[:1]) + strings.TrimSuffix(s.text[1:], ".")
		switch {
		case strings.HasPrefix(s.text, "TLS") || strings.HasPrefix(s.text, "DHT"):
			text = strings.TrimSuffix(s.text, ".")
		case inverted:
			text = "do not: " + text
		case s.kind == Secret:
			text = "file that holds the " + text
		}
		f := fs.VarPF(&flagValue{setting: s}, name, "", text)
		if s.kind == Bool {
			f.NoOptDefVal = "true"
		}
		table, _, _ := strings.Cut(s.key, ".")
		f.Annotations = map[string][]string{FlagGroup: {titles[table]}}
	}
}

// fromFlags returns what flags say.
func fromFlags(fs *pflag.FlagSet) (list []assignment, problems []error) {
	if fs == nil {
		return nil, nil
	}
	fs.Visit(func(f *pflag.Flag) {
		v, ok := f.Value.(*flagValue)
		if !ok {
			return // the verb's own
		}
		a := assignment{setting: v.setting, raw: v.raw, fromFile: v.setting.kind == Secret, origin: origin{SourceFlag, "--" + f.Name}}
		if _, inverted := v.setting.flagName(); inverted {
			b, err := parseBool(v.raw)
			if err != nil {
				problems = append(problems, fmt.Errorf("%s: %w", a.place, err))
				return
			}
			a.raw = !b.(bool)
		}
		list = append(list, a)
	})
	return list, problems
}
