package cli

import (
	"path/filepath"
	"slices"
	"testing"
)

// The system's node is talked to only by who names no other.
func TestSockets(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_RUNTIME_DIR", filepath.Join(home, "run"))
	for _, c := range []struct {
		name   string
		r      remote
		env    [2]string
		system bool
	}{
		{"nothing named", remote{}, [2]string{}, true},
		{"--home", remote{placeFlags: placeFlags{home: home}}, [2]string{}, false},
		{"$SHOAL_HOME", remote{}, [2]string{"SHOAL_HOME", home}, false},
		{"$SHOAL_API_SOCKET", remote{}, [2]string{"SHOAL_API_SOCKET", filepath.Join(home, "sock")}, false},
		{"no socket of one's own", remote{}, [2]string{"SHOAL_API_SOCKET", "off"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.env[0] != "" {
				t.Setenv(c.env[0], c.env[1])
			}
			list, err := c.r.sockets()
			if err != nil || slices.Contains(list, systemSocket) != c.system || len(list) > 0 && list[0] == systemSocket {
				t.Errorf("%q, %v", list, err)
			}
		})
	}
}

// Words go on the next line where they do not fit, and what was laid out by hand stays.
func TestWrap(t *testing.T) {
	for _, c := range [][2]string{
		{"", ""},
		{"one two three", "one two\nthree"},
		{"a-word-that-is-too-long b", "a-word-that-is-too-long\nb"},
		{"one\ntwo\n\n  as it is, however long\nthree", "one two\n\n  as it is, however long\nthree"},
	} {
		if got := wrap(c[0], 8); got != c[1] {
			t.Errorf("%q became %q, not %q", c[0], got, c[1])
		}
	}
}
