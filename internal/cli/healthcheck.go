package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"shoal/internal/config"
	"shoal/internal/netx"
	"shoal/internal/netx/local"
)

// healthcheck is for containers, which have no other program to ask with.
func (a *app) healthcheck() *cobra.Command {
	var url string
	var timeout time.Duration
	var place placeFlags
	c := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask the node whether it is well, for containers and supervisors",
		Example: `  shoal healthcheck
  shoal healthcheck --url http://127.0.0.1:7462/healthz`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			var way netx.Network = netx.NewHost(netx.Options{})
			if url == "" {
				set, err := place.settings()
				if err != nil {
					return err
				}
				if url, way, err = healthPlace(&set.Config.API, way); err != nil {
					return usage(err)
				}
			}
			ctx, cancel := context.WithTimeout(c.Context(), timeout)
			defer cancel()
			return a.askHealth(ctx, url, way)
		},
	}
	place.add(c)
	c.Flags().StringVar(&url, "url", "", "of the node's health (default: as the settings say)")
	c.Flags().DurationVar(&timeout, "timeout", 5*time.Second, "how long it may take to answer")
	return c
}

// healthPlace returns where the node tells of its health, and the way there: its Unix socket, which needs neither a certificate nor a name,
// or its address, as a program on the same machine reaches it.
func healthPlace(c *config.API, host netx.Network) (string, netx.Network, error) {
	if c.Socket != "" {
		if _, err := os.Stat(c.Socket); err == nil {
			return "http://localhost" + c.BasePath + "/healthz", local.Socket(c.Socket), nil
		}
	}
	name, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return "", nil, errors.New("api.listen is off, and there is no socket: name the address with --url")
	}
	if a, err := netip.ParseAddr(name); name == "" || err == nil && a.IsUnspecified() {
		name = "127.0.0.1"
		if a.Is6() {
			name = "::1"
		}
	}
	scheme := "http"
	if c.TLSCert != "" {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(name, port) + c.BasePath + "/healthz", host, nil
}

// maxHealth bounds the answer, in bytes.
const maxHealth = 64 << 10

// askHealth fails unless the node says that it is well.
func (a *app) askHealth(ctx context.Context, url string, way netx.Network) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return usage(err)
	}
	res, err := netx.HTTPClient(way, netx.HTTPOptions{UserAgent: client()}).Do(req)
	if err != nil {
		return withCode(exitNetwork, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxHealth))
	if err != nil {
		return withCode(exitNetwork, err)
	}
	said, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	var health struct {
		Status string `json:"status"`
	}
	if json.Unmarshal(b, &health) == nil && health.Status != "" {
		said = health.Status
	}
	a.emit(map[string]any{"event": "health", "status": said})
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the node is not well: %s: %s", res.Status, said)
	}
	a.say("%s", said)
	return nil
}
