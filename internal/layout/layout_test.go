package layout

import (
	"reflect"
	"testing"
)

// Two files aligned to pieces of 32 KiB with a gap between, an empty file, and a gap behind the last.
var padded = Layout{
	Files: []File{
		{Path: "empty", Offset: 0},
		{Path: "a", Offset: 0, Length: 40000},
		{Path: "also empty", Offset: 65536},
		{Path: "b", Offset: 65536, Length: 100},
	},
	Size: 98304, PieceLength: 32768,
}

func TestPieces(t *testing.T) {
	if err := padded.Valid(); err != nil {
		t.Fatal(err)
	}
	for piece, want := range []struct{ length, data, blocks int }{{32768, 32768, 2}, {32768, 7232, 1}, {32768, 100, 1}} {
		if l, d, b := padded.PieceLen(piece), padded.DataLen(piece), padded.Blocks(piece); l != want.length || d != want.data || b != want.blocks {
			t.Errorf("piece %d: %d %d %d, want %v", piece, l, d, b, want)
		}
	}
	cut := padded
	cut.CutTail = true
	if a, b := padded.BlockLen(2, 0), cut.BlockLen(2, 0); a != 16384 || b != 100 {
		t.Error(a, b)
	}
	gap := Layout{Files: []File{{Path: "a", Length: 5}}, Size: 96, PieceLength: 32}
	if !padded.Alike(0, 0) || padded.Alike(0, padded.Pieces()-1) {
		t.Error("Alike takes a short piece for a whole one, or a piece not for itself")
	}
	if gap.DataLen(0) != 5 || gap.DataLen(1) != 0 || gap.Blocks(2) != 0 {
		t.Error("a piece that is only a gap has no blocks")
	}
	if a, b := padded.FilePieces(1); a != 0 || b != 2 {
		t.Error(a, b)
	}
	if a, b := padded.FilePieces(2); a != b {
		t.Error(a, b)
	}
	if padded.DataSize() != 40100 || padded.Pieces() != 3 {
		t.Error(padded.DataSize(), padded.Pieces())
	}
}

func TestSpans(t *testing.T) {
	for _, c := range []struct {
		off, n int64
		want   []Span
	}{
		{0, 10, []Span{{1, 0, 10}}},
		{39990, 30000, []Span{{1, 39990, 10}, {-1, 0, 25536}, {3, 0, 100}, {-1, 0, 4354}}},
		{50000, 10, []Span{{-1, 0, 10}}},
		{65536, 200, []Span{{3, 0, 100}, {-1, 0, 100}}},
		{0, 98304, []Span{{1, 0, 40000}, {-1, 0, 25536}, {3, 0, 100}, {-1, 0, 32668}}},
	} {
		var got []Span
		padded.Spans(c.off, c.n, func(s Span) bool { got = append(got, s); return true })
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("Spans(%d, %d) = %v, want %v", c.off, c.n, got, c.want)
		}
	}
}

func TestValid(t *testing.T) {
	for _, l := range []Layout{
		{PieceLength: 0},
		{PieceLength: 16, Size: 4, Files: []File{{Length: 5}}},
		{PieceLength: 16, Size: 1 << 62, Files: []File{{Length: 1 << 62}, {Offset: 1 << 62, Length: 1 << 62}}},
		{PieceLength: 16, Size: 9, Files: []File{{Length: 5}, {Offset: 4, Length: 5}}},
		{PieceLength: 16, Size: 9, Files: []File{{Length: -1}}},
	} {
		if l.Valid() == nil {
			t.Errorf("%+v passes", l)
		}
	}
}
