// Package systemd is what a service has to do with the one who started it: it says how it is (sd_notify(3)), and takes over sockets that were
// opened for it (sd_listen_fds(3)). Where nobody asks for that, as on other systems, nothing is done.
package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"shoal/internal/netx/local"
)

// Notifier tells systemd how the service is. Its methods are safe for concurrent use. What goes wrong is not told to the service, which can
// do nothing about it: systemd misses the word and acts as it was set up to.
type Notifier struct {
	socket   string // empty: nobody listens
	watchdog time.Duration
}

// NewNotifier takes what systemd has put into the environment, and out of it, so that programs that the service starts do not speak for it.
func NewNotifier() *Notifier {
	n := &Notifier{socket: os.Getenv("NOTIFY_SOCKET")}
	pid, usec := os.Getenv("WATCHDOG_PID"), os.Getenv("WATCHDOG_USEC")
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"} {
		_ = os.Unsetenv(name)
	}
	if us, err := strconv.ParseInt(usec, 10, 64); err == nil && us > 0 && us < int64(365*24*time.Hour/time.Microsecond) && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		n.watchdog = time.Duration(us) * time.Microsecond
	}
	return n
}

// Watchdog is how often Alive has to be called: twice as often as systemd asks for a sign of life. 0: not at all.
func (n *Notifier) Watchdog() time.Duration {
	if n.socket == "" {
		return 0
	}
	return n.watchdog / 2
}

// Ready says that the service works, after its start or a reload; status is for people.
func (n *Notifier) Ready(status string) { n.send("READY=1", statusLine(status)) }

// Reloading says that the service reads its settings again. Ready has to follow.
func (n *Notifier) Reloading() {
	n.send("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(monotonic().Microseconds(), 10))
}

// Stopping says that the service ends.
func (n *Notifier) Stopping(status string) { n.send("STOPPING=1", statusLine(status)) }

// Status says how the service is, for people: one line.
func (n *Notifier) Status(text string) { n.send(statusLine(text)) }

// Alive is a sign of life for the watchdog.
func (n *Notifier) Alive() { n.send("WATCHDOG=1") }

func statusLine(text string) string { return "STATUS=" + strings.ReplaceAll(text, "\n", " ") }

func (n *Notifier) send(lines ...string) {
	if n.socket != "" {
		_ = local.Send(n.socket, []byte(strings.Join(lines, "\n")))
	}
}

const (
	firstFD = 3 // SD_LISTEN_FDS_START
	maxFDs  = 64
)

// Listener is a socket that was opened for us.
type Listener struct {
	net.Listener
	Name string // FileDescriptorName= of the socket unit, or the unit's name
}

// Listeners returns the sockets that systemd has opened for us, none if it has not. A second call returns none.
func Listeners() ([]Listener, error) {
	pid, count, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		_ = os.Unsetenv(name)
	}
	if count == "" || pid != strconv.Itoa(os.Getpid()) {
		return nil, nil // they are for another program
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > maxFDs {
		return nil, fmt.Errorf("LISTEN_FDS=%q is not a number from 0 to %d", count, maxFDs)
	}
	var list []Listener
	var problems []error
	for i := range n {
		name := "unknown"
		if i < len(names) && names[i] != "" {
			name = names[i]
		}
		l, err := local.Inherit(uintptr(firstFD+i), name)
		if err != nil {
			problems = append(problems, fmt.Errorf("socket %d (%s) from systemd: %w; the socket unit needs ListenStream=", i, name, err))
			continue
		}
		list = append(list, Listener{l, name})
	}
	if len(problems) > 0 {
		for _, l := range list {
			l.Close()
		}
		return nil, errors.Join(problems...)
	}
	return list, nil
}
