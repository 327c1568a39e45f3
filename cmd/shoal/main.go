// Command shoal shares, fetches and seeds content with no centre.
package main

import (
	"os"

	"shoal/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
