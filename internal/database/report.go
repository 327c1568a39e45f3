package database

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// Report is what Open found and did.
type Report struct {
	SetAside []string // where what was corrupt lies now
	Messages []string // for the log and for people: what was wrong and what became of it
}

// logHeader is the length of the header of a write-ahead log, and its first four bytes but for the lowest bit.
// See "WAL-Index and WAL file format", sqlite.org/fileformat2.html §4.1.
const (
	logHeader = 32
	logMagic  = 0x377f0682
)

// checkLog sets aside a write-ahead log that SQLite would pass over without a word, because its header is not one.
func (r *Report) checkLog(path string) error {
	f, err := os.Open(path + "-wal")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	var head [logHeader]byte
	_, err = io.ReadFull(f, head[:])
	f.Close()
	switch {
	case errors.Is(err, io.EOF): // empty
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF): // cut while it was begun: nothing was in it
		return nil
	case err != nil:
		return err
	case binary.BigEndian.Uint32(head[:])&^1 == logMagic:
		return nil
	}
	aside := free(path)
	if err := r.move(path+"-wal", aside+"-wal"); err != nil {
		return err
	}
	r.Messages = append(r.Messages, fmt.Sprintf("the log of the database was corrupt and is kept as %s-wal: the last changes before the end may be missing", aside))
	return nil
}

// setAside renames the file and its log, so that a new one can be begun in their place.
func (r *Report) setAside(path string, why error) error {
	aside := free(path)
	if err := r.move(path, aside); err != nil {
		return err
	}
	if err := r.move(path+"-wal", aside+"-wal"); err != nil {
		return err
	}
	if err := os.Remove(path + "-shm"); err != nil && !errors.Is(err, fs.ErrNotExist) { // an index of the log, which is made anew
		return err
	}
	r.Messages = append(r.Messages, fmt.Sprintf("the database %s could not be read (%v). It is kept as %s, and a new one was begun", path, why, aside))
	return nil
}

func (r *Report) move(from, to string) error {
	err := os.Rename(from, to)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		r.SetAside = append(r.SetAside, to)
	}
	return err
}

// free returns a name for what is set aside that nothing has yet.
func free(path string) string {
	stem := path + time.Now().UTC().Format(".corrupt-20060102-150405")
	name := stem
	for n := 2; ; n++ {
		_, err := os.Lstat(name)
		_, errLog := os.Lstat(name + "-wal")
		if errors.Is(err, fs.ErrNotExist) && errors.Is(errLog, fs.ErrNotExist) || n > 1000 {
			return name
		}
		name = fmt.Sprintf("%s-%d", stem, n)
	}
}
