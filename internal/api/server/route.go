package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"shoal/internal/accounts"
	"shoal/internal/database"
	"shoal/internal/library"
)

// Bounds of bodies, in bytes.
const (
	maxJSON   = 1 << 20
	maxUpload = 64 << 20 // of what carries .torrent files
)

// prefix is where the own API is.
const prefix = "/api/v1"

// open is the scope of what anybody may ask.
const open accounts.Scope = ""

// route is an operation of the API.
type route struct {
	method, path string
	id           string
	tag          string
	summary      string
	need         accounts.Scope
	limit        int64 // bytes of the body; 0: maxJSON
	status       int   // of success; 0: 200, or 204 without a body
}

// body is an answer that is JSON.
type body[T any] struct{ Body T }

func answer[T any](v T) *body[T] { return &body[T]{Body: v} }

// none is the lack of an input or of an answer.
type none struct{}

const (
	scopeKey = "scope"
	actsKey  = "acts"
)

// handle registers an operation. Its errors become problem documents.
func handle[I, O any](s *Server, r route, f func(context.Context, *I) (*O, error)) *huma.Operation {
	if r.limit == 0 {
		r.limit = maxJSON
	}
	op := huma.Operation{
		Method: r.method, Path: r.path, OperationID: r.id, Tags: []string{r.tag}, Summary: r.summary,
		MaxBodyBytes: r.limit, BodyReadTimeout: bodyTimeout, DefaultStatus: r.status,
		Metadata: map[string]any{scopeKey: r.need, actsKey: r.method != http.MethodGet},
		Errors:   []int{http.StatusUnprocessableEntity},
	}
	if r.need != open {
		op.Description = "Needs the scope " + string(r.need) + "."
		op.Security = []map[string][]string{{"token": {string(r.need)}}, {"session": {}}}
		op.Errors = append(op.Errors, http.StatusUnauthorized, http.StatusForbidden)
	}
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := f(ctx, in)
		return out, s.status(err)
	})
	return operation(s.api.OpenAPI().Paths[r.path], r.method)
}

func operation(p *huma.PathItem, method string) *huma.Operation {
	switch method {
	case http.MethodPost:
		return p.Post
	case http.MethodPut:
		return p.Put
	case http.MethodPatch:
		return p.Patch
	case http.MethodDelete:
		return p.Delete
	}
	return p.Get
}

// listsAreNeverNull says so to huma, of all specifications of this process.
var listsAreNeverNull sync.Once

// mountAPI makes the API and mounts it.
func (s *Server) mountAPI(mux *http.ServeMux) {
	listsAreNeverNull.Do(func() { huma.DefaultArrayNullable = false })
	c := huma.DefaultConfig("shoal", "1")
	c.Info.Description = "The API of a shoal node. Times are Unix seconds, sizes bytes, rates bytes a second, durations seconds; -1 is unknown."
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = "", "", ""
	c.CreateHooks = nil
	c.Servers = []*huma.Server{{URL: prefix}}
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token":   {Type: "http", Scheme: "bearer", Description: "a token of the user, see /tokens"},
		"session": {Type: "apiKey", In: "cookie", Name: cookieName, Description: "by /login"},
	}
	own := http.NewServeMux()
	s.api = humago.New(own, c)
	s.api.UseMiddleware(s.authorize)
	s.torrentRoutes()
	s.partRoutes()
	s.eventRoutes()
	s.groupRoutes()
	s.nodeRoutes()
	s.accountRoutes()
	spec := s.specification()
	own.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.oai.openapi+json;version=3.1")
		w.Header().Set("Cache-Control", "no-cache")
		_, _ = w.Write(spec)
	})
	own.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		problem(w, http.StatusNotFound, "there is nothing of this name in the API: see "+prefix+"/openapi.json")
	})
	h := http.StripPrefix(prefix, s.multipartAdd(own))
	mux.Handle(prefix+"/", limited(noStore(compressed(h))))
	mux.Handle("GET "+prefix+"/events", noStore(http.StripPrefix(prefix, own))) // which has its own deadlines
}

// specification returns the OpenAPI document, the same bytes each time.
func (s *Server) specification() []byte {
	b, err := json.MarshalIndent(s.api.OpenAPI(), "", " ")
	if err != nil {
		panic(err) // it is made of our own types
	}
	return append(b, '\n')
}

func noStore(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		h.ServeHTTP(w, r)
	})
}

// authorize lets an operation run if who asks may.
func (s *Server) authorize(ctx huma.Context, next func(huma.Context)) {
	op := ctx.Operation()
	need, _ := op.Metadata[scopeKey].(accounts.Scope)
	who := accounts.FromContext(ctx.Context())
	if need != open && !who.May(need) {
		_, w := humago.Unwrap(ctx)
		if len(who.Scopes) == 0 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			problem(w, http.StatusUnauthorized, "log in, or send a token")
		} else {
			problem(w, http.StatusForbidden, "this needs the scope "+string(need)+", which "+who.Name+" does not have here")
		}
		return
	}
	next(ctx)
	if acts, _ := op.Metadata[actsKey].(bool); acts && ctx.Status() < 300 {
		s.streams.kick()
	}
}

// statuses are the codes of errors that callers can do something about.
var statuses = []struct {
	err    error
	status int
}{
	{library.ErrNotFound, http.StatusNotFound},
	{library.ErrExists, http.StatusConflict},
	{library.ErrNoInfo, http.StatusConflict},
	{library.ErrBad, http.StatusUnprocessableEntity},
	{accounts.ErrNoUser, http.StatusNotFound},
	{accounts.ErrNoToken, http.StatusNotFound},
	{accounts.ErrExists, http.StatusConflict},
	{accounts.ErrLast, http.StatusConflict},
	{accounts.ErrTooMany, http.StatusConflict},
	{accounts.ErrNotNamed, http.StatusUnprocessableEntity},
	{accounts.ErrDenied, http.StatusUnauthorized},
	{accounts.ErrNobody, http.StatusUnauthorized},
	{accounts.ErrSetup, http.StatusForbidden},
	{database.ErrFull, http.StatusInsufficientStorage},
	{context.Canceled, http.StatusServiceUnavailable},
	{context.DeadlineExceeded, http.StatusServiceUnavailable},
}

// status gives an error its code. One that is not the caller's is logged, and the caller told that it is.
func (s *Server) status(err error) error {
	if err == nil {
		return nil
	}
	var known huma.StatusError
	if errors.As(err, &known) {
		return err
	}
	var soon accounts.TooSoon
	if errors.As(err, &soon) {
		return huma.ErrorWithHeaders(huma.Error429TooManyRequests(err.Error()), http.Header{"Retry-After": {seconds(soon.Wait)}})
	}
	var mistake accounts.Mistake
	if errors.As(err, &mistake) {
		return huma.Error422UnprocessableEntity(err.Error())
	}
	for _, k := range statuses {
		if errors.Is(err, k.err) {
			return huma.NewError(k.status, err.Error())
		}
	}
	s.Logger.Error("request failed", "error", err)
	return huma.Error500InternalServerError("this went wrong on the node, which has logged it: " + err.Error())
}

func seconds(d time.Duration) string { return strconv.Itoa(int((d + time.Second - 1) / time.Second)) }
