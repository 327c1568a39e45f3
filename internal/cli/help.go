package cli

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"shoal/internal/config"
)

// Groups of verbs in help.
const (
	groupShare = "share"
	groupNode  = "node"
	groupTools = "tools"
)

// Widths of help, in columns.
const (
	usualWidth    = 80 // where nobody knows the terminal's
	greatestWidth = 110
)

// group adds verbs under a title.
func group(root *cobra.Command, id, title string, verbs ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: id, Title: title})
	for _, v := range verbs {
		v.GroupID = id
	}
	root.AddCommand(verbs...)
}

// helps has help and usage printed by us, for a verb and those below it.
func (a *app) helps(c *cobra.Command) {
	c.SetHelpFunc(func(c *cobra.Command, _ []string) { a.help(c) })
	c.SetUsageFunc(func(c *cobra.Command) error {
		_, err := io.WriteString(c.OutOrStderr(), a.usage(c, a.width()))
		return err
	})
}

// width returns how wide help may be.
func (a *app) width() int {
	if f, ok := a.out.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			return min(w, greatestWidth)
		}
	}
	return usualWidth
}

// help prints what a verb is for. Examples come first: most people want to copy one.
func (a *app) help(c *cobra.Command) {
	width := a.width()
	text := c.Long
	if text == "" {
		text = c.Short
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", wrap(text, width))
	if c.HasExample() {
		fmt.Fprintf(&b, "Examples:\n%s\n\n", c.Example)
	}
	b.WriteString(a.usage(c, width))
	fmt.Fprint(c.OutOrStdout(), b.String())
}

// usage returns how a verb is used: its verbs and its flags.
func (a *app) usage(c *cobra.Command, width int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage:\n  %s\n", c.UseLine())
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "  %s VERB --help\n", c.CommandPath())
		verbs(&b, c)
	}
	const own = "Flags"
	names := []string{own}
	sets := map[string]*pflag.FlagSet{own: pflag.NewFlagSet(own, pflag.ContinueOnError)}
	sets[own].SortFlags = c.LocalFlags().SortFlags
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		title := own
		if g := f.Annotations[config.FlagGroup]; len(g) > 0 {
			title = g[0]
		}
		if sets[title] == nil {
			names = append(names, title)
			sets[title] = pflag.NewFlagSet(title, pflag.ContinueOnError)
			sets[title].SortFlags = false
		}
		sets[title].AddFlag(f)
	})
	for _, title := range names {
		flags(&b, title, sets[title], width)
	}
	flags(&b, "Flags of every verb", c.InheritedFlags(), width)
	return b.String()
}

// verbs lists the verbs below one, by group.
func verbs(b *strings.Builder, c *cobra.Command) {
	list := func(title, id string) {
		begun := false
		for _, v := range c.Commands() {
			if v.GroupID != id || !v.IsAvailableCommand() {
				continue
			}
			if !begun {
				fmt.Fprintf(b, "\n%s:\n", title)
				begun = true
			}
			fmt.Fprintf(b, "  %-*s  %s\n", v.NamePadding(), v.Name(), v.Short)
		}
	}
	for _, g := range c.Groups() {
		list(g.Title, g.ID)
	}
	list("Verbs", "")
}

// leastText is how many columns are left to the text of flags; where the names leave less, it stands below them.
const leastText = 40

// kinds are what values of flags are called in help, by what pflag calls them.
var kinds = map[string]string{"string": "TEXT", "stringArray": "TEXT", "strings": "TEXT", "int": "N", "uint16": "N", "uint": "N", "float": "N", "duration": "TIME"}

// flags lists flags, each with its text beside it or below.
func flags(b *strings.Builder, title string, set *pflag.FlagSet, width int) {
	if !set.HasAvailableFlags() {
		return
	}
	fmt.Fprintf(b, "\n%s:\n", title)
	column := 0
	each := func(do func(head, text string)) {
		set.VisitAll(func(f *pflag.Flag) {
			if f.Hidden {
				return
			}
			kind, text := pflag.UnquoteUsage(f)
			head := "      --" + f.Name
			if f.Shorthand != "" {
				head = "  -" + f.Shorthand + ", --" + f.Name
			}
			if named := kinds[kind]; named != "" {
				kind = named
			}
			if kind != "" {
				head += " " + kind
			}
			if given := f.DefValue; given != "" && given != "0" && given != "false" && given != "[]" && given != "0s" && !strings.Contains(text, "default") {
				text += " (default " + given + ")"
			}
			do(head, text)
		})
	}
	each(func(head, _ string) {
		if n := len(head) + 2; n <= width-leastText {
			column = max(column, n)
		}
	})
	if column == 0 {
		column = width - leastText
	}
	each(func(head, text string) {
		body := strings.ReplaceAll(wrap(text, width-column), "\n", "\n"+strings.Repeat(" ", column))
		if len(head)+2 > column {
			head += "\n"
			fmt.Fprintf(b, "%s%s%s\n", head, strings.Repeat(" ", column), body)
			return
		}
		fmt.Fprintf(b, "%-*s%s\n", column, head, body)
	})
}

// wrap breaks lines between words. A line that begins with a space, or an empty one, stays as it is.
func wrap(text string, width int) string {
	var out []string
	line := ""
	end := func() {
		if line != "" {
			out = append(out, line)
		}
		line = ""
	}
	for _, l := range strings.Split(text, "\n") {
		if l == "" || l[0] == ' ' {
			end()
			out = append(out, l)
			continue
		}
		for _, word := range strings.Fields(l) {
			if line != "" && len(line)+1+len(word) > width {
				end()
			}
			if line != "" {
				line += " "
			}
			line += word
		}
	}
	end()
	return strings.Join(out, "\n")
}
