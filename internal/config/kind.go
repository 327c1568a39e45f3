package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind is the type of a setting, as the API names it.
type Kind string

// The kinds. In JSON sizes are bytes, rates bytes a second, durations seconds; in files and the environment they may have units.
const (
	Text     Kind = "string"
	Bool     Kind = "bool"
	Int      Kind = "int"
	Number   Kind = "number"
	Bytes    Kind = "bytes"
	Rate     Kind = "rate"
	Duration Kind = "duration"
	List     Kind = "list" // of texts; in the environment and in flags separated by commas
	Enum     Kind = "enum"
	Path     Kind = "path"
	PathList Kind = "paths" // a list of paths
	Secret   Kind = "secret"
)

// unit returns what a number of this kind counts, empty if it is none or a plain one.
func (k Kind) unit() string {
	switch k {
	case Bytes:
		return "bytes"
	case Rate:
		return "bytes/s"
	case Duration:
		return "seconds"
	}
	return ""
}

// maxText bounds a text, maxList the elements of a list.
const (
	maxText = 64 << 10
	maxList = 10_000
)

// parse turns what was written into the kind's Go value: string, bool, int64 (Int, Bytes, Rate), float64, time.Duration or []string.
// raw is a string, or what TOML and JSON have for it. Errors name what would be right, and not what was there: that may be secret.
func (k Kind) parse(raw any) (any, error) {
	switch k {
	case Bool:
		return parseBool(raw)
	case Int:
		return parseInt(raw)
	case Number:
		return parseNumber(raw)
	case Bytes, Rate:
		if s, ok := raw.(string); ok {
			return ParseBytes(strings.TrimSpace(s))
		}
		n, err := parseInt(raw)
		if err != nil || n < 0 {
			return nil, errSize
		}
		return n, nil
	case Duration:
		return parseSeconds(raw)
	case List, PathList:
		return parseList(raw)
	}
	s, ok := raw.(string)
	if !ok {
		return nil, errors.New("a text is needed, in quotation marks")
	}
	if len(s) > maxText {
		return nil, fmt.Errorf("longer than %d bytes", maxText)
	}
	if strings.ContainsAny(s, "\x00\n\r") {
		return nil, errors.New("it may have no line breaks")
	}
	return s, nil
}

func parseBool(raw any) (any, error) {
	switch v := raw.(type) {
	case bool:
		return v, nil
	case string:
		switch strings.ToLower(strings.TrimSpace(v)) {
		case "true", "yes", "on", "1":
			return true, nil
		case "false", "no", "off", "0":
			return false, nil
		}
	}
	return nil, errors.New("true or false is needed")
}

func parseInt(raw any) (int64, error) {
	bad := errors.New("a whole number is needed")
	switch v := raw.(type) {
	case int64:
		return v, nil
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v), nil
		}
	case string:
		if n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64); err == nil {
			return n, nil
		}
	}
	return 0, bad
}

func parseNumber(raw any) (any, error) {
	f := math.NaN()
	switch v := raw.(type) {
	case int64:
		f = float64(v)
	case float64:
		f = v
	case string:
		if n, err := strconv.ParseFloat(strings.TrimSpace(v), 64); err == nil {
			f = n
		}
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, errors.New("a number is needed, such as 1.5")
	}
	return f, nil
}

func parseSeconds(raw any) (any, error) {
	const most = float64(math.MaxInt64 / int64(time.Second))
	switch v := raw.(type) {
	case int64:
		if v >= 0 && float64(v) < most {
			return time.Duration(v) * time.Second, nil
		}
	case float64:
		if v >= 0 && v < most {
			return time.Duration(v * float64(time.Second)), nil
		}
	case string:
		return ParseDuration(strings.TrimSpace(v))
	}
	return nil, errDuration
}

func parseList(raw any) (any, error) {
	list := []string{}
	switch v := raw.(type) {
	case string:
		for _, s := range strings.Split(v, ",") {
			if s = strings.TrimSpace(s); s != "" {
				list = append(list, s)
			}
		}
	case []any:
		for _, e := range v {
			s, err := Text.parse(e)
			if err != nil {
				return nil, errors.New(`a list of texts is needed, such as ["one", "two"]`)
			}
			list = append(list, s.(string))
		}
	default:
		return nil, errors.New(`a list of texts is needed, such as ["one", "two"]`)
	}
	if len(list) > maxList {
		return nil, fmt.Errorf("more than %d elements", maxList)
	}
	return list, nil
}

// plain returns a value as JSON and the API have it.
func plain(v any) any {
	if d, ok := v.(time.Duration); ok {
		if d%time.Second == 0 {
			return int64(d / time.Second)
		}
		return d.Seconds()
	}
	return v
}

// toml writes a value as it may stand in the file.
func (k Kind) toml(v any) string {
	switch v := v.(type) {
	case int64:
		if k == Bytes || k == Rate {
			if s := formatBytes(v); s != "0" {
				return quote(s)
			}
		}
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	case time.Duration:
		if v == 0 {
			return "0"
		}
		return quote(formatDuration(v))
	case []string:
		quoted := make([]string, len(v))
		for i, s := range v {
			quoted[i] = quote(s)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	}
	return quote(v.(string))
}

// quote writes a text as TOML does, whose basic strings are JSON's where JSON escapes no HTML.
func quote(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err) // a string always can
	}
	return strings.ReplaceAll(strings.TrimSuffix(b.String(), "\n"), "\x7f", `\u007f`)
}

// store puts a parsed value into a field.
func store(field, v any) {
	switch f := field.(type) {
	case *string:
		*f = v.(string)
	case *bool:
		*f = v.(bool)
	case *int:
		*f = int(v.(int64))
	case *int64:
		*f = v.(int64)
	case *float64:
		*f = v.(float64)
	case *time.Duration:
		*f = v.(time.Duration)
	case *[]string:
		*f = slices.Clone(v.([]string))
	case *[]netip.Prefix:
		*f = nil
		for _, s := range v.([]string) {
			p, err := parsePrefix(s)
			if err != nil {
				panic(err) // the setting's check has refused it
			}
			*f = append(*f, p)
		}
	default:
		panic(fmt.Sprintf("a field of type %T", field))
	}
}

// read returns what is in a field as parse would.
func read(field any) any {
	switch f := field.(type) {
	case *string:
		return *f
	case *bool:
		return *f
	case *int:
		return int64(*f)
	case *int64:
		return *f
	case *float64:
		return *f
	case *time.Duration:
		return *f
	case *[]string:
		return append([]string{}, *f...)
	case *[]netip.Prefix:
		list := []string{}
		for _, p := range *f {
			list = append(list, p.String())
		}
		return list
	}
	panic(fmt.Sprintf("a field of type %T", field))
}
