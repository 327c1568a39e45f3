package server

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"shoal/internal/accounts"
)

// cookieName is of the session's cookie.
const cookieName = "shoal_session"

type localKey struct{}

// local marks requests of the socket of the machine.
func (s *Server) local(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), localKey{}, true)))
	})
}

func isLocal(r *http.Request) bool { return r.Context().Value(localKey{}) != nil }

func hasBearer(r *http.Request) bool {
	_, ok := bearer(r)
	return ok
}

func bearer(r *http.Request) (string, bool) {
	kind, secret, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(secret), ok && strings.EqualFold(kind, "Bearer")
}

// identified tells handlers who asks. Who shows a token or a password that is wrong is told so; who shows none is nobody.
func (s *Server) identified(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !needsIdentity(r.URL.Path) {
			h.ServeHTTP(w, r)
			return
		}
		who, err := s.identify(r)
		var soon accounts.TooSoon
		switch {
		case errors.Is(err, accounts.ErrNobody) && !hasBearer(r): // a session that has ended
			who = accounts.Identity{}
		case errors.Is(err, accounts.ErrNobody), errors.Is(err, accounts.ErrDenied):
			w.Header().Set("WWW-Authenticate", challenge(r))
			problem(w, http.StatusUnauthorized, err.Error())
			return
		case errors.As(err, &soon):
			w.Header().Set("Retry-After", seconds(soon.Wait))
			problem(w, http.StatusTooManyRequests, err.Error())
			return
		case err != nil:
			s.Logger.Error("looking up who asks", "error", err)
			problem(w, http.StatusInternalServerError, "the accounts cannot be read: see the node's log")
			return
		}
		h.ServeHTTP(w, r.WithContext(accounts.NewContext(r.Context(), who)))
	})
}

func needsIdentity(path string) bool {
	return strings.HasPrefix(path, "/api/") || strings.HasPrefix(path, "/transmission/") || path == "/metrics"
}

// compatible reports whether a path is of an API that other programs made, which send a name and a password with each request.
func compatible(path string) bool {
	return strings.HasPrefix(path, "/api/v2/") || strings.HasPrefix(path, "/transmission/")
}

// challenge is what a client is asked for. Browsers would ask people for a password in a window of their own, so only the others' APIs have Basic.
func challenge(r *http.Request) string {
	if compatible(r.URL.Path) {
		return `Basic realm="shoal", charset="UTF-8"`
	}
	return "Bearer"
}

func (s *Server) identify(r *http.Request) (accounts.Identity, error) {
	ctx := r.Context()
	if isLocal(r) {
		return accounts.Local(), nil
	}
	if secret, ok := bearer(r); ok {
		return s.Accounts.ByToken(ctx, secret)
	}
	if name, password, ok := r.BasicAuth(); ok && compatible(r.URL.Path) {
		return s.Accounts.Basic(ctx, originOf(ctx).client, name, password)
	}
	if c, err := r.Cookie(cookieName); err == nil {
		return s.Accounts.BySession(ctx, c.Value)
	}
	return accounts.Identity{}, nil
}

// sessionCookie returns the cookie that carries a key, or that ends it for "".
func sessionCookie(o origin, key string) string {
	c := http.Cookie{
		Name: cookieName, Value: key, Path: o.base + "/", MaxAge: int(accounts.SessionLife.Seconds()),
		HttpOnly: true, Secure: o.secure, SameSite: http.SameSiteStrictMode,
	}
	if key == "" {
		c.MaxAge = -1
	}
	return c.String()
}
