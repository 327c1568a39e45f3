package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shoal/internal/cli"
)

// Every verb has its page with examples, every shell its script, and the same source gives the same bytes.
func TestWrite(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	first, second := t.TempDir(), t.TempDir()
	for _, dir := range []string{first, second} {
		if err := write(dir); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"completions/shoal.bash", "completions/_shoal", "completions/shoal.fish", "completions/shoal.ps1", "man/shoal.1"} {
		a, err := os.ReadFile(filepath.Join(first, name))
		b, again := os.ReadFile(filepath.Join(second, name))
		if err != nil || again != nil || len(a) < 1000 || !bytes.Equal(a, b) {
			t.Errorf("%s: %v %v, %d bytes", name, err, again, len(a))
		}
	}
	for _, c := range cli.Root().Commands() {
		if !c.IsAvailableCommand() {
			continue
		}
		b, err := os.ReadFile(filepath.Join(first, "man", "shoal-"+c.Name()+".1"))
		if err != nil || !strings.Contains(string(b), "Nov 2023") || c.HasExample() && !strings.Contains(string(b), ".SH EXAMPLE") {
			t.Errorf("%s: %v", c.Name(), err)
		}
	}
	t.Setenv("SOURCE_DATE_EPOCH", "")
	if err := write(t.TempDir()); err == nil || !strings.Contains(err.Error(), "SOURCE_DATE_EPOCH") {
		t.Error(err)
	}
}
