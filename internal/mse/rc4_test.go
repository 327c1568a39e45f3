package mse

import (
	"bytes"
	"crypto/rc4"
	"fmt"
	"testing"
)

// each runs a test with the assembly, if there is any, and without.
func each(t *testing.T, test func(t *testing.T)) {
	had := haveBlocks
	t.Run("bytes", func(t *testing.T) {
		haveBlocks = false
		defer func() { haveBlocks = had }()
		test(t)
	})
	if had {
		t.Run("blocks", test)
	}
}

// TestVectors is RFC 6229 §2, of which it takes 16 bytes at some places for each length of keys.
func TestVectors(t *testing.T) {
	vectors := []struct {
		key string
		at  int
		is  string
	}{
		{"0102030405", 0, "b2396305f03dc027ccc3524a0a1118a8"},
		{"0102030405", 1024, "30abbcc7c20b01609f23ee2d5f6bb7df"},
		{"0102030405", 4096, "ff25b58995996707e51fbdf08b34d875"},
		{"01020304050607", 0, "293f02d47f37c9b633f2af5285feb46b"},
		{"0102030405060708", 0, "97ab8a1bf0afb96132f2f67258da15a8"},
		{"0102030405060708090a", 0, "ede3b04643e586cc907dc21851709902"},
		{"0102030405060708090a0b0c0d0e0f10", 0, "9ac7cc9a609d1ef7b2932899cde41b97"},
		{"0102030405060708090a0b0c0d0e0f10", 4096, "a36a4c301ae8ac13610ccbc12256cacc"},
		{"0102030405060708090a0b0c0d0e0f101112131415161718", 0, "0595e57fe5f0bb3c706edac8a4b2db11"},
		{"0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20", 0, "eaa6bd25880bf93d3f5d1e4ca2611d91"},
		{"833222772a", 0, "80ad97bdc973df8a2e879e92a497efda"},
	}
	each(t, func(t *testing.T) {
		for _, v := range vectors {
			b := make([]byte, v.at+16)
			newRC4(unhex(v.key)).XORKeyStream(b, b)
			if got := fmt.Sprintf("%x", b[v.at:]); got != v.is {
				t.Errorf("key %s at %d: %s, want %s", v.key, v.at, got, v.is)
			}
		}
	})
}

// checkRC4 compares with the standard library; the bytes come in steps, in place and not.
func checkRC4(t *testing.T, key, data []byte, step int) {
	t.Helper()
	want := make([]byte, len(data))
	c, err := rc4.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	c.XORKeyStream(want, data)
	guard := bytes.Repeat([]byte{0x5a}, 40)
	apart, inPlace := append(make([]byte, len(data)), guard...), append(bytes.Clone(data), guard...)
	x, y := newRC4(key), newRC4(key)
	for i := 0; i < len(data); i += step {
		end := min(i+step, len(data))
		x.XORKeyStream(apart[i:], data[i:end])
		y.XORKeyStream(inPlace[i:end], inPlace[i:end])
	}
	if !bytes.Equal(apart, append(want, guard...)) || !bytes.Equal(inPlace, apart) {
		t.Errorf("%d bytes in steps of %d with key %x differ", len(data), step, key)
	}
}

func TestEveryLength(t *testing.T) {
	each(t, func(t *testing.T) {
		data := content(5000, 1)
		for n := range 600 {
			checkRC4(t, content(n%256+1, uint64(n)), data[n%17:][:n], n+1)
		}
		for step := 1; step < 300; step += 7 {
			checkRC4(t, content(20, uint64(step)), data, step)
		}
		checkRC4(t, content(20, 0), make([]byte, 1<<20), 1<<14+13)
	})
}

func FuzzRC4(f *testing.F) {
	f.Add([]byte("key"), []byte("payload"), uint16(1))
	f.Add(content(20, 1), make([]byte, 5000), uint16(999))
	f.Fuzz(func(t *testing.T, key, data []byte, step uint16) {
		if len(key) > 0 && len(key) <= 256 {
			each(t, func(t *testing.T) { checkRC4(t, key, data, int(step)+1) })
		}
	})
}

func TestNoRoom(t *testing.T) {
	each(t, func(t *testing.T) {
		defer func() {
			if recover() == nil {
				t.Error("more was written than there was room for")
			}
		}()
		newRC4([]byte("key")).XORKeyStream(make([]byte, 99), make([]byte, 100))
	})
}

func BenchmarkRC4(b *testing.B) {
	key, buf := content(20, 1), make([]byte, 16<<10)
	run := func(name string, f func(dst, src []byte)) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(buf)))
			for b.Loop() {
				f(buf, buf)
			}
		})
	}
	std, _ := rc4.NewCipher(key)
	run("standard library", std.XORKeyStream)
	run("bytes", newRC4(key).xorBytes)
	if haveBlocks {
		run("blocks", newRC4(key).XORKeyStream)
	}
}
