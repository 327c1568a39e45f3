package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Migrate brings the tables of one owner (a package) up to date: steps are statements of SQL, each run once in a transaction of its own, in
// order. Steps are only ever added at the end. A file that has had more of them than there are is of a newer version and is refused with ErrNewer.
func (db *DB) Migrate(owner string, steps []string) error {
	ctx := context.Background()
	var version int
	err := db.Read.QueryRowContext(ctx, "select version from migrations where owner = ?", owner).Scan(&version)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("database %s: %w", db.path, explain(err))
	}
	if version > len(steps) {
		return fmt.Errorf("database %s: %w (its %s tables are of version %d, this program knows %d)", db.path, ErrNewer, owner, version, len(steps))
	}
	for ; version < len(steps); version++ {
		err := db.Durable(ctx, func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, steps[version]); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, "insert into migrations values (?, ?) on conflict do update set version = excluded.version", owner, version+1)
			return err
		})
		if err != nil {
			return fmt.Errorf("database %s: migration %d of %s: %w", db.path, version+1, owner, err)
		}
	}
	return nil
}
