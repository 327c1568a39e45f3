//go:build linux

package main

import (
	"slices"
	"testing"

	"shoal/internal/bt/wire"
	"shoal/internal/ident"
)

func TestFirstPiece(t *testing.T) {
	b := []byte("\x13BitTo an encrypted handshake \x13") // what goes before does not matter
	b = wire.AppendHandshake(b, wire.Handshake{PeerID: ident.PeerID{7}})
	b = wire.AppendExtended(b, 0, []byte("d1:md6:ut_pexi7eee"))
	b = wire.AppendKeepAlive(b)
	b = wire.AppendBitfield(b, []byte{7, 7, 7, 7, 0, 0, 0, 14, 7})
	b = wire.AppendUnchoke(b)
	b = wire.AppendPieceHeader(b, 7, 0, 16<<10)
	at := len(b)
	b = append(b, make([]byte, 16<<10)...)
	for _, step := range []int{1, 3, 68, 1000, len(b)} {
		f, seen := newFirstPiece(), 0
		for part := range slices.Chunk(b, step) {
			seen += len(part)
			if f.write(part) {
				break
			}
		}
		// Found with the part that holds the first byte of payload, not sooner.
		if want := min((at/step+1)*step, len(b)); seen != want {
			t.Errorf("in parts of %d bytes: found after %d, want %d", step, seen, want)
		}
	}
	if newFirstPiece().write(b[:at]) {
		t.Error("a header without payload is taken for payload")
	}
}

func TestFlashRatio(t *testing.T) {
	for _, line := range []string{
		"    simruns_test.go:115: flash crowd of 100, 1000 pieces: 1.163 of the bound; the seed sent 1.03 copies\n",
		"x\n flash crowd: 1.163 of the bound\n",
	} {
		if got, err := flashRatio("=== RUN\n" + line + "--- PASS"); err != nil || got != 1.163 {
			t.Errorf("%q: %v, %v", line, got, err)
		}
	}
	if _, err := flashRatio("ok  \tshoal/internal/bt/swarm\t1.163s"); err == nil {
		t.Error("a figure out of nothing")
	}
}

func TestBlockCosts(t *testing.T) {
	got := blockCosts(`goos: linux
BenchmarkBlock/1_peers-2         	 5000000	       234.5 ns/op	       0 B/op	       0 allocs/op
BenchmarkBlock/500_peers-2       	  800000	      1326 ns/op	      12 extra	      25 B/op	       3 allocs/op
BenchmarkOther-2                 	  800000	      9999 ns/op	      25 B/op	       3 allocs/op
`)
	if want := []cost{{"1_peers", 234.5, 0}, {"500_peers", 1326, 3}}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestXMLRPCAnswers(t *testing.T) {
	answer := func(v string) string {
		return `<?xml version="1.0" encoding="UTF-8"?><methodResponse><params><param><value>` + v + `</value></param></params></methodResponse>`
	}
	for in, want := range map[string]string{"<string>0.9.8</string>": "0.9.8", "<i8>123</i8>": "123", "<string></string>": "", "bare": "bare"} {
		if got, err := scalar(answer(in)); err != nil || got != want {
			t.Errorf("%s: %q, %v", in, got, err)
		}
	}
	if _, err := scalar(`<methodResponse><fault><value><string>no</string></value></fault></methodResponse>`); err == nil {
		t.Error("a fault is no error")
	}
	if _, err := scalar("garbage"); err == nil {
		t.Error("garbage is no error")
	}
}
