package api

import (
	"encoding/json"
	"reflect"
	"strings"
	"sync"
)

// Fields are those of a row that changed, by their names in JSON.
type Fields map[string]json.RawMessage

// column is a field of a row: where it is and its name in JSON.
type column struct {
	index []int
	name  string
	empty bool // left out of a whole row when it is zero
}

var columnsOf sync.Map // reflect.Type: []column

// columns returns the fields of a struct as JSON has them: those of embedded ones are its own.
func columns(t reflect.Type) []column {
	if c, ok := columnsOf.Load(t); ok {
		return c.([]column)
	}
	var list []column
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || !f.IsExported() || name == "" || name == "-" {
			continue
		}
		list = append(list, column{f.Index, name, strings.Contains(options, "omitempty")})
	}
	columnsOf.Store(t, list)
	return list
}

// Whole returns all fields of a row.
func Whole[T any](row *T) Fields {
	v := reflect.ValueOf(row).Elem()
	fields := Fields{}
	for _, c := range columns(v.Type()) {
		if f := v.FieldByIndex(c.index); !c.empty || !f.IsZero() {
			fields[c.name] = encode(f)
		}
	}
	return fields
}

// Changes returns the fields in which a row differs from what it was, with the one by which it is known. Without any it returns nil.
func Changes[T any](was, is *T, key string) Fields {
	a, b := reflect.ValueOf(was).Elem(), reflect.ValueOf(is).Elem()
	var fields Fields
	for _, c := range columns(b.Type()) {
		x, y := a.FieldByIndex(c.index), b.FieldByIndex(c.index)
		if same(x, y) {
			continue
		}
		if fields == nil {
			fields = Fields{}
		}
		fields[c.name] = encode(y)
	}
	if fields == nil {
		return nil
	}
	for _, c := range columns(b.Type()) {
		if c.name == key {
			fields[key] = encode(b.FieldByIndex(c.index))
		}
	}
	return fields
}

func same(x, y reflect.Value) bool {
	switch x.Kind() {
	case reflect.Slice:
		if x.Len() != y.Len() {
			return false
		}
		for i := range x.Len() {
			if !same(x.Index(i), y.Index(i)) {
				return false
			}
		}
		return true
	case reflect.String:
		return x.String() == y.String()
	case reflect.Float64:
		return x.Float() == y.Float()
	case reflect.Bool:
		return x.Bool() == y.Bool()
	case reflect.Int, reflect.Int64:
		return x.Int() == y.Int()
	}
	return reflect.DeepEqual(x.Interface(), y.Interface())
}

func encode(v reflect.Value) json.RawMessage {
	b, err := json.Marshal(v.Interface())
	if err != nil {
		return json.RawMessage("null") // a number that is none: JSON has no word for it
	}
	return b
}
