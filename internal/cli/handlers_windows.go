package cli

import (
	"errors"

	"golang.org/x/sys/windows/registry"
)

// handlersNote ends what is said after the installation.
const handlersNote = ", once it is chosen in Settings, Apps, Default apps: Windows lets no program choose for you"

// What we register below HKEY_CURRENT_USER, so that Windows offers us as a default for links and files. Nothing of others is touched.
const (
	capabilities = `Software\shoal\Capabilities`
	classes      = `Software\Classes\`
	registered   = `Software\RegisteredApplications`
	magnetClass  = "shoal.magnet"
	torrentClass = "shoal.torrent"
)

func addHandlers(program string) error {
	command := `"` + program + `" add --open "%1"`
	return errors.Join(
		setKey(capabilities, map[string]string{"ApplicationName": "shoal", "ApplicationDescription": "Share, fetch and seed files with no centre"}),
		setKey(capabilities+`\URLAssociations`, map[string]string{"magnet": magnetClass}),
		setKey(capabilities+`\FileAssociations`, map[string]string{".torrent": torrentClass}),
		setKey(classes+magnetClass, map[string]string{"": "Magnet link", "URL Protocol": ""}),
		setKey(classes+magnetClass+`\shell\open\command`, map[string]string{"": command}),
		setKey(classes+torrentClass, map[string]string{"": "Torrent"}),
		setKey(classes+torrentClass+`\shell\open\command`, map[string]string{"": command}),
		setKey(registered, map[string]string{"shoal": capabilities}),
	)
}

func setKey(path string, values map[string]string) error {
	k, _, err := registry.CreateKey(registry.CURRENT_USER, path, registry.SET_VALUE)
	if err != nil {
		return err
	}
	defer k.Close()
	for name, value := range values {
		if err := k.SetStringValue(name, value); err != nil {
			return err
		}
	}
	return nil
}

func removeHandlers() error {
	var problems []error
	for _, class := range []string{magnetClass, torrentClass} {
		for _, below := range []string{`\shell\open\command`, `\shell\open`, `\shell`, ""} {
			problems = append(problems, absent(registry.DeleteKey(registry.CURRENT_USER, classes+class+below)))
		}
	}
	for _, path := range []string{capabilities + `\URLAssociations`, capabilities + `\FileAssociations`, capabilities} {
		problems = append(problems, absent(registry.DeleteKey(registry.CURRENT_USER, path)))
	}
	if k, err := registry.OpenKey(registry.CURRENT_USER, registered, registry.SET_VALUE); err == nil {
		problems = append(problems, absent(k.DeleteValue("shoal")), k.Close())
	}
	return errors.Join(problems...)
}

// absent makes nothing of it that there is nothing to delete.
func absent(err error) error {
	if errors.Is(err, registry.ErrNotExist) {
		return nil
	}
	return err
}
