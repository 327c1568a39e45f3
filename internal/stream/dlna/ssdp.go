package dlna

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The types that we are found by (UPnP Device Architecture 1.1 §1.2, MediaServer:1).
const (
	rootDevice  = "upnp:rootdevice"
	mediaServer = "urn:schemas-upnp-org:device:MediaServer:1"
	directory   = "urn:schemas-upnp-org:service:ContentDirectory:1"
	connections = "urn:schemas-upnp-org:service:ConnectionManager:1"
)

const (
	maxSearch = 2 << 10 // bytes of a search
	maxDelay  = 3 * time.Second
	lifetime  = 30 * time.Minute // of what was announced
)

// search is somebody looking for devices (M-SEARCH, §1.3.2).
type search struct {
	target string
	delay  time.Duration // within which to answer
}

// parseSearch reads a datagram; ok is false if it is anything but a search.
func parseSearch(b []byte) (s search, ok bool) {
	if len(b) > maxSearch || !bytes.HasPrefix(b, []byte("M-SEARCH ")) {
		return s, false
	}
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
	if err != nil || r.RequestURI != "*" || r.Header.Get("Man") != `"ssdp:discover"` {
		return s, false
	}
	mx, err := strconv.Atoi(strings.TrimSpace(r.Header.Get("Mx")))
	if err != nil || mx < 1 {
		return s, false
	}
	return search{r.Header.Get("St"), min(time.Duration(min(mx, 60))*time.Second, maxDelay)}, true
}

// names returns what a device with an id is called: by its role, its id, its type and its services.
func names(id string) []string {
	return []string{rootDevice, "uuid:" + id, mediaServer, directory, connections}
}

// matching returns the names that a search is for.
func matching(target, id string) []string {
	if target == "ssdp:all" {
		return names(id)
	}
	for _, n := range names(id) {
		if n == target {
			return []string{n}
		}
	}
	return nil
}

// usn is the unique name of what is called name at a device.
func usn(name, id string) string {
	if own := "uuid:" + id; name == own {
		return own
	}
	return "uuid:" + id + "::" + name
}

// answer is the reply to a search.
func answer(name, id, location, server string) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=%d\r\nEXT:\r\nLOCATION: %s\r\nSERVER: %s\r\nST: %s\r\nUSN: %s\r\n\r\n",
		int(lifetime.Seconds()), location, server, name, usn(name, id))
}

// alive announces that we are there; byebye that we leave.
func alive(name, id, location, server, group string) []byte {
	return fmt.Appendf(nil, "NOTIFY * HTTP/1.1\r\nHOST: %s\r\nCACHE-CONTROL: max-age=%d\r\nLOCATION: %s\r\nNT: %s\r\nNTS: ssdp:alive\r\nSERVER: %s\r\nUSN: %s\r\n\r\n",
		group, int(lifetime.Seconds()), location, name, server, usn(name, id))
}

func byebye(name, id, group string) []byte {
	return fmt.Appendf(nil, "NOTIFY * HTTP/1.1\r\nHOST: %s\r\nNT: %s\r\nNTS: ssdp:byebye\r\nUSN: %s\r\n\r\n", group, name, usn(name, id))
}
