package metrics

import (
	"encoding/json"
	"net/http"
)

// Health is how the node is, in short.
type Health struct {
	Status string            `json:"status"` // "ok" or "failing"
	Checks map[string]string `json:"checks"` // by name, "ok" or what is wrong
}

// HealthHandler answers with what checks find: by name, nil or what is wrong. The code is 200 if nothing is, else 503. It is for whoever asks, so
// errors should name nothing that is secret.
func HealthHandler(checks func() map[string]error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := Health{Status: "ok", Checks: map[string]string{}}
		code := http.StatusOK
		for name, err := range checks() {
			h.Checks[name] = "ok"
			if err != nil {
				h.Checks[name], h.Status, code = err.Error(), "failing", http.StatusServiceUnavailable
			}
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(h) // who asked may be gone
	})
}
