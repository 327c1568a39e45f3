package krpc

import (
	"crypto/ed25519"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The test vectors of BEP 42.
func TestSecureIDs(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct{ ip, id string }{
		{"124.31.75.21", "5fbfbff10c5d6a4ec8a88e4c6ab4c28b95eee401"},
		{"21.75.31.124", "5a3ce9c14e7a08645677bbd1cfe7d8f956d53256"},
		{"65.23.51.170", "a5d43220bc8f112a3d426c84764f8c2a1150e616"},
		{"84.124.73.14", "1b0321dd1bb1fe518101ceef99462b947a01ff41"},
		{"43.213.53.83", "e56f6cbf5b7c4be0237986d5243b87aa6d51305a"},
	} {
		ip, id := netip.MustParseAddr(c.ip), ID(unhex(t, c.id))
		if !id.Secure(ip) {
			t.Errorf("%s may not have %s", c.ip, c.id)
		}
		if id.Secure(ip.Next().Next()) {
			t.Errorf("%s may have %s", ip.Next().Next(), c.id)
		}
		for range 100 {
			if id := SecureID(ip, r); !id.Secure(ip) {
				t.Errorf("%s was given %s", ip, id)
			}
		}
	}
	six := netip.MustParseAddr("2001:db8:1234:5678::1")
	if id := SecureID(six, r); !id.Secure(six) || !id.Secure(six.Next()) || id.Secure(netip.MustParseAddr("2001:db8:1234:5679::1")) {
		t.Errorf("%s was given %s", six, id)
	}
	for _, local := range []string{"10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.1.1", "127.0.0.1", "::1", "fe80::1", "fd00::1"} {
		if !(ID{}).Secure(netip.MustParseAddr(local)) {
			t.Errorf("%s is local", local)
		}
	}
}

// The test vectors of BEP 44.
func TestItems(t *testing.T) {
	value := []byte("12:Hello World!")
	public := unhex(t, "77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548")
	for _, c := range []struct{ salt, target, sig string }{
		{"", "4a533d47ec9c7d95b1ad75f576cffc641853b750",
			"305ac8aeb6c9c151fa120f120ea2cfb923564e11552d06a5d856091e5e853cff1260d3f39e4999684aa92eb73ffd136e6f4f3ecbfda0ce53a1608ecd7ae21f01"},
		{"foobar", "411eba73b6f087ca51a3795d9c8c938d365e32c1",
			"6834284b6b24c3204eb2fea824d82f88883a3d95e8b4a21b8c0ded553d17d17ddf9a8a7104b1258f30bed3787e6cb896fca78c58f8e03b5f18f14951a87d9a08"},
	} {
		sig := unhex(t, c.sig)
		if id := Mutable(public, []byte(c.salt)); id.String() != c.target {
			t.Errorf("salt %q: target %s", c.salt, id)
		}
		if !Verify(public, []byte(c.salt), 1, value, sig) {
			t.Errorf("salt %q: the signature is not right", c.salt)
		}
		if Verify(public, []byte(c.salt), 2, value, sig) || Verify(public, []byte("other"), 1, value, sig) || Verify(public, []byte(c.salt), 1, value[:14], sig) {
			t.Errorf("salt %q: the signature of something else is right", c.salt)
		}
	}
	if id := Immutable(value); id.String() != "e5f96f6f38320f0f33959cb4d3d656452117aadb" {
		t.Errorf("immutable target %s", id)
	}
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if sig := Sign(private, []byte("s"), 7, value); !Verify(private.Public().(ed25519.PublicKey), []byte("s"), 7, value, sig) {
		t.Error("our own signature is not right")
	}
	if Verify(public[:31], nil, 1, value, make([]byte, 64)) || Verify(public, nil, 1, value, make([]byte, 63)) || Verify(public, make([]byte, 65), 1, value, make([]byte, 64)) {
		t.Error("odd lengths are right")
	}
}

// The targets of BEP 46.
func TestTargetsOfPublicKeys(t *testing.T) {
	key := unhex(t, "8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e")
	if id := Mutable(key, nil); id.String() != "cc3f9d90b572172053626f9980ce261a850d050b" {
		t.Error(id)
	}
	if id := Mutable(key, []byte("n")); id.String() != "59ee7c2cb9b4f7eb1986ee2d18fd2fdb8a56554f" {
		t.Error(id)
	}
}

func TestValues(t *testing.T) {
	for _, c := range []struct {
		value string
		want  int64
	}{
		{"i3e", 0}, {"d1:ai1e1:bi2ee", 0}, {"996:" + strings.Repeat("x", 996), 0},
		{"d1:bi1e1:ai2ee", ProtocolError}, {"i3ei4e", ProtocolError}, {"", ProtocolError}, {"i03e", ProtocolError},
		{"997:" + strings.Repeat("x", 997), ValueTooBig},
	} {
		if got := CheckValue([]byte(c.value)); got != c.want {
			t.Errorf("%.20q: %d, want %d", c.value, got, c.want)
		}
	}
}

// The test vector of BEP 33.
func TestFilter(t *testing.T) {
	want := unhex(t, strings.Join([]string{
		"F6C3F5EAA07FFD91BDE89F777F26FB2BFF37BDB8FB2BBAA2FD3DDDE7BACFFF75EE7CCBAE",
		"FE5EEDB1FBFAFF67F6ABFF5E43DDBCA3FD9B9FFDF4FFD3E9DFF12D1BDF59DB53DBE9FA5B",
		"7FF3B8FDFCDE1AFB8BEDD7BE2F3EE71EBBBFE93BCDEEFE148246C2BC5DBFF7E7EFDCF24F",
		"D8DC7ADFFD8FFFDFDDFFF7A4BBEEDF5CB95CE81FC7FCFF1FF4FFFFDFE5F7FDCBB7FD79B3",
		"FA1FC77BFE07FFF905B7B7FFC7FEFEFFE0B8370BB0CD3F5B7F2BD93FEB4386CFDD6F7FD5",
		"BFAF2E9EBFFFFEECD67ADBF7C67F17EFD5D75EBA6FFEBA7FFF47A91EB1BFBB53E8ABFB57",
		"62ABE8FF237279BFEFBFEEF5FFC5FEBFDFE5ADFFADFEE1FB737FFFFBFD9F6AEFFEEE76B6",
		"FD8F72EF",
	}, ""))
	var f, low, high Filter
	a := netip.MustParseAddr("192.0.2.0")
	for range 256 {
		f.Add(a)
		low.Add(a)
		a = a.Next()
	}
	a = netip.MustParseAddr("2001:db8::")
	for range 1000 {
		f.Add(a)
		high.Add(a)
		a = a.Next()
	}
	if f != Filter(want) {
		t.Errorf("filter %x", f)
	}
	if e := f.Estimate(); math.Abs(e-1224.9308) > 0.0001 {
		t.Errorf("estimate %f", e)
	}
	if !f.Has(netip.MustParseAddr("192.0.2.7")) || (&Filter{}).Has(a) {
		t.Error("a member is missing, or the empty set has one")
	}
	low.Merge(&high)
	if low != f {
		t.Error("the union is not that of all members")
	}
	var full Filter
	for i := range full {
		full[i] = 0xff
	}
	if full.Credible() || !f.Credible() || (&Filter{}).Estimate() != 0 {
		t.Errorf("full: %f, empty: %f", full.Estimate(), (&Filter{}).Estimate())
	}
}

func TestDistance(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		a, b := RandomID(ID{}, 0, r), RandomID(ID{}, 0, r)
		n := r.IntN(160)
		c := RandomID(a, n, r)
		if p := Prefix(a, c); p < n {
			t.Fatalf("%d leading bits of %s in %s: %d", n, a, c, p)
		}
		if Closer(a, b, c) != (Prefix(a, b) > Prefix(a, c)) && Prefix(a, b) != Prefix(a, c) {
			t.Fatalf("%s: %s and %s", a, b, c)
		}
		if Closer(a, b, b) || !Closer(a, a, b) {
			t.Fatal("distance to oneself")
		}
	}
}
