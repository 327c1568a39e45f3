package cli

import (
	"errors"
)

const handlersNote = ""

// errBundle says what macOS wants.
var errBundle = errors.New(`macOS opens links with applications in a bundle only, which a single program is not: in Script Editor, save "on open location this_URL" with ` +
	`do shell script "/usr/local/bin/shoal add --open " & quoted form of this_URL as an application, and choose that for magnet links`)

func addHandlers(string) error { return errBundle }

func removeHandlers() error {
	return errors.New("nothing is installed: on macOS, remove the application that opens magnet links")
}
