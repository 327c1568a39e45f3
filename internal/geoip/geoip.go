// Package geoip tells the country of an address from a database that the person has, in MaxMind's format (MMDB): GeoLite2-Country, DB-IP Lite and the
// like.
package geoip

import (
	"fmt"
	"net/netip"

	"github.com/oschwald/maxminddb-golang/v2"
)

// Database is an open database. Its methods are safe for concurrent use.
type Database struct{ r *maxminddb.Reader }

// Open opens a database file.
func Open(path string) (*Database, error) {
	r, err := maxminddb.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s is no database of countries (MMDB): %w", path, err)
	}
	return &Database{r}, nil
}

// Country returns the ISO 3166-1 code of an address's country, empty if the database does not know it.
func (d *Database) Country(a netip.Addr) string {
	var code string
	if err := d.r.Lookup(a.Unmap()).DecodePath(&code, "country", "iso_code"); err != nil || len(code) != 2 {
		return ""
	}
	return code
}

// Close closes the file.
func (d *Database) Close() error { return d.r.Close() }
