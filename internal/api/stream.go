package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"shoal/internal/library"
)

// EventQuery chooses what events tell.
type EventQuery struct {
	library.Query          // the window; its Limit is at most 500
	NoList        bool     // no list
	Torrent       string   // id of the one to tell all about
	Parts         []string // of it: files, peers, trackers, pieces
	Log           string   // lines of the log from this level on
}

// Event is one of a stream: list, delta, stats, detail, log or job.
type Event struct {
	Name string
	Data json.RawMessage
}

// Events calls f for each event until ctx ends, the stream does, or f fails. It returns nil only if the node ended the stream.
func (c *Client) Events(ctx context.Context, q EventQuery, f func(Event) error) error {
	v := queryOf(q.Query)
	if q.NoList {
		v.Set("limit", "0")
	}
	if q.Torrent != "" {
		v.Set("torrent", q.Torrent)
		v.Set("parts", strings.Join(q.Parts, ","))
	}
	if q.Log != "" {
		v.Set("log", q.Log)
	}
	a, err := c.send(ctx, http.MethodGet, "/events", v, nil)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	err = ReadEvents(a.Body, f)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// ReadEvents reads server-sent events (WHATWG HTML §9.2) as our server writes them: of each its name and one line of data.
func ReadEvents(r io.Reader, f func(Event) error) error {
	lines := bufio.NewReaderSize(r, 64<<10)
	var e Event
	for {
		line, err := readLine(lines)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the stream of events broke: %w", err)
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			if e.Name != "" && json.Valid(e.Data) {
				if err := f(e); err != nil {
					return err
				}
			}
			e = Event{}
		case name == "event":
			e.Name = value
		case name == "data":
			e.Data = json.RawMessage(value)
		}
	}
}

func readLine(r *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxEvent {
			return "", errors.New("an event is too long")
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return strings.TrimRight(string(line), "\r\n"), err
		}
	}
}
