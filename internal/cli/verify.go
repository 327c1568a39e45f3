package cli

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/spf13/cobra"

	"shoal/internal/bitfield"
	"shoal/internal/block"
	"shoal/internal/bt/metainfo"
	"shoal/internal/layout"
	"shoal/internal/storage"
)

func (a *app) verify() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "verify FILE --dir DIR",
		Short: "Find which pieces and files of a torrent are sound on disk",
		Example: `  shoal verify album.torrent --dir ~/music
  shoal verify album.torrent --dir ~/music --json`,
		Args: one("a .torrent file"),
		RunE: func(c *cobra.Command, args []string) error { return a.runVerify(c.Context(), args[0], dir) },
	}
	c.Flags().StringVar(&dir, "dir", ".", "folder that holds the content, as --output of get")
	return c
}

func (a *app) runVerify(ctx context.Context, text, dir string) error {
	l, err := openLink(ctx, text, direct())
	if err != nil {
		return err
	}
	if l.Torrent == nil {
		return usage(fmt.Errorf("%s: a .torrent is needed to verify against; get one with: shoal get --list", text))
	}
	hashes, err := metainfo.NewHashes(l.Torrent.Info, l.Torrent.PieceLayers)
	if err != nil {
		return err
	}
	if n := len(hashes.MissingLayers()); n > 0 && !l.Torrent.Info.HasV1 {
		return fmt.Errorf("%s: the piece hashes of %s are missing (piece layers, BEP 52)", text, files(n))
	}
	sound, err := a.recheck(ctx, l.Torrent.Info, hashes, dir)
	if err != nil {
		return err
	}
	return a.verdict(l.Torrent.Info, sound, dir)
}

// recheck hashes everything below dir.
func (a *app) recheck(ctx context.Context, info *metainfo.Info, hashes *metainfo.Hashes, dir string) (bitfield.Set, error) {
	lay := &info.Layout
	store := storage.NewFiles(block.NewPool(0), storage.FilesOptions{})
	defer store.Close()
	bar := a.hashing("checking")
	defer bar.end()
	var mu sync.Mutex
	sound := bitfield.New(lay.Pieces())
	left, done := lay.Pieces(), make(chan struct{})
	var broken error
	handle, err := store.Open(storage.Spec{
		Layout: lay, Root: dir, ReadOnly: true,
		NewSum: func() storage.Sum { return hashes.NewSum() },
		Done: func(results ...storage.Result) {
			mu.Lock()
			defer mu.Unlock()
			for _, r := range results {
				if r.Good {
					sound.Add(r.Piece)
				}
				if r.Err != nil && !errors.Is(r.Err, storage.ErrMissing) {
					broken = r.Err
				}
				left--
			}
			bar.progress(int64(lay.Pieces()-left)*lay.PieceLength, int64(lay.Pieces())*lay.PieceLength)
			if left == 0 {
				close(done)
			}
		},
	})
	if err != nil {
		return sound, err
	}
	defer handle.Close()
	all := make([]int, lay.Pieces())
	for i := range all {
		all[i] = i
	}
	handle.Recheck(all)
	select {
	case <-done:
	case <-ctx.Done():
		return sound, withCode(exitInterrupted, errors.New("interrupted while checking"))
	}
	return sound, broken
}

// verdict tells what is sound.
func (a *app) verdict(info *metainfo.Info, sound bitfield.Set, dir string) error {
	lay := &info.Layout
	bad := 0
	for i := range lay.Files {
		f := &lay.Files[i]
		good, n := soundPieces(lay, i, sound)
		if good < n {
			bad++
		}
		a.emit(map[string]any{"event": "file", "index": i + 1, "path": f.Path, "size": f.Length, "sound": good == n, "pieces": n, "sound_pieces": good})
		if good < n && !a.json {
			a.result("%s: %d of %d pieces are sound", printable(f.Path), good, n)
		}
	}
	var missing []int
	for i := range lay.Pieces() {
		if !sound.Has(i) {
			missing = append(missing, i)
		}
	}
	a.emit(map[string]any{"event": "verified", "infohash": info.Hash.String(), "name": info.Name, "sound": bad == 0, "pieces": lay.Pieces(),
		"sound_pieces": sound.Count(), "files": len(lay.Files), "sound_files": len(lay.Files) - bad, "unsound_pieces": missing})
	if len(missing) == 0 {
		a.say("%s: %s in %s, all sound", printable(info.Name), pieces(lay.Pieces()), files(len(lay.Files)))
		return nil
	}
	return withCode(exitUnsound, fmt.Errorf("%s: %d of %d pieces and %d of %s are not sound in %s; fetch what is missing with: shoal get",
		printable(info.Name), len(missing), lay.Pieces(), bad, files(len(lay.Files)), dir))
}

// soundPieces returns how many of the pieces that hold bytes of a file are sound.
func soundPieces(lay *layout.Layout, file int, sound bitfield.Set) (good, of int) {
	first, end := lay.FilePieces(file)
	for p := first; p < end; p++ {
		if sound.Has(p) {
			good++
		}
	}
	return good, end - first
}
