// Package qbittorrent answers the part of qBittorrent's WebAPI (version 2) that Sonarr, Radarr, Prowlarr, autobrr, qui and the like use, below
// /api/v2/. What qBittorrent has and we do not is accepted where programs send it by habit, and left out where it would be a lie; docs/api.md says
// which. Names of fields and parameters are qBittorrent's.
package qbittorrent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"shoal/internal/accounts"
	"shoal/internal/api"
	"shoal/internal/form"
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
	AddPeers(ctx context.Context, id string, peers []string) error
	Trackers(id string) ([]library.Tracker, error)
	AddTrackers(ctx context.Context, id string, urls []string) error
	RemoveTracker(ctx context.Context, id, url string) error
	Pieces(id string) ([]byte, error)
	Torrent(id string) ([]byte, error)
	Totals() library.Totals
	Categories() ([]library.Category, error)
	PutCategory(context.Context, library.Category) error
	RemoveCategory(ctx context.Context, name string) error
	SeedRules() ([]library.SeedRule, error)
	Tags() ([]string, error)
	PutTag(ctx context.Context, name string) error
	RemoveTag(ctx context.Context, name string) error
}

// Settings are those of the node; see server.Settings.
type Settings interface {
	List() []api.Setting
	Save(map[string]any) error
}

// Config is what the handler stands on.
type Config struct {
	Library  Library
	Accounts *accounts.Accounts
	Settings Settings
	// MayUse says whether who asks may name a folder of the machine. Nil: who is admin may.
	MayUse func(ctx context.Context, path string) error
	Logger *slog.Logger
}

// The versions that programs are told. What they make of them: states are called stopped, not paused (2.11.0).
const (
	appVersion = "v5.1.4"
	apiVersion = "2.11.4"
)

// Handler serves /api/v2/.
type Handler struct {
	Config
	syncs syncs
}

// New returns a handler, which is told who asks by accounts.FromContext, and knows its own sessions beside.
func New(c Config) *Handler {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Handler{Config: c}
}

// call is one request.
type call struct {
	*Handler
	ctx    context.Context
	r      *http.Request
	w      http.ResponseWriter
	values url.Values // of the URL and of the form
	files  []form.File
	who    accounts.Identity

	settings map[string]json.RawMessage // of the node, once they were looked up
}

// endpoint is one method of the API. It returns what is answered: text, or what becomes JSON, or nothing.
type endpoint struct {
	need accounts.Scope
	acts bool // it is called by POST alone
	f    func(*call) (any, error)
}

// file is an answer that is neither text nor JSON.
type file struct {
	kind string
	name string
	data []byte
}

// refusal is an error with a code.
type refusal struct {
	status int
	text   string
}

func (r refusal) Error() string { return r.text }

func bad(format string, a ...any) error {
	return refusal{http.StatusBadRequest, fmt.Sprintf(format, a...)}
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/api/v2/")
	e, ok := endpoints[name]
	if !ok {
		http.Error(w, "Not Found", http.StatusNotFound)
		return
	}
	if e.acts && r.Method != http.MethodPost || r.Method != http.MethodPost && r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "POST")
		http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	c := &call{Handler: h, ctx: r.Context(), r: r, w: w, who: h.identify(r)}
	if e.need != "" && !c.who.May(e.need) {
		http.Error(w, "Forbidden", http.StatusForbidden) // by which programs know that they have to log in
		return
	}
	c.ctx = accounts.NewContext(c.ctx, c.who)
	if err := c.read(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	v, err := e.f(c)
	if err != nil {
		c.fail(name, err)
		return
	}
	c.answer(v)
}

// read reads the parameters, of the URL and of the form.
func (c *call) read() error {
	c.values = c.r.URL.Query()
	if c.r.Method != http.MethodPost {
		return nil
	}
	f, err := form.Read(c.r.Header.Get("Content-Type"), c.r.Body)
	if err != nil {
		return err
	}
	for name, v := range f.Values {
		c.values[name] = v
	}
	c.files = f.Files
	return nil
}

func (c *call) answer(v any) {
	h := c.w.Header()
	h.Set("Cache-Control", "no-store")
	switch v := v.(type) {
	case nil:
		c.w.WriteHeader(http.StatusOK)
	case string:
		h.Set("Content-Type", "text/plain; charset=UTF-8")
		_, _ = c.w.Write([]byte(v))
	case file:
		h.Set("Content-Type", v.kind)
		h.Set("Content-Disposition", "attachment; filename*=UTF-8''"+strings.ReplaceAll(url.QueryEscape(v.name), "+", "%20"))
		_, _ = c.w.Write(v.data)
	default:
		h.Set("Content-Type", "application/json")
		_ = json.NewEncoder(c.w).Encode(v)
	}
}

func (c *call) fail(name string, err error) {
	status := http.StatusInternalServerError
	var r refusal
	switch {
	case errors.As(err, &r):
		status = r.status
	case errors.Is(err, library.ErrNotFound):
		status = http.StatusNotFound
	case errors.Is(err, library.ErrExists), errors.Is(err, library.ErrNoInfo):
		status = http.StatusConflict
	case errors.Is(err, library.ErrBad):
		status = http.StatusBadRequest
	case errors.Is(err, fs.ErrPermission):
		status = http.StatusForbidden
	default:
		c.Logger.Error("qBittorrent's API", "endpoint", name, "error", err)
	}
	http.Error(c.w, err.Error(), status)
}

// mayUse refuses folders that who asks may not name.
func (c *call) mayUse(path string) error {
	if path == "" || c.who.May(accounts.Manage) {
		return nil
	}
	if c.MayUse == nil {
		return refusal{http.StatusForbidden, "only an admin may name folders"}
	}
	if err := c.MayUse(c.ctx, path); err != nil {
		return refusal{http.StatusForbidden, err.Error()}
	}
	return nil
}

// endpoints are all that are answered.
var endpoints = map[string]endpoint{
	"auth/login":  {"", true, (*call).login},
	"auth/logout": {"", true, (*call).logout},

	"app/version":         {accounts.Read, false, func(*call) (any, error) { return appVersion, nil }},
	"app/webapiVersion":   {accounts.Read, false, func(*call) (any, error) { return apiVersion, nil }},
	"app/buildInfo":       {accounts.Read, false, (*call).buildInfo},
	"app/preferences":     {accounts.Read, false, (*call).preferences},
	"app/setPreferences":  {accounts.Manage, true, (*call).setPreferences},
	"app/defaultSavePath": {accounts.Read, false, func(c *call) (any, error) { return c.text("folders.downloads"), nil }},

	"torrents/info":        {accounts.Read, false, (*call).info},
	"torrents/count":       {accounts.Read, false, (*call).count},
	"torrents/properties":  {accounts.Read, false, (*call).properties},
	"torrents/trackers":    {accounts.Read, false, (*call).trackers},
	"torrents/webseeds":    {accounts.Read, false, (*call).webSeeds},
	"torrents/files":       {accounts.Read, false, (*call).listFiles},
	"torrents/pieceStates": {accounts.Read, false, (*call).pieceStates},
	"torrents/export":      {accounts.Read, false, (*call).export},
	"torrents/categories":  {accounts.Read, false, (*call).categories},
	"torrents/tags":        {accounts.Read, false, (*call).tags},

	"torrents/add": {accounts.Add, true, (*call).add},

	"torrents/delete":       {accounts.Control, true, (*call).delete},
	"torrents/pause":        {accounts.Control, true, act(library.Pause)}, // its name before 2.11
	"torrents/stop":         {accounts.Control, true, act(library.Pause)},
	"torrents/resume":       {accounts.Control, true, act(library.Resume)},
	"torrents/start":        {accounts.Control, true, act(library.Resume)},
	"torrents/recheck":      {accounts.Control, true, act(library.Recheck)},
	"torrents/reannounce":   {accounts.Control, true, act(library.Announce)},
	"torrents/topPrio":      {accounts.Control, true, act(library.Top)},
	"torrents/bottomPrio":   {accounts.Control, true, act(library.Bottom)},
	"torrents/increasePrio": {accounts.Control, true, act(library.Up)},
	"torrents/decreasePrio": {accounts.Control, true, act(library.Down)},

	"torrents/setForceStart":            {accounts.Control, true, (*call).setForceStart},
	"torrents/setCategory":              {accounts.Control, true, (*call).setCategory},
	"torrents/createCategory":           {accounts.Control, true, (*call).createCategory},
	"torrents/editCategory":             {accounts.Control, true, (*call).editCategory},
	"torrents/removeCategories":         {accounts.Control, true, (*call).removeCategories},
	"torrents/addTags":                  {accounts.Control, true, (*call).addTags},
	"torrents/setTags":                  {accounts.Control, true, (*call).setTags},
	"torrents/removeTags":               {accounts.Control, true, (*call).removeTags},
	"torrents/createTags":               {accounts.Control, true, (*call).createTags},
	"torrents/deleteTags":               {accounts.Control, true, (*call).deleteTags},
	"torrents/setShareLimits":           {accounts.Control, true, (*call).setShareLimits},
	"torrents/setDownloadLimit":         {accounts.Control, true, (*call).setDownloadLimit},
	"torrents/setUploadLimit":           {accounts.Control, true, (*call).setUploadLimit},
	"torrents/downloadLimit":            {accounts.Read, false, (*call).downloadLimits},
	"torrents/uploadLimit":              {accounts.Read, false, (*call).uploadLimits},
	"torrents/setLocation":              {accounts.Control, true, (*call).setLocation},
	"torrents/rename":                   {accounts.Control, true, (*call).rename},
	"torrents/renameFile":               {accounts.Control, true, (*call).renameFile},
	"torrents/renameFolder":             {accounts.Control, true, (*call).renameFolder},
	"torrents/filePrio":                 {accounts.Control, true, (*call).filePrio},
	"torrents/addTrackers":              {accounts.Control, true, (*call).addTrackers},
	"torrents/removeTrackers":           {accounts.Control, true, (*call).removeTrackers},
	"torrents/editTracker":              {accounts.Control, true, (*call).editTracker},
	"torrents/addPeers":                 {accounts.Control, true, (*call).addPeers},
	"torrents/toggleSequentialDownload": {accounts.Control, true, (*call).toggleSequential},
	"torrents/toggleFirstLastPiecePrio": {accounts.Control, true, func(*call) (any, error) { return nil, nil }}, // players ask for both ends by themselves
	"torrents/setAutoManagement":        {accounts.Control, true, func(*call) (any, error) { return nil, nil }}, // a category's folder counts when a torrent is added

	"transfer/info":                  {accounts.Read, false, (*call).transferInfo},
	"transfer/speedLimitsMode":       {accounts.Read, false, (*call).speedLimitsMode},
	"transfer/toggleSpeedLimitsMode": {accounts.Manage, true, (*call).toggleSpeedLimitsMode},
	"transfer/downloadLimit":         {accounts.Read, false, func(c *call) (any, error) { return fmt.Sprint(c.int("bandwidth.down")), nil }},
	"transfer/uploadLimit":           {accounts.Read, false, func(c *call) (any, error) { return fmt.Sprint(c.int("bandwidth.up")), nil }},
	"transfer/setDownloadLimit":      {accounts.Manage, true, setLimit("bandwidth.down")},
	"transfer/setUploadLimit":        {accounts.Manage, true, setLimit("bandwidth.up")},

	"sync/maindata":     {accounts.Read, false, (*call).mainData},
	"sync/torrentPeers": {accounts.Read, false, (*call).torrentPeers},
}
