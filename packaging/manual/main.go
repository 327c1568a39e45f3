// Command manual writes the manual pages and the completion scripts, made from the verbs as they are, into a folder for packages:
// man/*.1, and completions/ for bash, zsh, fish and PowerShell.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"shoal/internal/cli"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: manual DIR")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "manual:", err)
		os.Exit(1)
	}
}

// write writes all. The date of the pages is $SOURCE_DATE_EPOCH's, so that the same source gives the same pages.
func write(dir string) error {
	man, completions := filepath.Join(dir, "man"), filepath.Join(dir, "completions")
	if err := errors.Join(os.MkdirAll(man, 0o755), os.MkdirAll(completions, 0o755)); err != nil {
		return err
	}
	epoch, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH=%q is no Unix time: git log -1 --format=%%ct", os.Getenv("SOURCE_DATE_EPOCH"))
	}
	date := time.Unix(epoch, 0).UTC()
	root := cli.Root()
	plain(root)
	if err := doc.GenManTree(root, &doc.GenManHeader{Section: "1", Date: &date, Source: "shoal", Manual: "shoal"}, man); err != nil {
		return err
	}
	return errors.Join(
		root.GenBashCompletionFileV2(filepath.Join(completions, "shoal.bash"), true),
		root.GenZshCompletionFile(filepath.Join(completions, "_shoal")),
		root.GenFishCompletionFile(filepath.Join(completions, "shoal.fish"), true),
		root.GenPowerShellCompletionFileWithDesc(filepath.Join(completions, "shoal.ps1")),
	)
}

// plain leaves out the line that says that the pages were made by a program.
func plain(c *cobra.Command) {
	c.DisableAutoGenTag = true
	for _, verb := range c.Commands() {
		plain(verb)
	}
}
