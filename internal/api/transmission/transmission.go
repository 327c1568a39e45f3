// Package transmission answers Transmission's RPC, for transmission-remote, Transmission's desktop programs, Sonarr, Radarr and the like: the one of
// before 4.1 with its names in camelCase and kebab-case, and the JSON-RPC 2.0 one since, with names in snake_case. Inside here names are in
// snake_case. See docs/rpc-spec.md of Transmission; docs/api.md says what is answered and what is not.
package transmission

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"shoal/internal/accounts"
	"shoal/internal/api"
	"shoal/internal/library"
)

// Library is what is needed of the node's torrents; see server.Library.
type Library interface {
	List(library.Query) (library.Page, error)
	Get(id string) (library.Detail, error)
	Add(context.Context, library.Request) (library.Added, error)
	Act(ctx context.Context, a library.Action, ids []string) error
	Change(ctx context.Context, id string, c library.Change) error
	Files(id string) ([]library.File, error)
	SetPriority(ctx context.Context, id string, files []int, p library.Priority) error
	RenameFile(ctx context.Context, id string, file int, path string) error
	Peers(id string) ([]library.Peer, error)
	Trackers(id string) ([]library.Tracker, error)
	AddTrackers(ctx context.Context, id string, urls []string) error
	RemoveTracker(ctx context.Context, id, url string) error
	Pieces(id string) ([]byte, error)
	Totals() library.Totals
}

// Settings are those of the node; see server.Settings.
type Settings interface {
	List() []api.Setting
	Save(map[string]any) error
}

// Config is what the handler stands on.
type Config struct {
	Library  Library
	Settings Settings
	// MayUse says whether who asks may name a folder of the machine. Nil: who is admin may.
	MayUse func(ctx context.Context, path string) error
	Logger *slog.Logger
}

// What programs are told of us: of which Transmission we know the words.
const (
	version       = "4.1.0 (shoal)"
	rpcVersion    = 18
	rpcMinimum    = 14
	rpcSemver     = "6.0.0"
	sessionHeader = "X-Transmission-Session-Id"
)

// Bounds of a request.
const (
	maxBody  = 64 << 20 // bytes: it may hold a .torrent file
	maxBatch = 100      // calls in one request
)

// Handler serves /transmission/rpc.
type Handler struct {
	Config
	session string // which a client has to send back, so that no other site can forge a request
	numbers numbers
}

// New returns a handler, which is told who asks by accounts.FromContext.
func New(c Config) *Handler {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Handler{Config: c, session: rand.Text() + rand.Text()}
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/transmission/rpc" && r.URL.Path != "/transmission/rpc/" {
		http.NotFound(w, r)
		return
	}
	if len(accounts.FromContext(r.Context()).Scopes) == 0 {
		w.Header().Set("WWW-Authenticate", `Basic realm="shoal", charset="UTF-8"`)
		http.Error(w, "Unauthorized User", http.StatusUnauthorized)
		return
	}
	w.Header().Set(sessionHeader, h.session)
	if subtle.ConstantTimeCompare([]byte(r.Header.Get(sessionHeader)), []byte(h.session)) != 1 {
		w.Header().Set("X-Transmission-Rpc-Version", rpcSemver)
		http.Error(w, "send the request again with the header "+sessionHeader+" of this answer", http.StatusConflict)
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		http.Error(w, "the request broke off", http.StatusBadRequest)
		return
	}
	if len(body) > maxBody {
		http.Error(w, "the request is too long", http.StatusRequestEntityTooLarge)
		return
	}
	answer := h.answer(r.Context(), body)
	if answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(answer)
}

// message is a request of either kind.
type message struct {
	Version   string          `json:"jsonrpc"`
	Method    string          `json:"method"`
	Params    json.RawMessage `json:"params"`
	Arguments json.RawMessage `json:"arguments"`
	ID        json.RawMessage `json:"id"`
	Tag       json.RawMessage `json:"tag"`
}

// Codes of errors: JSON-RPC 2.0 §5.1, and Transmission's own for what went wrong on the machine.
const (
	codeParse   = -32700
	codeRequest = -32600
	codeMethod  = -32601
	codeParams  = -32602
	codeSystem  = 5
)

// mistake is an error with its code.
type mistake struct {
	code int
	text string
}

func (m mistake) Error() string { return m.text }

func bad(format string, a ...any) error { return mistake{codeParams, fmt.Sprintf(format, a...)} }

// answer returns what is answered to a request, nil for nothing.
func (h *Handler) answer(ctx context.Context, body []byte) any {
	if trimmed := strings.TrimLeft(string(body[:min(len(body), 64)]), " \t\r\n"); strings.HasPrefix(trimmed, "[") {
		var batch []json.RawMessage
		if err := json.Unmarshal(body, &batch); err != nil {
			return failure(nil, mistake{codeParse, err.Error()})
		}
		if len(batch) == 0 || len(batch) > maxBatch {
			return failure(nil, mistake{codeRequest, fmt.Sprintf("a batch has 1 to %d calls", maxBatch)})
		}
		var answers []any
		for _, one := range batch {
			if a := h.answerOne(ctx, one); a != nil {
				answers = append(answers, a)
			}
		}
		if answers == nil {
			return nil
		}
		return answers
	}
	return h.answerOne(ctx, body)
}

func (h *Handler) answerOne(ctx context.Context, body []byte) any {
	var m message
	if err := json.Unmarshal(body, &m); err != nil {
		return failure(nil, mistake{codeParse, "the request is not JSON: " + err.Error()})
	}
	c := &call{Handler: h, ctx: ctx, who: accounts.FromContext(ctx), modern: m.Version == "2.0"}
	raw := m.Arguments
	if c.modern {
		raw = m.Params
	}
	args, err := arguments(raw)
	var result map[string]any
	if err == nil {
		c.args = args
		result, err = c.run(snake(m.Method))
	}
	if !c.modern {
		return legacy(&m, result, err)
	}
	if len(m.ID) == 0 {
		return nil // a notification
	}
	if err != nil {
		return failure(m.ID, err)
	}
	if result == nil {
		result = map[string]any{}
	}
	return map[string]any{"jsonrpc": "2.0", "id": m.ID, "result": result}
}

func legacy(m *message, result map[string]any, err error) any {
	a := map[string]any{"result": "success", "arguments": result}
	if err != nil {
		a["result"] = err.Error()
	}
	if result == nil {
		a["arguments"] = map[string]any{}
	}
	if len(m.Tag) > 0 {
		a["tag"] = m.Tag
	}
	return a
}

func failure(id json.RawMessage, err error) any {
	code := codeSystem
	var m mistake
	switch {
	case errors.As(err, &m):
		code = m.code
	case errors.Is(err, library.ErrBad), errors.Is(err, library.ErrNotFound):
		code = codeParams
	}
	if id == nil {
		id = json.RawMessage("null")
	}
	return map[string]any{"jsonrpc": "2.0", "id": id, "error": map[string]any{"code": code, "message": err.Error(), "data": map[string]any{"error_string": err.Error()}}}
}

// call is one call of a method.
type call struct {
	*Handler
	ctx    context.Context
	who    accounts.Identity
	modern bool // JSON-RPC 2.0, with names in snake_case
	args   map[string]json.RawMessage

	settings map[string]json.RawMessage // of the node, once they were looked up
	numbered *listing                   // once it was made
}

// method is one of the API.
type method struct {
	need accounts.Scope
	f    func(*call) (map[string]any, error)
}

func (c *call) run(name string) (map[string]any, error) {
	m, ok := methods[name]
	if !ok {
		return nil, mistake{codeMethod, "no method of this name: " + name}
	}
	if !c.who.May(m.need) {
		return nil, mistake{codeParams, "this needs the scope " + string(m.need) + ", which is not given here"}
	}
	result, err := m.f(c)
	if err != nil {
		c.Logger.Debug("Transmission's RPC", "method", name, "error", err)
	}
	return result, err
}

// methods are all that are answered.
var methods = map[string]method{
	"torrent_get":          {accounts.Read, (*call).torrentGet},
	"torrent_add":          {accounts.Add, (*call).torrentAdd},
	"torrent_set":          {accounts.Control, (*call).torrentSet},
	"torrent_remove":       {accounts.Control, (*call).torrentRemove},
	"torrent_set_location": {accounts.Control, (*call).torrentSetLocation},
	"torrent_rename_path":  {accounts.Control, (*call).torrentRenamePath},
	"torrent_start":        {accounts.Control, act(library.Resume)},
	"torrent_start_now":    {accounts.Control, act(library.Force)},
	"torrent_stop":         {accounts.Control, act(library.Pause)},
	"torrent_verify":       {accounts.Control, act(library.Recheck)},
	"torrent_reannounce":   {accounts.Control, act(library.Announce)},
	"queue_move_top":       {accounts.Control, act(library.Top)},
	"queue_move_up":        {accounts.Control, act(library.Up)},
	"queue_move_down":      {accounts.Control, act(library.Down)},
	"queue_move_bottom":    {accounts.Control, act(library.Bottom)},
	"session_get":          {accounts.Read, (*call).sessionGet},
	"session_set":          {accounts.Manage, (*call).sessionSet},
	"session_stats":        {accounts.Read, (*call).sessionStats},
	"session_close":        {accounts.Manage, refuse("the node is not stopped by this: use the service's own command")},
	"free_space":           {accounts.Read, (*call).freeSpace},
	"port_test":            {accounts.Read, (*call).portTest},
	"blocklist_update":     {accounts.Manage, refuse("the node reads its filter from a file: see the setting network.ip_filter")},
	"group_get":            {accounts.Read, func(*call) (map[string]any, error) { return map[string]any{"group": []any{}}, nil }},
	"group_set":            {accounts.Manage, refuse("there are no bandwidth groups")},
}

func refuse(why string) func(*call) (map[string]any, error) {
	return func(*call) (map[string]any, error) { return nil, mistake{codeMethod, why} }
}

// mayUse refuses folders that who asks may not name.
func (c *call) mayUse(path string) error {
	if c.who.May(accounts.Manage) {
		return nil
	}
	if c.MayUse == nil {
		return bad("only an admin may name folders")
	}
	if err := c.MayUse(c.ctx, path); err != nil {
		return bad("%v", err)
	}
	return nil
}
