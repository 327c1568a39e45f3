package dlna

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"
)

// describePath is where the device is described; everything else of Handler is below its folder.
const describePath = "/dlna/device.xml"

// Handler serves what is below /dlna/: descriptions and the control of both services. It is for the local network.
func (s *Service) Handler() http.Handler {
	m := http.NewServeMux()
	text := func(make func() string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", `text/xml; charset="utf-8"`)
			fmt.Fprint(w, make())
		}
	}
	m.HandleFunc("GET "+describePath, text(s.describe))
	m.HandleFunc("GET /dlna/directory.xml", text(func() string { return scpd(directoryActions) }))
	m.HandleFunc("GET /dlna/connections.xml", text(func() string { return scpd(connectionActions) }))
	m.HandleFunc("POST /dlna/directory", control(directory, s.directory))
	m.HandleFunc("POST /dlna/connections", control(connections, s.connections))
	return m
}

// describe makes the device description (UPnP Device Architecture §2.3).
func (s *Service) describe() string {
	service := func(kind, id, path string) string {
		return fmt.Sprintf(`<service><serviceType>%s</serviceType><serviceId>urn:upnp-org:serviceId:%s</serviceId><SCPDURL>/dlna/%s.xml</SCPDURL>`+
			`<controlURL>/dlna/%s</controlURL><eventSubURL></eventSubURL></service>`, kind, id, path, path)
	}
	return xml.Header + `<root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion><major>1</major><minor>1</minor></specVersion><device>` +
		`<deviceType>` + mediaServer + `</deviceType><friendlyName>` + escape(s.cfg.Name) + `</friendlyName><manufacturer>shoal</manufacturer>` +
		`<modelName>shoal</modelName><modelNumber>` + escape(s.cfg.Version) + `</modelNumber><UDN>uuid:` + escape(s.cfg.ID) + `</UDN>` +
		`<dlna:X_DLNADOC xmlns:dlna="urn:schemas-dlna-org:device-1-0">DMS-1.50</dlna:X_DLNADOC><serviceList>` +
		service(directory, "ContentDirectory", "directory") + service(connections, "ConnectionManager", "connections") +
		`</serviceList></device></root>`
}

// Actions of the services: name, then its arguments, ">" before those that go in and "<" before those that come out, each with the state variable
// that it is of the type of.
var (
	directoryActions = []string{
		"Browse >ObjectID:A_ARG_TYPE_ObjectID >BrowseFlag:A_ARG_TYPE_BrowseFlag >Filter:A_ARG_TYPE_Filter >StartingIndex:A_ARG_TYPE_Index " +
			">RequestedCount:A_ARG_TYPE_Count >SortCriteria:A_ARG_TYPE_SortCriteria <Result:A_ARG_TYPE_Result <NumberReturned:A_ARG_TYPE_Count " +
			"<TotalMatches:A_ARG_TYPE_Count <UpdateID:A_ARG_TYPE_UpdateID",
		"GetSearchCapabilities <SearchCaps:SearchCapabilities", "GetSortCapabilities <SortCaps:SortCapabilities", "GetSystemUpdateID <Id:SystemUpdateID",
	}
	connectionActions = []string{
		"GetProtocolInfo <Source:SourceProtocolInfo <Sink:SinkProtocolInfo", "GetCurrentConnectionIDs <ConnectionIDs:CurrentConnectionIDs",
	}
)

// scpd describes a service (§2.5).
func scpd(actions []string) string {
	var a, v strings.Builder
	seen := map[string]bool{}
	for _, line := range actions {
		words := strings.Fields(line)
		fmt.Fprintf(&a, "<action><name>%s</name><argumentList>", words[0])
		for _, w := range words[1:] {
			name, variable, _ := strings.Cut(w[1:], ":")
			way := map[byte]string{'>': "in", '<': "out"}[w[0]]
			fmt.Fprintf(&a, "<argument><name>%s</name><direction>%s</direction><relatedStateVariable>%s</relatedStateVariable></argument>", name, way, variable)
			if !seen[variable] {
				seen[variable] = true
				kind := "string"
				if strings.HasSuffix(variable, "Index") || strings.HasSuffix(variable, "Count") || strings.HasSuffix(variable, "UpdateID") {
					kind = "ui4"
				}
				fmt.Fprintf(&v, `<stateVariable sendEvents="no"><name>%s</name><dataType>%s</dataType></stateVariable>`, variable, kind)
			}
		}
		a.WriteString("</argumentList></action>")
	}
	return xml.Header + `<scpd xmlns="urn:schemas-upnp-org:service-1-0"><specVersion><major>1</major><minor>1</minor></specVersion><actionList>` +
		a.String() + `</actionList><serviceStateTable>` + v.String() + `</serviceStateTable></scpd>`
}

// directory is the service ContentDirectory:1.
func (s *Service) directory(a action, r *http.Request) ([]pair, *fault) {
	switch a.name {
	case "Browse":
		return s.browse(a, r)
	case "GetSearchCapabilities":
		return []pair{{"SearchCaps", ""}}, nil
	case "GetSortCapabilities":
		return []pair{{"SortCaps", ""}}, nil
	case "GetSystemUpdateID":
		return []pair{{"Id", updateID(s.cfg.List())}}, nil
	}
	return nil, badAction
}

// connections is the service ConnectionManager:1. Connections are the renderer's own affair.
func (s *Service) connections(a action, _ *http.Request) ([]pair, *fault) {
	switch a.name {
	case "GetProtocolInfo":
		return []pair{{"Source", "http-get:*:video/*:*,http-get:*:audio/*:*,http-get:*:image/*:*"}, {"Sink", ""}}, nil
	case "GetCurrentConnectionIDs":
		return []pair{{"ConnectionIDs", "0"}}, nil
	}
	return nil, badAction
}
