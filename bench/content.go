//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"

	"shoal/internal/bt/create"
	"shoal/internal/bt/metainfo"
	"shoal/internal/ident"
)

// content is something to transfer.
type content struct {
	name, torrent string // what it is called below the seed's folder; path of the .torrent
	hash          string // as the line protocol names it
	swarm         ident.V1
	size, piece   int64
	pieces        int
}

// generate makes the contents: one large file, 2,000 small ones, a smaller file for swarms.
func (b *bench) generate() error {
	rng := rand.NewChaCha8([32]byte{20})
	sizes := rand.New(rand.NewPCG(1, 2))
	if err := writeRandom(filepath.Join(b.seed, "big"), b.Size, rng); err != nil {
		return err
	}
	if err := writeRandom(filepath.Join(b.seed, "mid"), b.Size/8, rng); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(b.seed, "files"), 0o755); err != nil {
		return err
	}
	for i := range 2000 {
		n := 64<<10 + sizes.Int64N(192<<10)
		if err := writeRandom(filepath.Join(b.seed, "files", fmt.Sprintf("f%04d.bin", i)), n, rng); err != nil {
			return err
		}
	}
	for _, k := range []struct {
		to      *content
		name    string
		version metainfo.Version
		piece   int64
	}{
		{&b.big, "big", metainfo.V1, 1 << 20},
		{&b.v2, "big", metainfo.V2, 1 << 20},
		{&b.files, "files", metainfo.V1, 256 << 10},
		{&b.mid, "mid", metainfo.V1, 256 << 10},
	} {
		var err error
		if *k.to, err = b.describe(filepath.Join(b.seed, k.name), k.version, k.piece); err != nil {
			return err
		}
	}
	return nil
}

func writeRandom(path string, n int64, rng io.Reader) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, rng, n)
	return errors.Join(err, f.Close())
}

// describe makes the torrent of what is at path.
func (b *bench) describe(path string, v metainfo.Version, piece int64) (content, error) {
	t, _, err := create.Torrent(context.Background(), path, metainfo.CreateOptions{
		Version: v, PieceLength: piece, Announce: [][]string{{b.tracker.url}},
	}, func(int64, int64) {})
	if err != nil {
		return content{}, err
	}
	swarm := t.Info.Hash.Key()
	hash := swarm.String()
	c := content{
		name: filepath.Base(path), torrent: filepath.Join(b.dir, hash+".torrent"), hash: hash, swarm: swarm,
		size: t.Info.Layout.DataSize(), piece: piece, pieces: t.Info.Layout.Pieces(),
	}
	return c, os.WriteFile(c.torrent, t.Encode(), 0o644)
}

// same compares two files or folders byte for byte.
func same(want, got string) error {
	return filepath.WalkDir(want, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(want, path)
		if err != nil {
			return err
		}
		return sameFile(path, filepath.Join(got, rel))
	})
}

func sameFile(want, got string) error {
	f, err := os.Open(want)
	if err != nil {
		return err
	}
	defer f.Close()
	g, err := os.Open(got)
	if err != nil {
		return err
	}
	defer g.Close()
	a, b := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		n, err := io.ReadFull(f, a)
		m, _ := io.ReadFull(g, b)
		if n != m || !bytes.Equal(a[:n], b[:m]) {
			return fmt.Errorf("%s differs from %s", got, want)
		}
		if err != nil {
			return nil
		}
	}
}
