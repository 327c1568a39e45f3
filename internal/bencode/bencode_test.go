package bencode

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
)

func TestNavigate(t *testing.T) {
	in := []byte("d1:ai-42e1:bl3:xyz0:i0ee1:cd1:k1:vee")
	v, err := Parse(in)
	if err != nil {
		t.Fatal(err)
	}
	if v.Kind() != Dict || v.Len() != 3 || !v.Canonical() || !bytes.Equal(v.Raw(), in) {
		t.Error(v.Kind(), v.Len(), v.Canonical())
	}
	a, _ := v.Get("a")
	if n, ok := a.Int(); !ok || n != -42 || a.Kind() != Int {
		t.Error(n, ok)
	}
	b, _ := v.Get("b")
	var kinds []string
	for item := range b.List() {
		kinds = append(kinds, item.Kind().String())
	}
	if got := strings.Join(kinds, " "); got != "string string integer" || b.Len() != 3 || string(b.Raw()) != "l3:xyz0:i0ee" {
		t.Error(got, b.Len())
	}
	for item := range b.List() {
		if s, ok := item.Str(); !ok || s != "xyz" || item.Len() != 3 {
			t.Error(s)
		}
		break
	}
	var keys string
	for k := range v.Dict() {
		keys += k
	}
	if keys != "abc" {
		t.Error(keys)
	}
	c, _ := v.Get("c")
	k, ok := c.Get("k")
	if s, _ := k.Bytes(); !ok || string(s) != "v" {
		t.Error(ok, s)
	}
	if _, ok := v.Get("k"); ok {
		t.Error("a key of an inner dictionary is found in the outer")
	}
}

// A value that is asked for what it is not answers with nothing.
func TestWrongKind(t *testing.T) {
	for _, in := range []string{"", "i1e", "1:a", "le", "de"} {
		v, _ := Parse([]byte(in))
		_, i := v.Int()
		_, s := v.Str()
		if i != (v.Kind() == Int) || s != (v.Kind() == String) {
			t.Error(in, i, s)
		}
		for range v.List() {
			t.Error(in, "has an item")
		}
		for range v.Dict() {
			t.Error(in, "has an entry")
		}
		if _, ok := v.Get("a"); ok {
			t.Error(in, "has a key")
		}
	}
	if (Value{}).Kind() != Invalid || (Value{}).Len() != 0 || (Value{}).Raw() != nil || (Value{}).Canonical() {
		t.Error("zero Value")
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		in     string
		offset int
		what   string
	}{
		{"", 0, "unexpected end"},
		{"i", 1, "unexpected end"},
		{"ie", 1, "without digits"},
		{"i-e", 2, "without digits"},
		{"i-0e", 1, "negative zero"},
		{"i00e", 1, "leading zero"},
		{"i-01e", 2, "leading zero"},
		{"i+1e", 1, `unexpected byte '+'`},
		{"i1.5e", 2, `unexpected byte '.'`},
		{"i9223372036854775808e", 1, "too large"},
		{"i-9223372036854775809e", 2, "too large"},
		{"i99999999999999999999999e", 1, "too large"},
		{"5:abc", 0, "string of 5 bytes, of which 3 are there"},
		{"03:abc", 0, "leading zero"},
		{"99999999999999999999:a", 0, "too large"},
		{"2147483647:a", 0, "of which 1 are there"},
		{"-1:a", 0, `unexpected byte '-'`},
		{"1", 1, "unexpected end"},
		{"1a", 1, `unexpected byte 'a' in a number`},
		{"l", 1, "unexpected end"},
		{"li1e", 4, "unexpected end"},
		{"d", 1, "unexpected end"},
		{"d1:a", 4, "unexpected end"},
		{"d1:ae", 4, `unexpected byte 'e'`},
		{"di1ei2ee", 1, "key begins with 'i'"},
		{"d1:ai1e1:ai2ee", 7, `repeated key "a"`},
		{"d1:bi1e1:ai2e1:bi3ee", 13, `repeated key "b"`},
		{"i1ei2e", 3, "3 bytes after the value"},
		{"x", 0, `unexpected byte 'x'`},
		{strings.Repeat("l", 65) + strings.Repeat("e", 65), 64, "more than 64 levels"},
		{strings.Repeat("l", 1<<20), 64, "more than 64 levels"},
	} {
		v, err := Parse([]byte(c.in))
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || syntax.Offset != c.offset || !strings.Contains(syntax.Error(), c.what) || v.Kind() != Invalid {
			t.Errorf("%.40q: %v, want %q at %d", c.in, err, c.what, c.offset)
		}
	}
	if _, err := Parse([]byte("l" + strings.Repeat("0:", MaxNodes) + "e")); err == nil || !strings.Contains(err.Error(), "values") {
		t.Error(err)
	}
}

func TestAccepted(t *testing.T) {
	for in, canonical := range map[string]bool{
		"i0e": true, "i9223372036854775807e": true, "i-9223372036854775808e": true, "0:": true,
		"d1:bi1e1:ai2ee":   false,
		"ld1:bi1e1:ai2eee": false,
		"d0:i1e1:ai2ee":    true,
		"d2:aai1e1:ai2ee":  false,
		strings.Repeat("l", 64) + strings.Repeat("e", 64): true,
	} {
		v, err := Parse([]byte(in))
		if err != nil || v.Canonical() != canonical {
			t.Errorf("%q: %v, canonical %v", in, err, v.Canonical())
		}
	}
	v, _ := Parse([]byte("i-9223372036854775808e"))
	if n, ok := v.Int(); !ok || n != math.MinInt64 {
		t.Error(n, ok)
	}
}

func TestPrefix(t *testing.T) {
	v, rest, err := ParsePrefix([]byte("d8:msg_typei1eepayload"))
	if err != nil || string(rest) != "payload" || v.Len() != 1 {
		t.Fatal(v, rest, err)
	}
	if grown := append(v.Raw(), '!'); len(grown) == 0 || rest[0] != 'p' {
		t.Error("appending to Raw wrote into what follows")
	}
}

func TestAppend(t *testing.T) {
	inner, _ := Parse([]byte("li7ee"))
	got := Append(nil, map[string]any{
		"z": []any{1, int64(-2), uint32(3), uint16(4), "five", []byte{6}}, "a": Raw("de"), "v": inner, "": map[string]any{},
	})
	if want := "d0:de1:ade1:vli7ee1:zli1ei-2ei3ei4e4:five1:\x06ee"; string(got) != want {
		t.Errorf("%q, want %q", got, want)
	}
	defer func() {
		if recover() == nil {
			t.Error("a bool was encoded")
		}
	}()
	Append(nil, true)
}

// decode builds the tree that a Value describes.
func decode(v Value) any {
	switch v.Kind() {
	case Int:
		n, _ := v.Int()
		return n
	case String:
		s, _ := v.Bytes()
		return s
	case List:
		l := []any{}
		for item := range v.List() {
			l = append(l, decode(item))
		}
		return l
	}
	d := map[string]any{}
	for k, item := range v.Dict() {
		d[k] = decode(item)
	}
	return d
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"i-1e", "3:abc", "le", "d1:ai1e1:bl1:xee", "d1:bi1e1:ai2ee", "d8:msg_typei1eedata", "i-0e", "5:ab", "d1:ai1e1:ai1ee"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		v, rest, err := ParsePrefix(in)
		if err != nil {
			return
		}
		if len(v.Raw())+len(rest) != len(in) {
			t.Fatalf("%d + %d bytes of %d", len(v.Raw()), len(rest), len(in))
		}
		tree := decode(v)
		out := Append(nil, tree)
		if bytes.Equal(out, v.Raw()) != v.Canonical() {
			t.Fatalf("%q became %q, canonical %v", v.Raw(), out, v.Canonical())
		}
		if again, err := Parse(out); err != nil || !again.Canonical() {
			t.Fatalf("%q: %v", out, err)
		}
		switch tree := tree.(type) {
		case []any:
			if v.Len() != len(tree) {
				t.Fatal(v.Len())
			}
		case map[string]any:
			if v.Len() != len(tree) {
				t.Fatal(v.Len())
			}
			for k := range tree {
				if _, ok := v.Get(k); !ok {
					t.Fatalf("no %q", k)
				}
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	item := "d6:lengthi123456e4:pathl3:dir8:file.bineee"
	in := []byte("l" + strings.Repeat(item[:len(item)-1], 10000) + "e")
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		if _, err := Parse(in); err != nil {
			b.Fatal(err)
		}
	}
}
