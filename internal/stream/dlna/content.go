package dlna

import (
	"fmt"
	"hash/fnv"
	"net/http"
	"strconv"
	"strings"
)

// maxBrowse is how many objects one answer lists at most.
const maxBrowse = 1000

// object is one folder or file of the directory. The root has the id 0, folders have their own, files have FOLDER/FILE.
type object struct {
	id, parent string
	folder     *Folder
	file       *File
	children   int
}

// browse is ContentDirectory's action Browse (§2.7.4).
func (s *Service) browse(a action, r *http.Request) ([]pair, *fault) {
	from, err := strconv.ParseUint(a.args["StartingIndex"], 10, 31)
	count, err2 := strconv.ParseUint(a.args["RequestedCount"], 10, 31)
	if err != nil || err2 != nil {
		return nil, badArgs
	}
	folders := s.cfg.List()
	self, children, ok := find(folders, a.args["ObjectID"])
	if !ok {
		return nil, noObject
	}
	var list []object
	total := 1
	switch a.args["BrowseFlag"] {
	case "BrowseMetadata":
		list = []object{self}
	case "BrowseDirectChildren":
		total = len(children)
		list = children[min(int(from), total):]
		if count > 0 {
			list = list[:min(int(count), len(list))]
		}
		list = list[:min(len(list), maxBrowse)]
	default:
		return nil, badArgs
	}
	return []pair{{"Result", s.didl(list, "http://"+r.Host)}, {"NumberReturned", strconv.Itoa(len(list))}, {"TotalMatches", strconv.Itoa(total)},
		{"UpdateID", updateID(folders)}}, nil
}

// find returns an object and what is in it.
func find(folders []Folder, id string) (self object, children []object, ok bool) {
	if id == "0" {
		for i := range folders {
			children = append(children, object{folders[i].ID, "0", &folders[i], nil, len(folders[i].Files)})
		}
		return object{id: "0", parent: "-1", folder: &Folder{Title: "shoal"}, children: len(folders)}, children, true
	}
	name, rest, isFile := strings.Cut(id, "/")
	for i := range folders {
		f := &folders[i]
		if f.ID != name {
			continue
		}
		for k := range f.Files {
			o := object{f.ID + "/" + f.Files[k].ID, f.ID, f, &f.Files[k], 0}
			if isFile && f.Files[k].ID == rest {
				return o, nil, true
			}
			children = append(children, o)
		}
		return object{f.ID, "0", f, nil, len(f.Files)}, children, !isFile
	}
	return object{}, nil, false
}

// updateID changes when what is listed does.
func updateID(folders []Folder) string {
	h := fnv.New32a()
	for i := range folders {
		fmt.Fprintf(h, "%s %d\n", folders[i].ID, len(folders[i].Files))
	}
	return strconv.FormatUint(uint64(h.Sum32()), 10)
}

// classes are the UPnP classes of media types.
func class(mediaType string) string {
	switch kind, _, _ := strings.Cut(mediaType, "/"); kind {
	case "video":
		return "object.item.videoItem"
	case "audio":
		return "object.item.audioItem.musicTrack"
	case "image":
		return "object.item.imageItem.photo"
	}
	return "object.item"
}

// didl describes objects in DIDL-Lite (ContentDirectory §2.2); base is how the caller reaches us.
func (s *Service) didl(list []object, base string) string {
	var b strings.Builder
	b.WriteString(`<DIDL-Lite xmlns="urn:schemas-upnp-org:metadata-1-0/DIDL-Lite/" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:upnp="urn:schemas-upnp-org:metadata-1-0/upnp/">`)
	for _, o := range list {
		if o.file == nil {
			fmt.Fprintf(&b, `<container id="%s" parentID="%s" restricted="1" searchable="0" childCount="%d"><dc:title>%s</dc:title><upnp:class>object.container.storageFolder</upnp:class></container>`,
				escape(o.id), escape(o.parent), o.children, escape(o.folder.Title))
			continue
		}
		fmt.Fprintf(&b, `<item id="%s" parentID="%s" restricted="1"><dc:title>%s</dc:title><upnp:class>%s</upnp:class><res protocolInfo="http-get:*:%s:DLNA.ORG_OP=01" size="%d">%s</res></item>`,
			escape(o.id), escape(o.parent), escape(o.file.Title), class(o.file.Type), escape(o.file.Type), o.file.Size, escape(base+o.file.URL))
	}
	b.WriteString(`</DIDL-Lite>`)
	return b.String()
}
