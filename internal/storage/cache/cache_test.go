package cache_test

import (
	"errors"
	"testing"

	"shoal/internal/block"
	"shoal/internal/storage"
	"shoal/internal/storage/cache"
	"shoal/internal/storage/storagetest"
)

func TestConforms(t *testing.T) {
	storagetest.RunVolatile(t, func(t *testing.T) storagetest.Subject {
		return storagetest.Subject{New: func(*block.Pool) storage.Store { return cache.New(64 << 20) }, Dir: t.TempDir(), Volatile: true}
	})
}

// The oldest piece gives way, its owner is told, and it can come again.
func TestTheOldestGivesWay(t *testing.T) {
	const room = 4
	s := storagetest.Subject{New: func(*block.Pool) storage.Store { return cache.New(room * 32 << 10) }, Dir: t.TempDir(), Volatile: true}
	o := storagetest.Start(t, s, storagetest.NewContent(storagetest.Layout(32<<10, 10*32<<10), 1), nil)
	has := func(from, to int) func(int) bool { return func(p int) bool { return p >= from && p < to } }
	for p := range 10 {
		o.Fill(p)
		o.Verify(p, false)
		n := 1
		if p >= room {
			n = 2
		}
		for i, r := range o.Box.Wait(t, n) {
			switch {
			case i == p && r.Good && !r.Evicted:
			case i == p-room && !r.Good && r.Evicted && !r.Recheck && r.Err == nil:
			default:
				t.Fatalf("after piece %d: %+v", p, r)
			}
		}
		o.WantSound(has(p+1-room, p+1))
		o.WantRead(p)
	}
	if err := o.ReadAt(make([]byte, 10), 5*32<<10); !errors.Is(err, storage.ErrEvicted) {
		t.Error(err)
	}
	if err := o.ReadAt(make([]byte, 40<<10), 5*32<<10); !errors.Is(err, storage.ErrEvicted) {
		t.Error("half of it is there:", err)
	}
	o.Fill(2)
	o.Verify(2, false)
	o.Box.Wait(t, 2)
	o.WantRead(2, 7, 8, 9)
}

// Contents share the room.
func TestContentsShareTheRoom(t *testing.T) {
	store := cache.New(2 * 32 << 10)
	defer store.Close()
	s := storagetest.Subject{New: func(*block.Pool) storage.Store { return shared{store} }, Dir: t.TempDir(), Volatile: true}
	c := storagetest.NewContent(storagetest.Layout(32<<10, 3*32<<10), 1)
	x, y := storagetest.Start(t, s, c, nil), storagetest.Start(t, s, c, nil)
	x.Fetch(0, 1)
	y.Fetch(0)
	if r := x.Box.Wait(t, 1)[0]; !r.Evicted {
		t.Errorf("%+v", r)
	}
	x.WantSound(func(p int) bool { return p == 1 })
	y.End()
	x.Fetch(2)
	x.WantSound(func(p int) bool { return p > 0 })
}

type shared struct{ storage.Store }

func (shared) Close() error { return nil }
