// Command archive packs a folder for a release: archive FILE.tar.gz|FILE.zip DIR. The same folder gives the same bytes: entries are sorted, belong
// to nobody, and have the time of $SOURCE_DATE_EPOCH. Inside, all is below the folder's name.
package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: archive FILE.tar.gz|FILE.zip DIR")
		os.Exit(2)
	}
	if err := pack(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "archive:", err)
		os.Exit(1)
	}
}

// adder puts a file into an archive.
type adder func(name string, mode fs.FileMode, b []byte) error

func pack(file, dir string) error {
	epoch, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH=%q is no Unix time: git log -1 --format=%%ct", os.Getenv("SOURCE_DATE_EPOCH"))
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	at := time.Unix(epoch, 0).UTC()
	if strings.HasSuffix(file, ".zip") {
		err = writeZip(out, dir, at)
	} else {
		err = writeTar(out, dir, at)
	}
	return errors.Join(err, out.Close())
}

func writeTar(w io.Writer, dir string, at time.Time) error {
	z, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	err = walk(dir, func(name string, mode fs.FileMode, b []byte) error {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(b)), Mode: int64(mode), ModTime: at, Format: tar.FormatPAX}
		return writeAfter(t.WriteHeader(h), t, b)
	})
	return errors.Join(err, t.Close(), z.Close())
}

func writeZip(w io.Writer, dir string, at time.Time) error {
	z := zip.NewWriter(w)
	err := walk(dir, func(name string, mode fs.FileMode, b []byte) error {
		h := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: at}
		h.SetMode(mode)
		f, err := z.CreateHeader(h)
		return writeAfter(err, f, b)
	})
	return errors.Join(err, z.Close())
}

// writeAfter writes unless something has failed before.
func writeAfter(err error, w io.Writer, b []byte) error {
	if err == nil {
		_, err = w.Write(b)
	}
	return err
}

// walk adds each regular file below a folder, in the order of their names.
func walk(dir string, add adder) error {
	base := filepath.Base(dir)
	return filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is not a regular file", p)
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if info.Mode()&0o100 != 0 {
			mode = 0o755
		}
		return add(path.Join(base, filepath.ToSlash(rel)), mode, b)
	})
}
