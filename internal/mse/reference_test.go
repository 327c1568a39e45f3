package mse

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"io"
	"math/big"
	"slices"
	"testing"

	"shoal/internal/ident"
)

// reference is a peer by a second implementation, as plain as the specification, that says what it is told to.
type reference struct {
	key     ident.V1
	private int64
	pad1    int     // length of PadA or PadB
	pad2    int     // length of PadC or PadD
	claim   int     // is added to pad2 where its length is told
	vc      byte    // of which VC consists
	methods Methods // crypto_provide or crypto_select
	payload []byte  // IA

	out, in func([]byte) []byte // what encrypts and decrypts
	theirs  Methods             // what the other side said
	got     []byte              // its IA
}

var refPrime = func() *big.Int {
	p, _ := hex.DecodeString("ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd" +
		"ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a63a36210000000000090563")
	return new(big.Int).SetBytes(p)
}()

// refPower is b to the power of x.
func refPower(b *big.Int, x int64) []byte {
	r := big.NewInt(1)
	for bit := 62; bit >= 0; bit-- {
		r.Mul(r, r).Mod(r, refPrime)
		if x>>bit&1 == 1 {
			r.Mul(r, b).Mod(r, refPrime)
		}
	}
	return r.FillBytes(make([]byte, 96))
}

func refHash(parts ...[]byte) []byte {
	h := sha1.Sum(slices.Concat(parts...))
	return h[:]
}

// refCipher is RC4 as in RFC 6229, whose result goes to a new slice.
func refCipher(key []byte, drop int) func([]byte) []byte {
	var s [256]int
	for i := range s {
		s[i] = i
	}
	j := 0
	for i := range s {
		j = (j + s[i] + int(key[i%len(key)])) % 256
		s[i], s[j] = s[j], s[i]
	}
	i, j := 0, 0
	xor := func(b []byte) []byte {
		c := slices.Clone(b)
		for n := range c {
			i = (i + 1) % 256
			j = (j + s[i]) % 256
			s[i], s[j] = s[j], s[i]
			c[n] ^= byte(s[(s[i]+s[j])%256])
		}
		return c
	}
	xor(make([]byte, drop))
	return xor
}

func (r *reference) pair(secret []byte) (a, b func([]byte) []byte) {
	return refCipher(refHash([]byte("keyA"), secret, r.key[:]), 1024), refCipher(refHash([]byte("keyB"), secret, r.key[:]), 1024)
}

func refXor(a, b []byte) []byte {
	c := slices.Clone(a)
	for i := range c {
		c[i] ^= b[i]
	}
	return c
}

func (r *reference) head() []byte {
	m := bytes.Repeat([]byte{r.vc}, 8)
	m = be.AppendUint32(m, uint32(r.methods))
	m = be.AppendUint16(m, uint16(r.pad2+r.claim))
	return append(m, make([]byte, r.pad2)...)
}

// opening is the first message of either side.
func (r *reference) opening() []byte {
	return append(refPower(big.NewInt(2), r.private), bytes.Repeat([]byte{0xAA}, r.pad1)...)
}

// request is the second message of A.
func (r *reference) request(theirs []byte) []byte {
	secret := refPower(new(big.Int).SetBytes(theirs), r.private)
	r.out, r.in = r.pair(secret)
	rest := be.AppendUint16(r.head(), uint16(len(r.payload)))
	return slices.Concat(refHash([]byte("req1"), secret),
		refXor(refHash([]byte("req2"), r.key[:]), refHash([]byte("req3"), secret)),
		r.out(append(rest, r.payload...)))
}

func (r *reference) read(c io.Reader, n int) ([]byte, error) {
	b := make([]byte, n)
	_, err := io.ReadFull(c, b)
	return b, err
}

// find reads byte by byte until mark has come, which is after at most 512 others.
func (r *reference) find(c io.Reader, mark []byte) error {
	var all []byte
	for !bytes.HasSuffix(all, mark) {
		b, err := r.read(c, 1)
		if err != nil {
			return err
		}
		if all = append(all, b...); len(all) > 512+len(mark) {
			return errors.New("no mark")
		}
	}
	return nil
}

// rest reads VC's successors: methods and a padding.
func (r *reference) rest(c io.Reader) error {
	b, err := r.read(c, 6)
	if err != nil {
		return err
	}
	b = r.in(b)
	r.theirs = Methods(be.Uint32(b))
	n := int(be.Uint16(b[4:]))
	if n > 512 {
		return errors.New("long padding")
	}
	b, err = r.read(c, n)
	if err == nil && !bytes.Equal(r.in(b), make([]byte, n)) {
		return errors.New("padding is not zero")
	}
	return err
}

// initiate is A.
func (r *reference) initiate(c io.ReadWriter) error {
	if _, err := c.Write(r.opening()); err != nil {
		return err
	}
	theirs, err := r.read(c, 96)
	if err != nil {
		return err
	}
	if _, err = c.Write(r.request(theirs)); err != nil {
		return err
	}
	if err = r.find(c, r.in(make([]byte, 8))); err != nil {
		return err
	}
	return r.rest(c)
}

// accept is B.
func (r *reference) accept(c io.ReadWriter) error {
	theirs, err := r.read(c, 96)
	if err != nil {
		return err
	}
	secret := refPower(new(big.Int).SetBytes(theirs), r.private)
	r.in, r.out = r.pair(secret)
	if _, err = c.Write(r.opening()); err != nil {
		return err
	}
	if err = r.find(c, refHash([]byte("req1"), secret)); err != nil {
		return err
	}
	name, err := r.read(c, 20)
	if err != nil {
		return err
	}
	if !bytes.Equal(name, refXor(refHash([]byte("req2"), r.key[:]), refHash([]byte("req3"), secret))) {
		return errors.New("another swarm")
	}
	vc, err := r.read(c, 8)
	if err != nil {
		return err
	}
	if !bytes.Equal(r.in(vc), make([]byte, 8)) {
		return errors.New("VC is not zero")
	}
	if err = r.rest(c); err != nil {
		return err
	}
	length, err := r.read(c, 2)
	if err != nil {
		return err
	}
	ia, err := r.read(c, int(be.Uint16(r.in(length))))
	if err != nil {
		return err
	}
	r.got = r.in(ia)
	_, err = c.Write(r.out(r.head()))
	return err
}

// known is an exchange that a third implementation, in another language, has computed.
var known = struct {
	a, b, ya, yb, secret, req1, req2, name, keyA, keyB string
	key                                                ident.V1
}{
	key:    ident.V1([]byte("0123456789:;<=>?@ABC")),
	a:      "0102030405060708090a0b0c0d0e0f1011121314",
	b:      "65666768696a6b6c6d6e6f707172737475767778",
	ya:     "96e112dab29e8c5272accb9b17b26887ce54a144a4e3b697c7d159b7a817e556b0918db2b4c658e02a87f7e5fb14b18a553e084cbf3dad2d30f16596ccb982d406258c61b30c5c1dae2ddc60bdbd48d79896312aad63238c39e1a633821eb693",
	yb:     "d32ae8cedd0de9ca4fe67e35626bb8c7cdb0966727d899f6a62fdb2b68817f9ddc4b684e3eb34030b8dba4e028b7cff3264020340cb4eab61923cdc4e4216ba873368d83f0a38e497f1f6b4e3d2012eb91a3ee6056f966f9eae732089b6fa46e",
	secret: "d05ed96a95215a89b44073afe5d0b1626289ac01cff7849392948b2470b346547e944d7562a897ae86976bc389999083ec09572dbdc8ed7f6a0a86a1aa42a3ca04209b72d8239890360435640643b76479ed7836f1857963fcc7cb72084c3ab4",
	req1:   "78fffb0f23055a793ff7609f359e04e383ec3505",
	req2:   "f9841e21f9f831483b48eb79b0a2797f6f9e8ae7",
	name:   "c2c30b0e90a6c190ea630282175febed4031cf0f",
	keyA:   "91f2f2413460cafc1f4768817f65d14a5e0307903702d993065c0bb30c25599dec53cd51752342d6",
	keyB:   "f015227efc1691428d1db7c560c0bea2c3ed9d3f14bd9aef3de6aded0d26c97a85964ef6c9840355",
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func TestKnownExchange(t *testing.T) {
	is := func(what string, got []byte, want string) {
		t.Helper()
		if hex.EncodeToString(got) != want {
			t.Errorf("%s is %x, want %s", what, got, want)
		}
	}
	a, b := keyPairOf(unhex(known.a)), keyPairOf(unhex(known.b))
	is("Ya", a.public[:], known.ya)
	is("Yb", b.public[:], known.yb)
	secret, ok := a.secret(&b.public)
	other, _ := b.secret(&a.public)
	if !ok || !bytes.Equal(secret, other) {
		t.Fatal("the two sides have different secrets")
	}
	is("S", secret, known.secret)
	req2 := KeyHash(known.key)
	is("HASH('req2', SKEY)", req2[:], known.req2)
	out := newStream("keyA", secret, known.key)
	m := request(secret, known.key, out, RC4, []byte("payload"))
	is("HASH('req1', S)", m[:20], known.req1)
	is("the swarm's name", m[20:40], known.name)
	is("VC", m[40:48], known.keyA[:16])
	m = m[40:]
	for i := range min(len(m), 40) {
		m[i] ^= unhex(known.keyA)[i]
	}
	want := []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}
	want = be.AppendUint16(want, uint16(len(m)-14-2-len("payload")))
	if !bytes.Equal(m[:14], want) {
		t.Errorf("the head is %x, want %x", m[:14], want)
	}
	stream := make([]byte, 40)
	newStream("keyB", secret, known.key).XORKeyStream(stream, stream)
	is("the stream from B to A", stream, known.keyB)
}

func TestPrimeIsSafe(t *testing.T) {
	half := new(big.Int).Rsh(prime, 1)
	if prime.Cmp(refPrime) != 0 || prime.BitLen() != 8*keyLen || !prime.ProbablyPrime(20) || !half.ProbablyPrime(20) {
		t.Error("there may be more public keys that give the secret away than 0, 1 and P-1")
	}
}
