package bencode

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// Raw is an encoded value that Append inserts as it is.
type Raw []byte

// AppendInt appends an integer.
func AppendInt(dst []byte, n int64) []byte {
	dst = append(dst, 'i')
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, 'e')
}

// AppendString appends a string.
func AppendString(dst []byte, s string) []byte {
	dst = strconv.AppendInt(dst, int64(len(s)), 10)
	dst = append(dst, ':')
	return append(dst, s...)
}

// AppendBytes appends a string given as bytes.
func AppendBytes(dst, s []byte) []byte {
	dst = strconv.AppendInt(dst, int64(len(s)), 10)
	dst = append(dst, ':')
	return append(dst, s...)
}

// Append appends a value: an int, int64, uint32, uint16, string, []byte, []any, map[string]any (its keys sorted), Raw or
// Value. It panics for any other type, which only a mistake in the program can bring.
func Append(dst []byte, v any) []byte {
	switch v := v.(type) {
	case int:
		return AppendInt(dst, int64(v))
	case int64:
		return AppendInt(dst, v)
	case uint32:
		return AppendInt(dst, int64(v))
	case uint16:
		return AppendInt(dst, int64(v))
	case string:
		return AppendString(dst, v)
	case []byte:
		return AppendBytes(dst, v)
	case []any:
		dst = append(dst, 'l')
		for _, item := range v {
			dst = Append(dst, item)
		}
		return append(dst, 'e')
	case map[string]any:
		dst = append(dst, 'd')
		for _, key := range slices.Sorted(maps.Keys(v)) {
			dst = AppendString(dst, key)
			dst = Append(dst, v[key])
		}
		return append(dst, 'e')
	case Raw:
		return append(dst, v...)
	case Value:
		return append(dst, v.raw...)
	}
	panic(fmt.Sprintf("bencode: cannot encode a %T", v))
}
