// Package form reads what browsers and programs send as forms, within bounds.
package form

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"path"
	"strings"
)

// Bounds of a form. What is read is bounded by the reader as well.
const (
	maxFields = 1000
	maxFiles  = 1000
	maxField  = 1 << 20  // bytes of a field that is no file
	maxFile   = 32 << 20 // bytes
	maxAll    = 64 << 20 // bytes of all of them
)

// Form is what was sent.
type Form struct {
	Values url.Values
	Files  []File
}

// File is a file of a form.
type File struct {
	Field string
	Name  string // the last part of the path that it had; for people
	Data  []byte
}

// ErrTooLarge says that a form is beyond its bounds.
var ErrTooLarge = errors.New("the form is too large")

// Read reads a form of one of the two types that there are (RFC 7578, and application/x-www-form-urlencoded). One without a type is empty.
func Read(contentType string, body io.Reader) (*Form, error) {
	f := &Form{Values: url.Values{}}
	if contentType == "" {
		return f, nil
	}
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, fmt.Errorf("content type of the form: %w", err)
	}
	switch kind {
	case "application/x-www-form-urlencoded":
		b, err := readAll(body, maxField)
		if err != nil {
			return nil, err
		}
		if strings.Count(string(b), "&") > maxFields {
			return nil, ErrTooLarge
		}
		f.Values, err = url.ParseQuery(string(b))
		return f, err
	case "multipart/form-data":
		if params["boundary"] == "" {
			return nil, errors.New("the form names no boundary")
		}
		return f, f.readParts(multipart.NewReader(body, params["boundary"]))
	}
	return nil, fmt.Errorf("%q is no type of a form", kind)
}

func (f *Form) readParts(r *multipart.Reader) error {
	all := 0
	for n := 0; ; n++ {
		p, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the form is broken: %w", err)
		}
		if n >= maxFields+maxFiles {
			return ErrTooLarge
		}
		limit := maxField
		if p.FileName() != "" {
			limit = maxFile
		}
		b, err := readAll(p, min(limit, maxAll-all))
		if err != nil {
			return err
		}
		all += len(b)
		if p.FileName() == "" {
			f.Values.Add(p.FormName(), string(b))
			continue
		}
		if len(f.Files) >= maxFiles {
			return ErrTooLarge
		}
		name := path.Base(strings.ReplaceAll(p.FileName(), `\`, "/"))
		f.Files = append(f.Files, File{Field: p.FormName(), Name: name, Data: b})
	}
}

func readAll(r io.Reader, limit int) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("the form is broken: %w", err)
	}
	if len(b) > limit {
		return nil, ErrTooLarge
	}
	return b, nil
}
