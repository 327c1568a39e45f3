package geoip

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// small makes a database that knows 192.0.0.0/3 as Neverland, NV (MaxMind DB file format 2.0).
func small() []byte {
	text := func(s string) []byte { return append([]byte{2<<5 | byte(len(s))}, s...) }
	number := func(kind byte, v uint16) []byte {
		return append([]byte{kind<<5 | 2}, binary.BigEndian.AppendUint16(nil, v)...)
	}
	var b bytes.Buffer
	const nodes = 3
	record := func(v uint32) { b.Write([]byte{byte(v >> 16), byte(v >> 8), byte(v)}) }
	none, data := uint32(nodes), uint32(nodes+16)
	record(none)
	record(1) // 1…
	record(none)
	record(2)    // 11…
	record(data) // 110…
	record(none)
	b.Write(make([]byte, 16))
	b.WriteByte(7<<5 | 1)
	b.Write(text("country"))
	b.WriteByte(7<<5 | 1)
	b.Write(text("iso_code"))
	b.Write(text("NV"))
	b.WriteString("\xab\xcd\xefMaxMind.com")
	b.WriteByte(7<<5 | 7)
	for _, f := range []struct {
		key   string
		value []byte
	}{
		{"binary_format_major_version", number(5, 2)}, {"binary_format_minor_version", number(5, 0)}, {"node_count", append([]byte{6<<5 | 1}, nodes)},
		{"record_size", number(5, 24)}, {"ip_version", number(5, 4)}, {"database_type", text("Test")}, {"build_epoch", append([]byte{1, 9 - 7}, 1)},
	} {
		b.Write(text(f.key))
		b.Write(f.value)
	}
	return b.Bytes()
}

func TestCountry(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.mmdb")
	if err := os.WriteFile(path, small(), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for addr, want := range map[string]string{"192.0.2.1": "NV", "::ffff:200.1.2.3": "NV", "10.0.0.1": "", "240.0.0.1": "", "2001:db8::1": ""} {
		if got := d.Country(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
	if _, err := Open(filepath.Join("..", "geoip", "geoip.go")); err == nil || !strings.Contains(err.Error(), "geoip.go is no database") {
		t.Errorf("%v", err)
	}
}
