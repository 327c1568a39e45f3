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
	"time"

	"github.com/spf13/cobra"

	"shoal/internal/config"
	"shoal/internal/netx"
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
			if url == "" {
				set, err := place.settings()
				if err != nil {
					return err
				}
				if url, err = healthURL(&set.Config.API); err != nil {
					return usage(err)
				}
			}
			ctx, cancel := context.WithTimeout(c.Context(), timeout)
			defer cancel()
			return a.askHealth(ctx, url)
		},
	}
	place.add(c)
	c.Flags().StringVar(&url, "url", "", "of the node's health (default: as the settings say)")
	c.Flags().DurationVar(&timeout, "timeout", 5*time.Second, "how long it may take to answer")
	return c
}

// healthURL returns where the node tells of its health, as a program on the same machine reaches it.
func healthURL(c *config.API) (string, error) {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return "", errors.New("api.listen is off: name the address with --url")
	}
	if a, err := netip.ParseAddr(host); host == "" || err == nil && a.IsUnspecified() {
		host = "127.0.0.1"
		if a.Is6() {
			host = "::1"
		}
	}
	scheme := "http"
	if c.TLSCert != "" {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port) + c.BasePath + "/healthz", nil
}

// maxHealth bounds the answer, in bytes.
const maxHealth = 64 << 10

// askHealth fails unless the node says that it is well.
func (a *app) askHealth(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return usage(err)
	}
	res, err := netx.HTTPClient(netx.NewHost(netx.Options{}), netx.HTTPOptions{UserAgent: client()}).Do(req)
	if err != nil {
		return withCode(exitNetwork, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxHealth))
	if err != nil {
		return withCode(exitNetwork, err)
	}
	var health struct {
		Status string `json:"status"`
	}
	if err := json.Unmarshal(b, &health); err != nil || health.Status == "" {
		return fmt.Errorf("%s: the answer (%s) is not a node's", url, res.Status)
	}
	a.emit(map[string]any{"event": "health", "status": health.Status})
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the node is not well: %s", health.Status)
	}
	a.say("%s", health.Status)
	return nil
}
