package config

import (
	"fmt"
	"strings"
)

// exampleIntro begins the example file.
const exampleIntro = `# shoal's settings, each with its default. Take away the # before a key to change it. Sizes and rates may have units: 500k, 16MiB, 2GB;
# durations too: 90s, 30m, 12h, 7d. "shoal config check" finds mistakes, "shoal config show" tells what is in force and why.
#
# A setting can also be given in the environment (SHOAL_BANDWIDTH_DOWN for bandwidth.down) or by a flag, which win over this file. What this
# file sets cannot be changed in the web UI.
`

// examplePaths stand in the example for the places that depend on the user.
var examplePaths = Paths{Downloads: "~/Downloads", State: "~/.local/state/shoal", Socket: "/run/user/1000/shoal/api.sock"}

// Example returns a file of settings that says all there is, in comments.
func Example() string {
	var b strings.Builder
	b.WriteString(exampleIntro)
	for _, g := range groups {
		fmt.Fprintf(&b, "\n[%s] # %s\n", g.name, g.title)
		for i := range table {
			if s := &table[i]; strings.HasPrefix(s.key, g.name+".") {
				s.example(&b)
			}
		}
	}
	return b.String()
}

func (s *setting) example(b *strings.Builder) {
	text := s.text
	if s.kind == Enum {
		text += " One of " + strings.Join(s.choices, ", ") + "."
	}
	for _, line := range wrap(text, 138) {
		fmt.Fprintf(b, "\n# %s", line)
	}
	_, name, _ := strings.Cut(s.key, ".")
	v, err := s.kind.parse(s.byDefault(examplePaths).raw)
	if err != nil {
		panic(err) // the tests have every default
	}
	fmt.Fprintf(b, "\n# %s = %s\n", name, s.kind.toml(v))
	if s.secret {
		fmt.Fprintf(b, "# %s_file = %s\n", name, quote("/run/secrets/shoal_"+name))
	}
}

// wrap breaks a text into lines of so many letters at most.
func wrap(text string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
