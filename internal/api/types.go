// Package api has the words of the node's own REST API, below /api/v1, beside those of package library, and a client that speaks it.
package api

import (
	"encoding/json"

	"shoal/internal/accounts"
	"shoal/internal/library"
)

// AddRequest says what to add. Each link and each torrent becomes one torrent, with the same options.
type AddRequest struct {
	Links      []string `json:"links,omitempty" maxItems:"1000" doc:"magnet links, infohashes, URLs of .torrent files"`
	Torrents   [][]byte `json:"torrents,omitempty" maxItems:"1000" doc:".torrent files in base64"`
	Dir        string   `json:"dir,omitempty" maxLength:"4096" doc:"empty: as the category or the settings say"`
	Category   string   `json:"category,omitempty" maxLength:"200"`
	Tags       []string `json:"tags,omitempty" maxItems:"100"`
	Name       string   `json:"name,omitempty" maxLength:"1000" doc:"to call it otherwise"`
	Paused     bool     `json:"paused,omitempty"`
	Forced     bool     `json:"forced,omitempty" doc:"regardless of the queue and of seed rules"`
	Top        bool     `json:"top,omitempty" doc:"first in the queue"`
	Sequential bool     `json:"sequential,omitempty"`
	SkipCheck  bool     `json:"skip_check,omitempty" doc:"all data is there and sound: do not hash it"`
	Select     []int    `json:"select,omitempty" doc:"wanted files by index; none: all, or what the link says"`
	Trackers   []string `json:"trackers,omitempty" maxItems:"200"`
	Peers      []string `json:"peers,omitempty" maxItems:"200" doc:"HOST:PORT"`
	DownLimit  int64    `json:"down_limit,omitempty" minimum:"0" doc:"bytes/s; 0: none of its own"`
	UpLimit    int64    `json:"up_limit,omitempty" minimum:"0" doc:"bytes/s; 0: none of its own"`
	SeedRatio  float64  `json:"seed_ratio,omitempty" minimum:"-1" doc:"0: as the rules say; -1: without end"`
	SeedTime   int64    `json:"seed_time,omitempty" minimum:"-1" doc:"seconds; 0: as the rules say; -1: without end"`
}

// AddResult tells what was added and what was not.
type AddResult struct {
	Added  []library.Added `json:"added" nullable:"false"`
	Failed []AddFailure    `json:"failed" nullable:"false"`
}

// AddFailure is one that was not added.
type AddFailure struct {
	Link    string `json:"link" doc:"as it was asked for, or the name of the file"`
	Message string `json:"message" doc:"why"`
}

// ActionRequest does something to many torrents.
type ActionRequest struct {
	Action library.Action `json:"action" enum:"pause,resume,force,recheck,announce,top,up,down,bottom,remove,remove_data"`
	IDs    []string       `json:"ids" nullable:"false" minItems:"1" maxItems:"100000" doc:"or one that is \"all\""`
}

// TorrentFile is a file of a torrent, and how it can be played.
type TorrentFile struct {
	library.File
	Media     string `json:"media" enum:"video,audio,image,subtitle," doc:"by the name's end"`
	StreamURL string `json:"stream_url,omitempty" doc:"path on this server at which a player reads it, complete or not; needs no login"`
}

// FilePage is a run of a torrent's files.
type FilePage struct {
	Total int           `json:"total"`
	Files []TorrentFile `json:"files" nullable:"false"`
}

// FileChange gives files a priority, or one file another path.
type FileChange struct {
	Files    []int            `json:"files,omitempty" doc:"by index, for priority"`
	Priority library.Priority `json:"priority,omitempty" enum:"skip,low,normal,high"`
	Index    *int             `json:"index,omitempty" minimum:"0" doc:"the file to rename"`
	Path     string           `json:"path,omitempty" maxLength:"4096" doc:"its new path below the torrent's dir, with slashes"`
}

// PeerRequest names peers to connect to.
type PeerRequest struct {
	Peers []string `json:"peers" nullable:"false" minItems:"1" maxItems:"200" doc:"HOST:PORT"`
}

// TrackerRequest names trackers to announce to.
type TrackerRequest struct {
	URLs []string `json:"urls" nullable:"false" minItems:"1" maxItems:"200"`
}

// Setting is one thing that can be set.
type Setting struct {
	Key     string          `json:"key"`
	Title   string          `json:"title"`
	Text    string          `json:"text" doc:"what it does"`
	Group   string          `json:"group"`
	Type    string          `json:"type" doc:"bool, int, float, text, list, size, rate, duration, path, choice, secret"`
	Unit    string          `json:"unit,omitempty"`
	Default json.RawMessage `json:"default"`
	Value   json.RawMessage `json:"value" doc:"a secret's is empty"`
	Source  string          `json:"source" enum:"default,saved,file,env,flag" doc:"where the value is from"`
	Locked  bool            `json:"locked" doc:"set by the file, the environment or a flag: not to be changed here"`
	Restart bool            `json:"restart" doc:"a change counts after a restart"`
	Choices []string        `json:"choices,omitempty"`
}

// Check is a finding of the doctor.
type Check struct {
	ID     string `json:"id"`
	Title  string `json:"title"`
	Level  string `json:"level" enum:"ok,note,warning,error"`
	Text   string `json:"text" doc:"what was found"`
	Remedy string `json:"remedy,omitempty" doc:"what to do about it"`
}

// Entry is a file or folder of the node's machine.
type Entry struct {
	Name   string `json:"name"`
	Path   string `json:"path"`
	Folder bool   `json:"folder"`
	Size   int64  `json:"size" doc:"0 for a folder"`
	Time   int64  `json:"time" doc:"Unix time of the last change"`
}

// Folder is what is in a folder. Of an empty path it is the roots.
type Folder struct {
	Path    string  `json:"path"`
	Parent  string  `json:"parent" doc:"empty for a root"`
	Entries []Entry `json:"entries" nullable:"false"`
	More    bool    `json:"more" doc:"there are more than are listed"`
}

// Me is who asks, and what the node can do for them.
type Me struct {
	Name        string           `json:"name" doc:"empty: nobody, or whoever can open the node's socket"`
	Role        accounts.Role    `json:"role" enum:"viewer,user,admin,"`
	Scopes      []accounts.Scope `json:"scopes" nullable:"false" doc:"what may be done: read, add, control, admin; none: log in"`
	SetupNeeded bool             `json:"setup_needed" doc:"there are no users yet: the node's log has the link"`
	Version     string           `json:"version,omitempty" doc:"of the node, told to who is logged in"`
}

// SetupRequest makes the first admin.
type SetupRequest struct {
	Code     string `json:"code" maxLength:"100" doc:"from the link in the node's log"`
	Name     string `json:"name" maxLength:"64"`
	Password string `json:"password" maxLength:"1024"`
}

// LoginRequest begins a session.
type LoginRequest struct {
	Name     string `json:"name" maxLength:"64"`
	Password string `json:"password" maxLength:"1024"`
}

// PasswordRequest changes one's own password.
type PasswordRequest struct {
	Old string `json:"old" maxLength:"1024"`
	New string `json:"new" maxLength:"1024"`
}

// UserRequest makes a user.
type UserRequest struct {
	Name     string        `json:"name" maxLength:"64"`
	Password string        `json:"password" maxLength:"1024"`
	Role     accounts.Role `json:"role" enum:"viewer,user,admin"`
}

// UserChange changes a user. What is absent stays.
type UserChange struct {
	Password string        `json:"password,omitempty" maxLength:"1024"`
	Role     accounts.Role `json:"role,omitempty" enum:"viewer,user,admin"`
}

// TokenRequest makes a token of who asks.
type TokenRequest struct {
	Name    string           `json:"name" maxLength:"200" doc:"what it is for"`
	Scopes  []accounts.Scope `json:"scopes" nullable:"false" minItems:"1" maxItems:"4" doc:"read, add, control, admin"`
	Expires int64            `json:"expires,omitempty" minimum:"0" doc:"Unix time; 0: never"`
	User    string           `json:"user,omitempty" maxLength:"64" doc:"whose; only an admin may name another"`
}

// NewToken is a token with its secret, which is told this once.
type NewToken struct {
	accounts.Token
	Secret string `json:"secret"`
}
