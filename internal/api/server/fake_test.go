package server

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"shoal/internal/accounts"
	"shoal/internal/api"
	"shoal/internal/api/apitest"
	"shoal/internal/database"
	"shoal/internal/logring"
)

var (
	fakeListen   = flag.String("fake-listen", "", "serve a node that is made up at this address, until interrupted")
	fakeTorrents = flag.Int("fake-torrents", 20000, "how many torrents it has")
	fakeWeb      = flag.String("fake-web", "", "folder of a built web UI to serve with it")
)

// fakeSettings are a few of each type.
type fakeSettings struct {
	mu   sync.Mutex
	list []api.Setting
}

func newFakeSettings() *fakeSettings {
	row := func(key, title, group, kind, unit, value string) api.Setting {
		return api.Setting{Key: key, Title: title, Text: "What " + strings.ToLower(title) + " is.", Group: group, Type: kind, Unit: unit,
			Default: json.RawMessage(value), Value: json.RawMessage(value), Source: "default"}
	}
	s := &fakeSettings{list: []api.Setting{
		row("download_dir", "Download folder", "Folders", "path", "", `"/srv/downloads"`),
		row("free_floor", "Free space to leave", "Folders", "size", "bytes", `1073741824`),
		row("down_limit", "Download limit", "Speed", "rate", "bytes/s", `0`),
		row("up_limit", "Upload limit", "Speed", "rate", "bytes/s", `0`),
		row("port", "Port", "Network", "int", "", `51413`),
		row("dht", "DHT", "Network", "bool", "", `true`),
		row("encryption", "Encryption", "Network", "choice", "", `"prefer"`),
		row("host_names", "Host names", "Web", "list", "", `[]`),
		row("queue_active", "Torrents at work", "Queue", "int", "", `8`),
	}}
	s.list[4].Source, s.list[4].Locked, s.list[4].Restart = "env", true, true
	s.list[6].Choices = []string{"off", "prefer", "require"}
	return s
}

func (s *fakeSettings) List() []api.Setting {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}

func (s *fakeSettings) Save(m map[string]any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := slices.Clone(s.list)
	for k, v := range m {
		i := slices.IndexFunc(next, func(x api.Setting) bool { return x.Key == k })
		if i < 0 {
			return fmt.Errorf("there is no setting %q", k)
		}
		if next[i].Locked {
			return fmt.Errorf("%s is set by the environment", k)
		}
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		next[i].Value, next[i].Source = b, "saved"
	}
	s.list = next
	return nil
}

// fakeDocuments keep whatever they are given.
type fakeDocuments struct {
	mu   sync.Mutex
	docs map[string]map[string]json.RawMessage
}

func (d *fakeDocuments) List(kind string) ([]json.RawMessage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Values(d.docs[kind])), nil
}

func (d *fakeDocuments) Put(_ context.Context, kind, id string, doc json.RawMessage) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.docs == nil {
		d.docs = map[string]map[string]json.RawMessage{}
	}
	if d.docs[kind] == nil {
		d.docs[kind] = map[string]json.RawMessage{}
	}
	d.docs[kind][id] = doc
	return nil
}

func (d *fakeDocuments) Delete(_ context.Context, kind, id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.docs[kind], id)
	return nil
}

// fakeNode makes a server of made up parts.
func fakeNode(t testing.TB, torrents int, change func(*Config)) (*Server, *apitest.Library) {
	t.Helper()
	db, _, err := database.Open(filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	a, err := accounts.New(db)
	if err != nil {
		t.Fatal(err)
	}
	f := apitest.New(torrents)
	ring := logring.New(1000)
	c := Config{
		Library: f, Accounts: a, Settings: newFakeSettings(), Documents: &fakeDocuments{}, Log: ring, Logger: slog.New(ring.Handler(slog.NewTextHandler(io.Discard, nil))),
		Version: "test", StreamURL: func(id string, i int, p string) string {
			return fmt.Sprintf("/stream/key/%s/%d/%s", id, i, path.Base(p))
		},
		Doctor: func(context.Context) []api.Check {
			return []api.Check{{ID: "clock", Title: "Clock", Level: "ok", Text: "right"}, {ID: "port", Title: "Port", Level: "warning", Text: "no peer has reached it", Remedy: "forward port 51413"}}
		},
	}
	if change != nil {
		change(&c)
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s, f
}

// TestServeFake serves a made up node for work on the web UI, when it is given an address. Its admin is "admin" with the password "admin-admin".
// Without one it looks whether that would work.
func TestServeFake(t *testing.T) {
	n, address := *fakeTorrents, *fakeListen
	if address == "" {
		n, address = 100, "127.0.0.1:0"
	}
	s, f := fakeNode(t, n, func(c *Config) {
		c.Access.Roots = []string{t.TempDir()}
		if *fakeWeb != "" {
			c.Web = os.DirFS(*fakeWeb)
		}
	})
	if err := s.Accounts.EnsureAdmin(t.Context(), "admin", "admin-admin"); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	if *fakeListen != "" {
		fmt.Println("serving", n, "torrents at http://"+l.Addr().String())
		for {
			select {
			case <-time.After(time.Second):
				f.Step()
				s.Logger.Info("a second has passed", "rate", f.Totals().DownRate)
			case err := <-served:
				t.Fatal(err)
			}
		}
	}
	r, err := http.Get("http://" + l.Addr().String() + "/api/v1/me")
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatal(r, err)
	}
	r.Body.Close()
	f.Step()
	s.Stop()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
}
