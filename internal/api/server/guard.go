package server

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"shoal/internal/accounts"
)

// contentPolicy lets the web UI load nothing but what we serve, and nobody frame it.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; " +
	"media-src 'self' blob:; font-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// guarded refuses what other web sites may have made a browser send, and tells browsers what they may do with answers.
func (s *Server) guarded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		head.Set("Content-Security-Policy", contentPolicy)
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("X-Frame-Options", "DENY")
		head.Set("Referrer-Policy", "no-referrer")
		head.Set("Cross-Origin-Opener-Policy", "same-origin")
		head.Set("Cross-Origin-Resource-Policy", "same-origin")
		head.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		if !isLocal(r) && !s.knowsHost(r.Host) {
			problem(w, http.StatusMisdirectedRequest, "this node does not know itself by the name of "+hostOnly(r.Host)+
				": use its address or localhost, or add the name to the setting of host names")
			return
		}
		if !hasBearer(r) { // a site cannot make a browser send one
			if err := s.csrf.Check(r); err != nil {
				problem(w, http.StatusForbidden, "a page of another site asked for this: "+err.Error())
				return
			}
		}
		h.ServeHTTP(w, r)
	})
}

// knowsHost reports whether a Host header names us. A site that rebinds its name to our address still has its own name there; an address there
// cannot be rebound, so every address will do.
func (s *Server) knowsHost(host string) bool {
	name := hostOnly(host)
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || s.access.Load().names[name]
}

// problem answers with a problem document (RFC 9457).
func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(huma.ErrorModel{Status: status, Title: http.StatusText(status), Detail: detail})
}

func (s *Server) needMetrics(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.access.Load().OpenMetrics && !accounts.FromContext(r.Context()).May(accounts.Read) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			problem(w, http.StatusUnauthorized, "metrics need a token with the scope read, as Bearer")
			return
		}
		h.ServeHTTP(w, r)
	})
}
