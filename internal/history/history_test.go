package history

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"shoal/internal/database"
	"shoal/internal/library"
)

func TestHistory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	open := func() (*History, *database.DB) {
		t.Helper()
		db, _, err := database.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		h, err := Open(db)
		if err != nil {
			t.Fatal(err)
		}
		return h, db
	}
	h, db := open()
	// Two hours of a sample each ten seconds, whose rate grows by one.
	for i := range int64(720) {
		h.Add(Sample{Time: 3_000_000 + 10*i, DownRate: i, Peers: 7})
	}
	hour, err := h.Of("hour")
	if err != nil || len(hour.Times) != 360 || hour.Step != 10 || hour.DownRate[359] != 719 || hour.Times[0] != 3_003_600 {
		t.Errorf("the hour: %d samples, %v", len(hour.Times), err)
	}
	day, err := h.Of("day")
	if err != nil || len(day.Times) != 25 && len(day.Times) != 24 || slices.ContainsFunc(day.Peers, func(n int64) bool { return n != 7 }) {
		t.Fatalf("the day: %+v, %v", day, err)
	}
	for i := 2; i < len(day.DownRate); i++ {
		if d := day.DownRate[i] - day.DownRate[i-1]; d != 30 { // the mean of thirty samples
			t.Errorf("the day's mean grew by %d", d)
		}
	}
	if _, err := h.Of("century"); !errors.Is(err, library.ErrBad) {
		t.Error(err)
	}
	if err := h.Save(); err != nil {
		t.Fatal(err)
	}
	db.Close()
	h, db = open()
	defer db.Close()
	again, err := h.Of("day")
	if err != nil || !slices.Equal(again.Times, day.Times) || !slices.Equal(again.DownRate, day.DownRate) {
		t.Errorf("read again: %+v, %v", again, err)
	}
}
