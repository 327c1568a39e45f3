package config

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// want loads and fails the test if that does not work.
func want(t *testing.T, o Options) *Loaded {
	t.Helper()
	l, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// write makes a file of settings in a fresh folder, which is the home of the options that it returns.
func write(t *testing.T, text string) Options {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Options{Home: dir}
}

// fields calls visit for each field below a struct that is no struct itself.
func fields(v reflect.Value, path string, visit func(path string, pointer any)) {
	for i := range v.NumField() {
		name := path + "." + v.Type().Field(i).Name
		if f := v.Field(i); f.Kind() == reflect.Struct {
			fields(f, name, visit)
		} else {
			visit(name, f.Addr().Interface())
		}
	}
}

// Every field of Config has exactly one setting, and a setting's key names its field.
func TestTableIsWhole(t *testing.T) {
	var c Config
	owners := map[any][]string{}
	for i := range table {
		s := &table[i]
		owners[s.field(&c)] = append(owners[s.field(&c)], s.key)
		if byKey[s.key] != s {
			t.Errorf("%s is there twice", s.key)
		}
		name, _, _ := strings.Cut(s.key, ".")
		if !slices.ContainsFunc(groups, func(g group) bool { return g.name == name }) {
			t.Errorf("%s: no such group", s.key)
		}
		if s.title == "" || !strings.HasSuffix(s.text, ".") {
			t.Errorf("%s: title %q, text %q", s.key, s.title, s.text)
		}
	}
	fields(reflect.ValueOf(&c).Elem(), "Config", func(path string, pointer any) {
		keys := owners[pointer]
		if len(keys) != 1 {
			t.Errorf("%s has settings %v", path, keys)
			return
		}
		want := strings.ToLower(strings.TrimPrefix(path, "Config"))
		if got := "." + strings.ReplaceAll(keys[0], "_", ""); got != want {
			t.Errorf("%s is set by %s", path, keys[0])
		}
	})
}

func TestDefaults(t *testing.T) {
	home := t.TempDir()
	l := want(t, Options{Home: home})
	c := l.Config
	for _, test := range []struct{ what, got, want any }{
		{"downloads", c.Folders.Downloads, filepath.Join(home, "downloads")},
		{"torrents", c.Folders.Torrents(), filepath.Join(home, "state", "torrents")},
		{"socket", c.API.Socket, filepath.Join(home, "run", "api.sock")},
		{"address", c.API.Listen, "127.0.0.1:7462"},
		{"metrics", c.API.Metrics, MetricsPrivate},
		{"encryption", c.Network.Encryption, "prefer"},
		{"DHT", c.Network.DHT, true},
		{"floor", c.Disk.FreeSpaceFloor, int64(1 << 30)},
		{"DLNA", c.Stream.DLNA, false},
		{"seeding", c.Seeding, Seeding{Action: ActionPause}},
	} {
		if test.got != test.want {
			t.Errorf("%v: %v, want %v", test.what, test.got, test.want)
		}
	}
	for _, s := range l.Settings() {
		if s.Source != SourceDefault || !reflect.DeepEqual(s.Value, s.Default) {
			t.Errorf("%s: %v from %s, default %v", s.Key, s.Value, s.Source, s.Default)
		}
		if s.Locked != byKey[s.Key].fixed {
			t.Errorf("%s: locked %v", s.Key, s.Locked)
		}
	}
}

// Each source wins over the ones below it, and Settings says which it was and whether the API may change it.
func TestPrecedence(t *testing.T) {
	sources := []Source{SourceDefault, SourceSaved, SourceFile, SourceEnv, SourceFlag}
	for top, source := range sources {
		o := Options{}
		text := ""
		if top >= 1 {
			o.Saved = Saved{"bandwidth.down": json.RawMessage("1"), "network.dht": json.RawMessage("true"), "network.dht_nodes": json.RawMessage(`["a:1"]`)}
		}
		if top >= 2 {
			text = "[bandwidth]\ndown = 2\n[network]\ndht = false\ndht_nodes = ['b:2']\n"
		}
		home := write(t, text).Home
		o.Home = home
		if top >= 3 {
			o.Environ = []string{"SHOAL_BANDWIDTH_DOWN=3", "SHOAL_NETWORK_DHT=yes", "SHOAL_NETWORK_DHT_NODES=c:3, d:3"}
		}
		if top >= 4 {
			o.Flags = pflag.NewFlagSet("", pflag.ContinueOnError)
			AddFlags(o.Flags)
			if err := o.Flags.Parse([]string{"--limit-down", "4", "--no-dht", "--dht-node", "e:4", "--dht-node", "f:4"}); err != nil {
				t.Fatal(err)
			}
		}
		l := want(t, o)
		if got := l.Config.Bandwidth.Down; got != int64(top) {
			t.Errorf("%s: down is %d", source, got)
		}
		if got, want := l.Config.Network.DHT, []bool{true, true, false, true, false}[top]; got != want {
			t.Errorf("%s: DHT is %v", source, got)
		}
		if got, want := strings.Join(l.Config.Network.DHTNodes, " "), []string{"", "a:1", "b:2", "c:3 d:3", "e:4 f:4"}[top]; got != want {
			t.Errorf("%s: DHT nodes are %q, want %q", source, got, want)
		}
		for _, s := range l.Settings() {
			if s.Key == "bandwidth.down" && (s.Source != source || s.Locked != (top >= 2) || s.Value != int64(top)) {
				t.Errorf("%s: %+v", source, s)
			}
		}
	}
}

// What is wrong is named with its place, its key and what would be right.
func TestProblems(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	for _, test := range []struct {
		file string
		env  []string
		want []string
	}{
		{"[bandwdth]\ndown = 1\n", nil, []string{"config.toml:2: unknown key bandwdth.down; did you mean bandwidth.down?"}},
		{"\n\n[bandwidth]\nup = 1\ndwon = 1\n", nil, []string{"config.toml:5: unknown key bandwidth.dwon; did you mean bandwidth.down?"}},
		{"bandwidth.dow = 1\n", nil, []string{"config.toml:1: unknown key bandwidth.dow; did you mean bandwidth.down?"}},
		{"[zzzzzz]\n", nil, []string{"config.toml:1: unknown key zzzzzz"}},
		{"disk = { memory = 1, foo = { bar = 2 } }\n", nil, []string{`config.toml:1: disk.memory: "1" is wrong: less than 4MiB`, "config.toml:1: unknown key disk.foo.bar"}},
		{"[bandwidth]\n\ndown = 'fast'\n", nil, []string{`config.toml:3: bandwidth.down: "fast" is wrong: not a size such as 500k`}},
		{"[bandwidth]\ndown = -1\n", nil, []string{"config.toml:2: bandwidth.down"}},
		{"[bandwidth\n", nil, []string{"config.toml:1: "}},
		{"[network]\nencryption = 'requird'\n", nil, []string{"not one of prefer, require, off; did you mean require?"}},
		{"[network]\nmax_peers = 0\n", nil, []string{"config.toml:2: network.max_peers: \"0\" is wrong: not a number from 1 to 1000000"}},
		{"[network]\ndht = 3\n", nil, []string{"true or false is needed"}},
		{"[network]\ndht_nodes = 3\n", nil, []string{"a list of texts is needed"}},
		{"[network]\ndht_nodes = ['x']\n", nil, []string{`"x": not HOST:PORT`}},
		{"[network]\nroute = 'interface:a'\nbind = 'b'\n", nil, []string{"config.toml:3: network.bind: network.route chooses"}},
		{"[network]\nlisten = 'nowhere'\n", nil, []string{"not ADDRESS:PORT"}},
		{"[api]\nlisten = 'example.net:80'\n", nil, []string{`"example.net" is no address of this machine`}},
		{"[api]\nlisten = 'off'\nsocket = 'off'\n", nil, []string{"config.toml:3: api.socket: with api.listen off as well"}},
		{"[api]\ntls_cert = 'x'\n", nil, []string{"a certificate needs its key: set api.tls_key too"}},
		{"[api]\nbase_path = 'shoal/'\n", nil, []string{"not a path such as /shoal"}},
		{"[api]\nhosts = ['http://x']\n", nil, []string{"not a host name"}},
		{"[api]\ntrusted_proxies = ['10.0.0.0/99']\n", nil, []string{"not an address or a network"}},
		{"[seeding]\nratio = -1\n", nil, []string{"not a ratio"}},
		{"[seeding]\ntime = '1 week'\n", nil, []string{"not a duration such as 90s"}},
		{"", []string{"SHOAL_BANDWDTH_DOWN=1"}, []string{"SHOAL_BANDWDTH_DOWN: unknown variable; did you mean SHOAL_BANDWIDTH_DOWN?"}},
		{"", []string{"SHOAL_BANDWIDTH_DOWN=much"}, []string{"SHOAL_BANDWIDTH_DOWN: bandwidth.down: \"much\" is wrong"}},
		{"", []string{"SHOAL_ADMIN_PASSWORD_FILE=/nonexistent/x"}, []string{"SHOAL_ADMIN_PASSWORD_FILE: admin.password: the file that holds it: open /nonexistent/x"}},
		{"", []string{"SHOAL_ADMIN_PASSWORD_FILE=/dev/null"}, []string{"/dev/null is empty"}},
	} {
		o := write(t, test.file)
		o.Environ = test.env
		_, err := Load(o)
		if err == nil {
			t.Errorf("%q %q: no error", test.file, test.env)
			continue
		}
		for _, want := range test.want {
			if runtime.GOOS != "windows" && !strings.Contains(err.Error(), want) {
				t.Errorf("%q %q: %v\nwant %q", test.file, test.env, err, want)
			}
		}
	}
}

// A secret is in no error and no list.
func TestSecrets(t *testing.T) {
	o := write(t, "[network]\nroute = 'socks5://me:hunter2hunter2@127.0.0.1:1080'\n")
	secret := filepath.Join(o.Home, "password")
	if err := os.WriteFile(secret, []byte("correct horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o.Environ = []string{"SHOAL_ADMIN_PASSWORD_FILE=" + secret}
	l := want(t, o)
	if l.Config.Admin.Password != "correct horse" || !strings.Contains(l.Config.Network.Route, "hunter2") {
		t.Errorf("%+v", l.Config)
	}
	b, err := json.Marshal(l.Settings())
	if err != nil || strings.Contains(string(b), "hunter2") || strings.Contains(string(b), "correct") || !strings.Contains(string(b), "socks5://me:…@127.0.0.1:1080") {
		t.Errorf("%v: %s", err, b)
	}
	for _, env := range []string{"SHOAL_ADMIN_PASSWORD=zzzz", "SHOAL_NETWORK_ROUTE=socks5://me:zzzz@nowhere"} {
		if _, err := Load(Options{Home: o.Home, Environ: []string{env}}); err == nil || strings.Contains(err.Error(), "zzzz") {
			t.Errorf("%s: %v", env, err)
		}
	}
	if _, err := Load(Options{Home: t.TempDir(), Environ: append(o.Environ, "SHOAL_ADMIN_PASSWORD=longer than eight")}); err == nil || !strings.Contains(err.Error(), "keep one of them") {
		t.Error(err)
	}
	if l = want(t, Options{Home: t.TempDir()}); l.Config.Network.Route != "" {
		t.Error(l.Config.Network.Route)
	}
	if _, err := l.Check("network.route", json.RawMessage(`"socks5://me:…@127.0.0.1:1080"`)); err == nil || !strings.Contains(err.Error(), "write the password") {
		t.Errorf("what is shown was taken for a password: %v", err)
	}
}

// What Kubernetes and Docker put into the environment of a service called shoal is no mistake.
func TestForeignVariables(t *testing.T) {
	want(t, Options{Home: t.TempDir(), Environ: []string{
		"SHOAL_PORT=tcp://10.0.0.1:80", "SHOAL_SERVICE_HOST=10.0.0.1", "SHOAL_PORT_80_TCP_ADDR=10.0.0.1", "SHOAL_TOKEN=x", "PATH=/bin", "SHOALFISH=1",
	}})
}

func TestCheckAndWith(t *testing.T) {
	o := write(t, "[bandwidth]\ndown = 2\n")
	l := want(t, o)
	for _, test := range []struct{ key, value, want, problem string }{
		{"bandwidth.up", `"2MB"`, `2000000`, ""},
		{"bandwidth.up", `500.0`, `500`, ""},
		{"bandwidth.up", `0.5`, "", "not a size"},
		{"bandwidth.up", `{`, "", "not JSON"},
		{"bandwidth.up", `null`, "", "not a size"},
		{"seeding.time", `"7d"`, `604800`, ""},
		{"seeding.time", `90`, `90`, ""},
		{"seeding.ratio", `1.5`, `1.5`, ""},
		{"api.listen", `"off"`, `"off"`, ""},
		{"api.hosts", `["a", "b"]`, `["a","b"]`, ""},
		{"api.hosts", `"a, b"`, `["a","b"]`, ""},
		{"bandwidth.down", `1`, "", "config.toml:2 sets it"},
		{"folders.browse", `["/"]`, "", "it cannot be changed here: set it in"},
		{"completion.command", `["sh"]`, "", "SHOAL_COMPLETION_COMMAND"},
		{"bandwidth.upp", `1`, "", "did you mean bandwidth.up?"},
	} {
		got, err := l.Check(test.key, json.RawMessage(test.value))
		if string(got) != test.want || (err == nil) != (test.problem == "") || err != nil && !strings.Contains(err.Error(), test.problem) {
			t.Errorf("%s = %s: %s, %v", test.key, test.value, got, err)
		}
	}
	if _, err := l.Check("bandwidth.down", json.RawMessage(`1`)); !errors.Is(err, ErrLocked) {
		t.Error(err)
	}
	after, err := l.With(Saved{"bandwidth.up": json.RawMessage(`7`), "network.dht": json.RawMessage("false")})
	if err != nil {
		t.Fatal(err)
	}
	if got := Diff(&l.Config, &after.Config); !slices.Equal(got, []Change{{"network.dht", true}, {"bandwidth.up", false}}) {
		t.Error(got)
	}
	if got := Diff(&l.Config, &l.Config); got != nil {
		t.Error(got)
	}
	for _, bad := range []Saved{{"bandwidth.up": json.RawMessage(`"x"`)}, {"bandwidth.down": json.RawMessage(`1`)}, {"api.tls_cert": json.RawMessage(`"/x"`)}} {
		if _, err := l.With(bad); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}

// What was saved by another version does not keep the node from starting.
func TestSavedByAnotherVersion(t *testing.T) {
	l := want(t, Options{Home: t.TempDir(), Saved: Saved{
		"gone.key": json.RawMessage(`1`), "bandwidth.up": json.RawMessage(`"x"`), "bandwidth.down": json.RawMessage(`5`), "folders.browse": json.RawMessage(`["/"]`),
	}})
	if len(l.Notices) != 3 || l.Config.Bandwidth.Up != 0 || l.Config.Bandwidth.Down != 5 || len(l.Config.Folders.Browse) != 0 {
		t.Errorf("%v %+v", l.Notices, l.Config)
	}
}

// Relative paths of a file are below its folder; ~ is the home folder.
func TestPathsOfFile(t *testing.T) {
	home := t.TempDir()
	o := write(t, "[folders]\ndownloads = 'here'\nincomplete = '~/there'\nbrowse = ['~', 'a/../b']\n")
	o.Environ = []string{"HOME=" + home}
	f := want(t, o).Config.Folders
	if f.Downloads != filepath.Join(o.Home, "here") || f.Incomplete != filepath.Join(home, "there") || !slices.Equal(f.Browse, []string{home, filepath.Join(o.Home, "b")}) {
		t.Errorf("%+v", f)
	}
}

// A file that is not there is a mistake only if it was named.
func TestMissingFile(t *testing.T) {
	dir := t.TempDir()
	want(t, Options{Home: dir})
	if _, err := Load(Options{Home: dir, File: filepath.Join(dir, "x.toml")}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	l := want(t, Options{Environ: []string{"SHOAL_HOME=" + dir}})
	if l.Paths.Home != dir {
		t.Error(l.Paths)
	}
}

func TestXDG(t *testing.T) {
	home := t.TempDir()
	if err := os.MkdirAll(filepath.Join(home, ".config"), 0o755); err != nil {
		t.Fatal(err)
	}
	dirs := "# comment\nXDG_DESKTOP_DIR=\"$HOME/Desktop\"\nXDG_DOWNLOAD_DIR=\"$HOME/Geladenes\"\n"
	if err := os.WriteFile(filepath.Join(home, ".config", "user-dirs.dirs"), []byte(dirs), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		env                              []string
		config, state, socket, downloads string
	}{
		{[]string{"HOME=" + home}, home + "/.config/shoal/config.toml", home + "/.local/state/shoal", home + "/.local/state/shoal/api.sock", home + "/Geladenes"},
		{[]string{"HOME=" + home, "XDG_CONFIG_HOME=/c", "XDG_STATE_HOME=/s", "XDG_RUNTIME_DIR=/r"}, "/c/shoal/config.toml", "/s/shoal", "/r/shoal/api.sock", home + "/Downloads"},
		{[]string{"HOME=" + home, "XDG_STATE_HOME=relative", "XDG_DOWNLOAD_DIR=/d"}, home + "/.config/shoal/config.toml", home + "/.local/state/shoal", home + "/.local/state/shoal/api.sock", "/d"},
		{[]string{"XDG_CONFIG_HOME=/etc", "XDG_STATE_HOME=/var/lib", "XDG_RUNTIME_DIR=/run"}, "/etc/shoal/config.toml", "/var/lib/shoal", "/run/shoal/api.sock", ""},
	} {
		p, user := xdgPaths(environment(test.env))
		if p.Downloads == "" && user != "" {
			p.Downloads = user + "/Downloads"
		}
		if p.Config != test.config || p.State != test.state || p.Socket != test.socket || p.Downloads != test.downloads {
			t.Errorf("%v: %+v", test.env, p)
		}
	}
}

func TestOtherSystems(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // its paths are not absolute elsewhere, and the other way round
	}
	p, user := darwinPaths(map[string]string{"HOME": "/Users/u"})
	if user != "/Users/u" || p.State != "/Users/u/Library/Application Support/shoal" || p.Config != p.State+"/config.toml" {
		t.Error(p, user)
	}
	p, user = windowsPaths(map[string]string{"APPDATA": "/u/Roaming", "USERPROFILE": "/u"})
	if user != "/u" || p.State != "/u/Roaming/shoal" || p.Socket != "/u/Roaming/shoal/api.sock" {
		t.Error(p, user)
	}
	if _, err := FindPaths("", nil); err == nil || !strings.Contains(err.Error(), "--home DIR") {
		t.Error(err)
	}
}

// Every flag has a name of its own, and a default flag set changes nothing.
func TestFlags(t *testing.T) {
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	AddFlags(fs)
	n := 0
	fs.VisitAll(func(f *pflag.Flag) {
		n++
		if f.Usage == "" || f.Shorthand != "" {
			t.Errorf("%+v", f)
		}
	})
	if n != len(table) {
		t.Errorf("%d flags of %d settings", n, len(table))
	}
	if err := fs.Parse([]string{"--anonymous", "--no-utp", "--api-listen=off", "--api-qbittorrent=false"}); err != nil {
		t.Fatal(err)
	}
	c := want(t, Options{Home: t.TempDir(), Flags: fs}).Config
	if !c.Network.Anonymous || c.Network.UTP || c.API.Listen != "" || c.API.QBittorrent || !c.API.Transmission {
		t.Errorf("%+v", c)
	}
	if fs.Set("anonymous", "maybe") != nil {
		t.Fatal("pflag looked at it")
	}
	if _, err := Load(Options{Home: t.TempDir(), Flags: fs}); err == nil || !strings.Contains(err.Error(), "--anonymous: network.anonymous: \"maybe\" is wrong") {
		t.Error(err)
	}
}

// The example, with every setting put into force, is the defaults.
func TestExampleIsTheDefaults(t *testing.T) {
	var text strings.Builder
	for line := range strings.Lines(Example()) {
		if s, ok := strings.CutPrefix(line, "# "); ok && strings.Contains(s, " = ") && byName(s) {
			line = s
		}
		text.WriteString(line)
	}
	o := write(t, text.String())
	o.Environ = []string{"HOME=" + filepath.Dir(o.Home)}
	l := want(t, o)
	n := 0
	for _, s := range l.Settings() {
		if s.Source == SourceFile {
			n++
		} else if s.Type != Secret {
			t.Errorf("%s is not in the example", s.Key)
		}
	}
	if n < 40 {
		t.Errorf("%d settings in the example", n)
	}
	for _, c := range Diff(&want(t, Options{Home: t.TempDir()}).Config, &l.Config) {
		if !strings.HasPrefix(c.Key, "folders.") && c.Key != "api.socket" {
			t.Errorf("%s differs from its default", c.Key)
		}
	}
}

// byName reports whether a line sets a key that is no secret's.
func byName(line string) bool {
	name, _, _ := strings.Cut(line, " = ")
	for i := range table {
		if _, last, _ := strings.Cut(table[i].key, "."); last == name && table[i].kind != Secret {
			return true
		}
	}
	return false
}

// docs/config.example.toml is what "shoal config example" prints.
func TestExampleIsCommitted(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "config.example.toml"))
	if err != nil || string(b) != Example() {
		t.Errorf("docs/config.example.toml is not up to date (%v): go run ./cmd/shoal config example > docs/config.example.toml", err)
	}
}

func TestUnits(t *testing.T) {
	for text, n := range map[string]int64{"0": 0, "500k": 500e3, "2MB": 2e6, "2MB/s": 2e6, "16MiB": 16 << 20, "1.5G": 15e8, "3Ki": 3 << 10, "1TiB": 1 << 40} {
		if got, err := ParseBytes(text); err != nil || got != n {
			t.Errorf("%s: %d, %v", text, got, err)
		}
		if got, err := ParseBytes(formatBytes(n)); err != nil || got != n {
			t.Errorf("%d: %s is %d, %v", n, formatBytes(n), got, err)
		}
	}
	for _, text := range []string{"", "x", "-1", "1X", "1e30", "NaN", "Inf", "k"} {
		if n, err := ParseBytes(text); err == nil {
			t.Errorf("%q: %d", text, n)
		}
	}
	for text, d := range map[string]time.Duration{"0": 0, "90": 90 * time.Second, "90s": 90 * time.Second, "7d": 7 * 24 * time.Hour, "1.5d": 36 * time.Hour, "1h30m": 90 * time.Minute} {
		if got, err := ParseDuration(text); err != nil || got != d {
			t.Errorf("%s: %v, %v", text, got, err)
		}
		if got, err := ParseDuration(formatDuration(d)); err != nil || got != d {
			t.Errorf("%v: %s is %v, %v", d, formatDuration(d), got, err)
		}
	}
	for _, text := range []string{"", "d", "-1s", "1e300d", "NaNd", "week"} {
		if d, err := ParseDuration(text); err == nil {
			t.Errorf("%q: %v", text, d)
		}
	}
}

// No file makes it panic, and each error of one has its line.
func FuzzFile(f *testing.F) {
	for _, seed := range []string{Example(), "[a]\nb = 1", "a.b = {c = [1, {d = 2}]}", "[[a]]\nb=1\n[[a]]\n", "a = 1979-05-27", "\"a\\nb\" = 1", "a=1\na=2", "[a.b]\n[a]\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		entries, err := parseFile([]byte(text))
		if err != nil {
			if line, _, _ := strings.Cut(err.Error(), ":"); line == "" || strings.Trim(line, "0123456789") != "" && len(text) <= maxFile {
				t.Errorf("error without line: %v", err)
			}
			return
		}
		for _, e := range entries {
			if s := byKey[e.key]; s != nil {
				l := &Loaded{origins: map[string]origin{}}
				_ = l.assign(assignment{setting: s, raw: e.value, base: "/", origin: origin{SourceFile, "x"}})
			}
		}
	})
}

func TestBinding(t *testing.T) {
	for _, test := range []struct{ route, bind, device, local, proxy string }{
		{"", "", "", "invalid IP", ""},
		{"interface:wg0?dns=10.0.0.1", "", "wg0", "invalid IP", ""},
		{"", "wg0", "wg0", "invalid IP", ""},
		{"10.0.0.2", "", "", "10.0.0.2", ""},
		{"", "10.0.0.2", "", "10.0.0.2", ""},
		{"socks5://10.0.0.1:1080", "wg0", "wg0", "invalid IP", "10.0.0.1:1080"},
		{"socks5://10.0.0.1:1080?via=wg0", "", "wg0", "invalid IP", "10.0.0.1:1080"},
		{"tor", "10.0.0.2", "", "10.0.0.2", "127.0.0.1:9050"},
	} {
		n := Network{Route: test.route, Bind: test.bind}
		device, local, proxy := n.Binding()
		if device != test.device || local.String() != test.local || proxy != test.proxy {
			t.Errorf("%+v: %s %s %s", test, device, local, proxy)
		}
	}
}
