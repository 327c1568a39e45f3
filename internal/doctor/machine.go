package doctor

import (
	"net"
	"net/netip"
	"os"
	"time"

	"shoal/internal/netx/sockets"
	"shoal/internal/storage"
)

// machine is what the checks ask the system. Tests put faults in.
type machine struct {
	addresses func() []netip.Addr // of all interfaces
	device    func(name string) (up bool, addrs []netip.Addr, err error)
	sockets   func() ([]sockets.Socket, error)
	free      func(dir string) (int64, string, error)
	now       func() time.Time
	files     func() (soft, hard uint64, err error) // limits of open files
	raise     func(uint64) error                    // the soft one
	temp      func(dir string) (*os.File, error)    // a file of our own, open
	features  func(*os.File) (features, error)
}

// features are what a file system can do.
type features struct {
	name     string // as far as it is known to be special
	sparse   bool   // holes take no space
	reserves bool   // space can be reserved
	small    bool   // files have at most 4 GiB
}

func thisMachine() *machine {
	return &machine{
		addresses: func() []netip.Addr {
			as, err := net.InterfaceAddrs()
			if err != nil {
				return nil
			}
			return addrsOf(as)
		},
		device: func(name string) (bool, []netip.Addr, error) {
			i, err := net.InterfaceByName(name)
			if err != nil {
				return false, nil, err
			}
			as, err := i.Addrs()
			return i.Flags&net.FlagUp != 0, addrsOf(as), err
		},
		sockets: sockets.List, free: storage.Free, now: time.Now, files: fileLimits, raise: raiseFiles,
		temp:     func(dir string) (*os.File, error) { return os.CreateTemp(dir, ".shoal-doctor-*") },
		features: featuresOf,
	}
}

func addrsOf(as []net.Addr) (all []netip.Addr) {
	for _, a := range as {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				all = append(all, ip.Unmap())
			}
		}
	}
	return all
}

// withTemp gives f a file of its own in a folder. A folder that is not there is as good as its nearest one above: it will be made when it is needed.
func (m *machine) withTemp(dir string, f func(*os.File) finding) finding {
	file, err := m.temp(nearest(dir))
	if err != nil {
		return finding{Fail, "cannot write there: " + err.Error(), "chown or chmod " + dir + " so that shoal may write to it, or set folders.downloads to another folder"}
	}
	defer os.Remove(file.Name())
	defer file.Close()
	return f(file)
}
