package metrics

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// source has one snapshot, and lists torrents only if it is asked to.
type source Snapshot

func (s source) Snapshot(torrents bool) Snapshot {
	if !torrents {
		s.List = nil
	}
	return Snapshot(s)
}

// whole has something of everything.
var whole = source{
	Version: "1.0", Started: time.Unix(1_700_000_000, 0), Torrents: map[string]int{"seeding": 3, "downloading": 0}, Down: 1.5, Up: 2, Downloaded: 10, Uploaded: 20,
	Wasted: 1, BadBytes: 2, LimitDown: 1000, Peers: map[string]int{"tcp": 4, "utp": 5}, Incoming: map[string]int64{"ipv4": 6}, DHT: []DHT{{Family: "ipv4", Nodes: 100, Answered: 7}},
	Disks: []Disk{{"/", 1 << 40, 1 << 30}}, Pool: Pool{1, 2, 3}, Queue: map[string]int{"download": 8}, PortsOpen: map[string]bool{"ipv4": true, "ipv6": false}, Streams: 1, Streamed: 9,
	Clients: 2, Requests: []Requests{{"shoal", 200, 11}}, Failing: map[string]bool{"disk": false},
	List: []Torrent{{ID: strings.Repeat("a", 40), Name: "a \"name\"\n\xff", Size: 100, Done: 50, Uploaded: 3}},
}

func scrape(t *testing.T, s Source, query string) string {
	t.Helper()
	w := httptest.NewRecorder()
	Handler(s).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics"+query, nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestScrape(t *testing.T) {
	text := scrape(t, whole, "")
	for _, line := range []string{
		`shoal_build_info{version="1.0"} 1`, `shoal_start_time_seconds 1.7e+09`, `shoal_torrents{state="seeding"} 3`, `shoal_torrents{state="downloading"} 0`, `shoal_download_bytes_per_second 1.5`,
		`shoal_uploaded_bytes_total 20`, `shoal_peers{transport="utp"} 5`, `shoal_port_open{family="ipv6"} 0`, `shoal_port_open{family="ipv4"} 1`, `shoal_dht_nodes{family="ipv4"} 100`,
		`shoal_disk_free_bytes{mount="/"} 1.099511627776e+12`, `shoal_api_requests_total{api="shoal",code="200"} 11`, `shoal_payload_memory_limit_bytes 3`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no %s in\n%s", line, text)
		}
	}
	if strings.Contains(text, "shoal_torrent_") {
		t.Error("series of single torrents that nobody asked for")
	}
	if !strings.Contains(text, "\ngo_goroutines ") || !strings.Contains(text, "\nprocess_start_time_seconds ") {
		t.Error("nothing of the process")
	}
}

func TestTorrents(t *testing.T) {
	text := scrape(t, whole, "?torrents=true")
	id := strings.Repeat("a", 40)
	for _, line := range []string{
		`shoal_torrent_info{id="` + id + `",name="a \"name\"\n�"} 1`, `shoal_torrent_done_bytes{id="` + id + `"} 50`, `shoal_torrents_unlisted 0`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no %s in\n%s", line, text)
		}
	}
}

// However many torrents there are and whatever they are called, what is sent is bounded.
func TestBounds(t *testing.T) {
	s := source{Unlisted: 5}
	for i := range maxTorrents + 7 {
		s.List = append(s.List, Torrent{ID: fmt.Sprintf("%040x", i), Name: strings.Repeat("é", 1000)})
	}
	text := scrape(t, s, "?torrents=true")
	if n := strings.Count(text, "\nshoal_torrent_info{"); n != maxTorrents || !strings.Contains(text, "\nshoal_torrents_unlisted 12\n") {
		t.Errorf("%d torrents", n)
	}
	if !strings.Contains(text, `name="`+strings.Repeat("é", maxLabel/2)+`"`) {
		t.Error("names are not cut")
	}
}

// Names and helps follow the conventions.
func TestConventions(t *testing.T) {
	problems, err := promlint.New(strings.NewReader(scrape(t, whole, "?torrents=true"))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

var metricName = regexp.MustCompile(`\b(?:shoal|go|process)_[a-z0-9_]+`)

// The dashboard asks for nothing that there is not, and shows everything that there is.
func TestDashboard(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "packaging", "grafana", "shoal.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			Type    string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(b, &dashboard); err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for line := range strings.Lines(scrape(t, whole, "?torrents=true")) {
		if words := strings.Fields(line); len(words) > 3 && words[1] == "TYPE" {
			there[words[2]] = true
		}
	}
	shown, ids := map[string]bool{}, map[int]bool{}
	for _, p := range dashboard.Panels {
		if ids[p.ID] || p.Title == "" || p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %d %q", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			for _, name := range metricName.FindAllString(target.Expr, -1) {
				shown[name] = true
				if !there[name] {
					t.Errorf("panel %q: no metric %s", p.Title, name)
				}
			}
		}
	}
	for name := range there {
		if strings.HasPrefix(name, "shoal_") && !shown[name] {
			t.Errorf("no panel shows %s", name)
		}
	}
}

func TestHealth(t *testing.T) {
	for _, test := range []struct {
		checks map[string]error
		code   int
		body   string
	}{
		{nil, 200, `{"status":"ok","checks":{}}`},
		{map[string]error{"database": nil}, 200, `{"status":"ok","checks":{"database":"ok"}}`},
		{map[string]error{"database": errors.New("corrupt"), "session": nil}, 503, `{"status":"failing","checks":{"database":"corrupt","session":"ok"}}`},
	} {
		w := httptest.NewRecorder()
		HealthHandler(func() map[string]error { return test.checks }).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/healthz", nil))
		if w.Code != test.code || strings.TrimSpace(w.Body.String()) != test.body {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}
