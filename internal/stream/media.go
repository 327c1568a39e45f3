package stream

import (
	"cmp"
	"path"
	"strings"
)

// Kinds of media, as Media tells them.
const (
	Video    = "video"
	Audio    = "audio"
	Subtitle = "subtitle"
	Image    = "image"
)

// types are the media types of what is served to be shown, by extension. What is not here is served to be saved: a browser is never given
// HTML, SVG or a script by a stranger as a page of ours.
var types = map[string]string{
	"3gp": "video/3gpp", "avi": "video/x-msvideo", "flv": "video/x-flv", "m2ts": "video/mp2t", "m4v": "video/mp4", "mkv": "video/x-matroska",
	"mov": "video/quicktime", "mp4": "video/mp4", "mpeg": "video/mpeg", "mpg": "video/mpeg", "mts": "video/mp2t", "ogm": "video/ogg",
	"ogv": "video/ogg", "ts": "video/mp2t", "vob": "video/mpeg", "webm": "video/webm", "wmv": "video/x-ms-wmv",

	"aac": "audio/aac", "ac3": "audio/ac3", "aif": "audio/aiff", "aiff": "audio/aiff", "flac": "audio/flac", "m4a": "audio/mp4", "m4b": "audio/mp4",
	"mka": "audio/x-matroska", "mp3": "audio/mpeg", "oga": "audio/ogg", "ogg": "audio/ogg", "opus": "audio/ogg", "wav": "audio/wav",
	"weba": "audio/webm", "wma": "audio/x-ms-wma",

	"avif": "image/avif", "bmp": "image/bmp", "gif": "image/gif", "jpeg": "image/jpeg", "jpg": "image/jpeg", "png": "image/png", "webp": "image/webp",

	"ass": "text/x-ssa; charset=utf-8", "srt": "application/x-subrip", "ssa": "text/x-ssa; charset=utf-8", "sub": "text/plain; charset=utf-8",
	"vtt": "text/vtt; charset=utf-8",
}

func extension(name string) string { return strings.ToLower(strings.TrimPrefix(path.Ext(name), ".")) }

// Media tells by its name what a file is: Video, Audio, Subtitle, Image or "".
func Media(name string) string {
	ext := extension(name)
	switch ext {
	case "ass", "srt", "ssa", "sub", "vtt":
		return Subtitle
	}
	kind, _, _ := strings.Cut(types[ext], "/")
	return kind
}

// typeOf returns the media type by which a file is served, and whether it is to be shown rather than saved.
func typeOf(name string) (mediaType string, show bool) {
	t := types[extension(name)]
	return cmp.Or(t, "application/octet-stream"), t != ""
}
