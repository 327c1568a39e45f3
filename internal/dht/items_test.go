package dht

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"shoal/internal/ident"
)

func TestItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 8)
		all := w.network(20)
		defer stopAll(all)
		ctx := t.Context()
		value := []byte("d2:ih20:aaaaaaaaaaaaaaaaaaaae")
		target, copies, err := all[1].PutImmutable(ctx, value)
		if err != nil || copies < 8 {
			t.Fatalf("%d copies, %v", copies, err)
		}
		if got, err := all[10].GetImmutable(ctx, target); err != nil || !bytes.Equal(got, value) {
			t.Errorf("%q, %v", got, err)
		}
		if _, err := all[10].GetImmutable(ctx, ident.V1{1}); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		public, private, _ := ed25519.GenerateKey(bytes.NewReader(make([]byte, 64)))
		salt := []byte("news")
		put := func(m *member, seq, cas int64, value string) error {
			t.Helper()
			i, err := NewItem(private, salt, seq, []byte(value))
			if err != nil {
				t.Fatal(err)
			}
			_, err = m.PutMutable(ctx, i, cas)
			return err
		}
		get := func(m *member, value string) {
			t.Helper()
			if i, err := m.GetMutable(ctx, public, salt); err != nil || string(i.Value) != value || !i.Valid() {
				t.Errorf("%q, %v, want %q", i.Value, err, value)
			}
		}
		if err := put(all[2], 1, -1, "1:a"); err != nil {
			t.Error(err)
		}
		get(all[11], "1:a")
		if err := put(all[3], 2, 7, "1:b"); !errors.Is(err, ErrCAS) {
			t.Error(err)
		}
		if err := put(all[3], 2, 1, "1:b"); err != nil {
			t.Error(err)
		}
		get(all[12], "1:b")
		if err := put(all[4], 1, -1, "1:a"); !errors.Is(err, ErrOutdated) {
			t.Error(err)
		}
		if _, err := all[13].GetMutable(ctx, public, nil); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		// Items are forgotten, unless someone who may not even have the private key stores them again.
		item, err := all[5].GetMutable(ctx, public, salt)
		if err != nil {
			t.Fatal(err)
		}
		old, _ := NewItem(private, salt, 1, []byte("1:a"))
		if err := all[7].Republish(ctx, old); !errors.Is(err, ErrOutdated) {
			t.Error(err)
		}
		keep, cancel := context.WithCancel(ctx)
		done := make(chan error)
		go func() { done <- all[6].Republish(keep, item) }()
		time.Sleep(3 * time.Hour)
		get(all[14], "1:b")
		if _, err := all[10].GetImmutable(ctx, target); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		time.Sleep(3 * time.Hour)
		if _, err := all[14].GetMutable(ctx, public, salt); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
	})
}

func TestItemsOutOfBounds(t *testing.T) {
	_, private, _ := ed25519.GenerateKey(nil)
	long := append([]byte("1000:"), make([]byte, 1000)...)
	for name, f := range map[string]func() error{
		"a long value":      func() error { _, err := NewItem(private, nil, 1, long); return err },
		"no value":          func() error { _, err := NewItem(private, nil, 1, nil); return err },
		"a long salt":       func() error { _, err := NewItem(private, make([]byte, 65), 1, []byte("i1e")); return err },
		"a negative number": func() error { _, err := NewItem(private, nil, -1, []byte("i1e")); return err },
		"two values":        func() error { _, _, err := (&Node{}).PutImmutable(context.Background(), []byte("i1ei2e")); return err },
		"no signature": func() error {
			_, err := (&Node{}).PutMutable(context.Background(), Item{Value: []byte("i1e")}, -1)
			return err
		},
	} {
		if f() == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
