package qbittorrent

import (
	"errors"
	"net/http"
	"net/netip"

	"shoal/internal/accounts"
)

// cookieName is that of qBittorrent's sessions, which programs look for.
const cookieName = "SID"

// identify returns who asks: who was known already, or whose session the cookie is of.
func (h *Handler) identify(r *http.Request) accounts.Identity {
	who := accounts.FromContext(r.Context())
	if len(who.Scopes) > 0 {
		return who
	}
	if c, err := r.Cookie(cookieName); err == nil {
		who, err := h.Accounts.BySession(r.Context(), c.Value)
		if err == nil {
			return who
		}
		if !errors.Is(err, accounts.ErrNobody) {
			h.Logger.Error("looking up a session", "error", err)
		}
	}
	return accounts.Identity{}
}

func (c *call) login() (any, error) {
	name, password := c.values.Get("username"), c.values.Get("password")
	if name == "" && password == "" && len(c.who.Scopes) > 0 {
		return "Ok.", nil
	}
	from, _ := netip.ParseAddrPort(c.r.RemoteAddr)
	key, _, err := c.Accounts.Login(c.r.Context(), from.Addr(), name, password, c.r.UserAgent())
	var soon accounts.TooSoon
	switch {
	case errors.Is(err, accounts.ErrDenied):
		c.Logger.Warn("a login failed", "user", name, "address", from.Addr(), "api", "qbittorrent")
		return "Fails.", nil
	case errors.As(err, &soon):
		return nil, refusal{http.StatusForbidden, err.Error()}
	case err != nil:
		return nil, err
	}
	http.SetCookie(c.w, &http.Cookie{Name: cookieName, Value: key, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: c.r.TLS != nil})
	return "Ok.", nil
}

func (c *call) logout() (any, error) {
	if c.who.Session() {
		if err := c.Accounts.Logout(c.r.Context(), c.who); err != nil {
			return nil, err
		}
	}
	http.SetCookie(c.w, &http.Cookie{Name: cookieName, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	return nil, nil
}
