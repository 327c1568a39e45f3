package lsd

import (
	"reflect"
	"strings"
	"testing"

	"shoal/internal/ident"
)

func name(i int) ident.V1 { return ident.V1{1, byte(i >> 8), byte(i)} }

const hash = "0100070000000000000000000000000000000000" // name(7)

func TestMessage(t *testing.T) {
	b, n := message{port: 6881, names: []ident.V1{name(7)}, cookie: "c0ffee"}.bytes("239.192.152.143:6771")
	want := "BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 6881\r\nInfohash: " + hash + "\r\ncookie: c0ffee\r\n\r\n\r\n"
	if want = strings.Replace(want, hash, name(7).String(), 1); string(b) != want || n != 1 {
		t.Errorf("%q", b)
	}
	var names []ident.V1
	for i := range 100 {
		names = append(names, name(i))
	}
	b, n = message{port: 65535, names: names, cookie: "0123456789abcdef"}.bytes(groups[1].String())
	if len(b) > maxMessage || len(b) < maxMessage-60 || n != 25 {
		t.Errorf("%d names in %d bytes", n, len(b))
	}
	m, err := parse(b)
	if want := (message{65535, names[:n], "0123456789abcdef"}); err != nil || !reflect.DeepEqual(m, want) {
		t.Errorf("%v, %v", m, err)
	}
}

func TestParse(t *testing.T) {
	h := name(7).String()
	one := []ident.V1{name(7)}
	many := "BT-SEARCH * HTTP/1.1\r\nPort: 1\r\n"
	for i := range 28 {
		many += "Infohash:" + name(i + 1).String()[:40] + "\n"
	}
	for _, c := range []struct {
		text string
		want message
		err  error
	}{
		{"BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 51413\r\nInfohash: " + h + "\r\n\r\n\r\n", message{51413, one, ""}, nil},
		{"bt-search * HTTP/1.0\nPORT:51413\nINFOHASH:" + strings.ToUpper(h), message{51413, one, ""}, nil},
		{"BT-SEARCH * HTTP/1.1\r\nPort: 1\r\nX: y\r\nnonsense\r\nInfohash: " + h + "\r\nInfohash: " + h + "\r\nCookie: z\r\n", message{1, one, "z"}, nil},
		{"BT-SEARCH * HTTP/1.1\r\nPort: 1\r\nInfohash: 12\r\nInfohash: " + h + "00\r\nInfohash: " + h + "\r\n", message{1, one, ""}, nil},
		{"BT-SEARCH * HTTP/1.1\r\nPort: 1\r\n\r\nInfohash: " + h + "\r\n", message{}, errNoNames},
		{"BT-SEARCH * HTTP/1.1\r\nPort: 1\r\nInfohash: " + strings.Repeat("0", 40) + "\r\n", message{}, errNoNames},
		{"BT-SEARCH * HTTP/1.1\r\nInfohash: " + h + "\r\n\r\n", message{}, errNoPort},
		{"BT-SEARCH * HTTP/1.1\r\nPort: 0\r\nInfohash: " + h + "\r\n\r\n", message{}, errNoPort},
		{"BT-SEARCH * HTTP/1.1\r\nPort: 65536\r\nInfohash: " + h + "\r\n\r\n", message{}, errNoPort},
		{"BT-SEARCH * HTTP/1.1\r\nPort: -1\r\nInfohash: " + h + "\r\n\r\n", message{}, errNoPort},
		{"M-SEARCH * HTTP/1.1\r\nPort: 1\r\nInfohash: " + h + "\r\n\r\n", message{}, errNoSearch},
		{"BT-SEARCH * HTTP/1.1\r\nPort: 1\r\nInfohash: " + h + "\r\nX: " + strings.Repeat("x", 1500) + "\r\n", message{}, errNoSearch},
		{"", message{}, errNoSearch},
	} {
		m, err := parse([]byte(c.text))
		if err != c.err || !reflect.DeepEqual(m, c.want) {
			t.Errorf("%q: %v, %v, want %v, %v", c.text, m, err, c.want, c.err)
		}
	}
	if m, err := parse([]byte(many)); err != nil || len(m.names) != 28 {
		t.Errorf("%d names, %v", len(m.names), err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("BT-SEARCH * HTTP/1.1\r\nHost: [ff15::efc0:988f]:6771\r\nPort: 6881\r\nInfohash: " + hash + "\r\ncookie: 1\r\n\r\n\r\n"))
	f.Add([]byte("bt-search\nport:1\ninfohash:" + hash + "\ninfohash:" + strings.Repeat("f", 40)))
	f.Add([]byte("BT-SEARCH * HTTP/1.1\r\nPort: 0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parse(b)
		if err != nil {
			if m.port != 0 || m.names != nil {
				t.Errorf("%v with %v", m, err)
			}
			return
		}
		if m.port == 0 || len(m.names) == 0 || len(m.names) > maxNames {
			t.Fatalf("%v", m)
		}
		m.cookie = "c"
		out, n := m.bytes(groups[0].String())
		back, err := parse(out)
		if err != nil || len(out) > maxMessage || back.port != m.port || back.cookie != m.cookie || !reflect.DeepEqual(back.names, m.names[:n]) {
			t.Errorf("%v, then %v, %v", m, back, err)
		}
	})
}
