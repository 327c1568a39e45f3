package transmission

import (
	"encoding/json"
	"strings"
	"unicode"
)

// snake returns a name of any of the three ways in snake_case.
func snake(name string) string {
	var b strings.Builder
	for _, r := range name {
		switch {
		case r == '-':
			b.WriteByte('_')
		case unicode.IsUpper(r):
			b.WriteByte('_')
			b.WriteRune(unicode.ToLower(r))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Names that snake makes of old ones and that are otherwise called.
var renamed = map[string]string{"is_u_t_p": "is_utp", "size_m_b": "size_mb"}

// camel returns a name as parts of torrents had it before 4.1.
func camel(name string) string {
	switch name {
	case "is_utp":
		return "isUTP"
	case "size_bytes", "peer_limit":
		return kebab(name)
	}
	var b strings.Builder
	for i, part := range strings.Split(name, "_") {
		if i > 0 && part != "" {
			part = strings.ToUpper(part[:1]) + part[1:]
		}
		b.WriteString(part)
	}
	return b.String()
}

// kebab returns a name as settings had it before 4.1.
func kebab(name string) string {
	switch name {
	case "seed_ratio_limit", "seed_ratio_limited":
		return camel(name)
	case "total_size":
		return name
	}
	return strings.ReplaceAll(name, "_", "-")
}

// named returns a value with the names in objects changed.
func named(v any, change func(string) string) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for name, x := range v {
			m[change(name)] = named(x, change)
		}
		return m
	case []map[string]any:
		list := make([]any, len(v))
		for i, x := range v {
			list[i] = named(x, change)
		}
		return list
	}
	return v
}

// arguments returns the parameters of a call by their names in snake_case.
func arguments(raw json.RawMessage) (map[string]json.RawMessage, error) {
	args := map[string]json.RawMessage{}
	if len(raw) == 0 || string(raw) == "null" {
		return args, nil
	}
	var sent map[string]json.RawMessage
	if err := json.Unmarshal(raw, &sent); err != nil {
		return nil, bad("the arguments are not an object")
	}
	for name, v := range sent {
		name = snake(name)
		if r := renamed[name]; r != "" {
			name = r
		}
		args[name] = v
	}
	return args, nil
}

// arg reads a parameter; there is false without one, or if it is null.
func arg[T any](c *call, name string) (v T, there bool, err error) {
	raw, ok := c.args[name]
	if !ok || string(raw) == "null" {
		return v, false, nil
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return v, false, bad("%s: %v", name, err)
	}
	return v, true, nil
}
