package node

import (
	"crypto/tls"
	"fmt"
	"net"

	"shoal/internal/config"
)

// loadCertificate reads the certificate of the API's address, if one is set.
func (w *work) loadCertificate(c *config.Config) error {
	if c.API.TLSCert == "" {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.API.TLSCert, c.API.TLSKey)
	if err != nil {
		return fmt.Errorf("api.tls_cert and api.tls_key: %w", err)
	}
	w.certificate.Store(&pair)
	return nil
}

// secured returns a listener that speaks TLS, if there is a certificate. A certificate that is renewed is used from the next reading of the settings on.
func (w *work) secured(l net.Listener) net.Listener {
	if w.certificate.Load() == nil {
		return l
	}
	return tls.NewListener(l, &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return w.certificate.Load(), nil },
	})
}
