package dlna

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxSOAP is the longest request that is read, in bytes.
const maxSOAP = 64 << 10

// action is a call of a service (UPnP Device Architecture §3.1): its name and its arguments.
type action struct {
	name string
	args map[string]string
}

// maxArguments is the most arguments that a call may have.
const maxArguments = 32

// parseAction reads a SOAP envelope.
func parseAction(r io.Reader) (a action, err error) {
	d := xml.NewDecoder(io.LimitReader(r, maxSOAP))
	a.args = map[string]string{}
	var path []string
	var text strings.Builder
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) && a.name != "" && len(path) == 0 {
			return a, nil
		}
		if err != nil {
			return action{}, fmt.Errorf("no SOAP call: %w", err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			path = append(path, t.Name.Local)
			text.Reset()
			if len(path) == 3 && path[0] == "Envelope" && path[1] == "Body" && a.name == "" {
				a.name = t.Name.Local
			}
			if len(path) > 8 {
				return action{}, errors.New("no SOAP call: it is nested too deep")
			}
		case xml.CharData:
			text.Write(t)
		case xml.EndElement:
			if len(path) == 4 && path[2] == a.name && len(a.args) < maxArguments {
				a.args[path[3]] = text.String()
			}
			path = path[:len(path)-1]
		}
	}
}

// pair is a name and a value of an answer.
type pair struct{ name, value string }

// fault is an error of UPnP.
type fault struct {
	code int
	text string
}

// Faults of UPnP Device Architecture §3.2.2 and ContentDirectory §2.7.
var (
	badAction = &fault{401, "Invalid Action"}
	badArgs   = &fault{402, "Invalid Args"}
	noObject  = &fault{701, "No such object"}
)

const envelope = xml.Header + `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>%s</s:Body></s:Envelope>`

// control serves the calls of one service.
func control(service string, call func(action, *http.Request) ([]pair, *fault)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a, err := parseAction(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", `text/xml; charset="utf-8"`)
		w.Header().Set("Ext", "")
		out, bad := call(a, r)
		if bad != nil {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprintf(w, envelope, fmt.Sprintf(`<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>`+
				`<UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>%d</errorCode><errorDescription>%s</errorDescription></UPnPError></detail></s:Fault>`,
				bad.code, bad.text))
			return
		}
		var b strings.Builder
		fmt.Fprintf(&b, `<u:%sResponse xmlns:u="%s">`, a.name, service)
		for _, p := range out {
			fmt.Fprintf(&b, "<%s>%s</%s>", p.name, escape(p.value), p.name)
		}
		fmt.Fprintf(&b, "</u:%sResponse>", a.name)
		fmt.Fprintf(w, envelope, b.String())
	}
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // never fails
	return b.String()
}
