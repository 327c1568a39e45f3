package form

import (
	"bytes"
	"errors"
	"mime/multipart"
	"strings"
	"testing"
)

func multi(t testing.TB, fields map[string]string, files map[string][]byte) (string, []byte) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for k, v := range fields {
		w.WriteField(k, v)
	}
	for k, v := range files {
		p, err := w.CreateFormFile("torrents", k)
		if err != nil {
			t.Fatal(err)
		}
		p.Write(v)
	}
	w.Close()
	return w.FormDataContentType(), b.Bytes()
}

func TestRead(t *testing.T) {
	kind, body := multi(t, map[string]string{"category": "tv"}, map[string][]byte{"../../a.torrent": {0, 1, 255}})
	f, err := Read(kind, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if f.Values.Get("category") != "tv" || len(f.Files) != 1 || f.Files[0].Name != "a.torrent" || f.Files[0].Field != "torrents" ||
		!bytes.Equal(f.Files[0].Data, []byte{0, 1, 255}) {
		t.Fatalf("%+v", f)
	}
	f, err = Read("application/x-www-form-urlencoded; charset=UTF-8", strings.NewReader("urls=a%0Ab&x=1&x=2"))
	if err != nil || f.Values.Get("urls") != "a\nb" || len(f.Values["x"]) != 2 {
		t.Fatalf("%+v, %v", f, err)
	}
}

func TestBounds(t *testing.T) {
	for name, c := range map[string][2]string{
		"many":  {"application/x-www-form-urlencoded", strings.Repeat("a&", maxFields+2)},
		"long":  {"application/x-www-form-urlencoded", strings.Repeat("a", maxField+1)},
		"parts": {"multipart/form-data; boundary=x", strings.Repeat("--x\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n", maxFields+maxFiles+2) + "--x--"},
		"files": {"multipart/form-data; boundary=x", strings.Repeat("--x\r\nContent-Disposition: form-data; name=a; filename=b\r\n\r\n\r\n", maxFiles+2) + "--x--"},
		"field": {"multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=a\r\n\r\n" + strings.Repeat("a", maxField+1) + "\r\n--x--"},
	} {
		if _, err := Read(c[0], strings.NewReader(c[1])); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, kind := range []string{"text/plain", "multipart/form-data", "multipart/mixed; boundary=x", "a/b/c", ";"} {
		if _, err := Read(kind, strings.NewReader("--x\r\n")); err == nil {
			t.Errorf("%q was read", kind)
		}
	}
}

func FuzzRead(f *testing.F) {
	kind, body := multi(f, map[string]string{"urls": "magnet:?xt=1\nb"}, map[string][]byte{"a.torrent": []byte("d1:ae")})
	f.Add(kind, body)
	f.Add("application/x-www-form-urlencoded", []byte("hashes=all&deleteFiles=true&x=%zz"))
	f.Add("multipart/form-data; boundary=x", []byte("--x\r\nContent-Disposition: form-data; name=a; filename=\"..\\..\\b\"\r\n\r\nc\r\n--x--"))
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		form, err := Read(kind, bytes.NewReader(body))
		if err != nil {
			return
		}
		for _, x := range form.Files {
			if strings.Contains(x.Name, "/") && x.Name != "/" || len(x.Data) > len(body) {
				t.Fatalf("%q has %d bytes", x.Name, len(x.Data))
			}
		}
	})
}
