package server

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write web/openapi.json anew")

const openapiFile = "../../../web/openapi.json"

// The web UI's client is made of the file, so it has to say what the server does.
func TestOpenAPIFileIsCurrent(t *testing.T) {
	s, _ := fakeNode(t, 1, nil)
	spec := s.specification()
	if *update {
		if err := os.WriteFile(openapiFile, spec, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(openapiFile)
	if err != nil || !bytes.Equal(have, spec) {
		t.Fatalf("web/openapi.json is out of date (%v): go test ./internal/api/server -run TestOpenAPIFileIsCurrent -update", err)
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/api/v1/openapi.json", nil)
	r.Host = "localhost"
	s.Handler().ServeHTTP(w, r)
	if w.Code != 200 || !bytes.Equal(w.Body.Bytes(), spec) {
		t.Fatalf("served %d, %d bytes", w.Code, w.Body.Len())
	}
}

// Whoever reads the specification learns of every operation which scope it needs, and of nothing on other machines.
func TestOpenAPIIsComplete(t *testing.T) {
	s, _ := fakeNode(t, 1, nil)
	var spec struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID string
			Security    []map[string][]string
		}
	}
	if err := json.Unmarshal(s.specification(), &spec); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(spec.OpenAPI, "3.1") || len(spec.Paths) < 30 {
		t.Fatalf("%s, %d paths", spec.OpenAPI, len(spec.Paths))
	}
	anybody := map[string]bool{"setup": true, "login": true, "logout": true, "getMe": true}
	for path, ops := range spec.Paths {
		for method, op := range ops {
			if op.OperationID == "" || len(op.Security) == 0 && !anybody[op.OperationID] {
				t.Errorf("%s %s (%s) has security %v", method, path, op.OperationID, op.Security)
			}
		}
	}
}
