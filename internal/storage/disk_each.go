//go:build !linux

package storage

// writeEach is writeAll for systems without pwritev.
func writeEach(f *osFile, bufs [][]byte, off int64) error {
	for _, b := range bufs {
		n, err := f.WriteAt(b, off)
		if err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}
