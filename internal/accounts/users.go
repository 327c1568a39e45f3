package accounts

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
)

// Account is a user as others see it.
type Account struct {
	Name    string `json:"name"`
	Role    Role   `json:"role" enum:"viewer,user,admin"`
	Created int64  `json:"created" doc:"Unix time"`
}

func (a *Accounts) countUsers() (n int, err error) {
	err = a.db.Read.QueryRow("select count(*) from user").Scan(&n)
	return n, err
}

// Users returns all of them by name.
func (a *Accounts) Users(ctx context.Context) ([]Account, error) {
	rows, err := a.db.Read.QueryContext(ctx, "select name, role, created from user order by name")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []Account{}
	for rows.Next() {
		var u Account
		if err := rows.Scan(&u.Name, &u.Role, &u.Created); err != nil {
			return nil, err
		}
		list = append(list, u)
	}
	return list, rows.Err()
}

// AddUser makes a user; the first ends the setup. What it returns is a Mistake, ErrExists, ErrTooMany or an error of the database.
func (a *Accounts) AddUser(ctx context.Context, name, password string, role Role) error {
	if len(name) > maxName || !names.MatchString(name) {
		return Mistake(fmt.Sprintf("a user's name is up to %d letters, digits, dots, dashes, underscores and @", maxName))
	}
	if role.Scopes() == nil {
		return Mistake(fmt.Sprintf("%q is no role: viewer, user or admin", role))
	}
	sealed, err := a.seal(ctx, password)
	if err != nil {
		return err
	}
	err = a.db.Durable(ctx, func(tx *sql.Tx) error { return a.insert(tx, name, sealed, role) })
	if err == nil {
		a.endSetup()
	}
	return err
}

func (a *Accounts) insert(tx *sql.Tx, name, sealed string, role Role) error {
	var n, same int
	if err := tx.QueryRow("select count(*), coalesce(sum(name = ?), 0) from user", name).Scan(&n, &same); err != nil {
		return err
	}
	switch {
	case same > 0:
		return ErrExists
	case n >= maxUsers:
		return ErrTooMany
	}
	_, err := tx.Exec("insert into user values (?, ?, ?, ?)", name, role, sealed, a.now().Unix())
	return err
}

// SetRole changes what a user may, from its next request on.
func (a *Accounts) SetRole(ctx context.Context, name string, role Role) error {
	if role.Scopes() == nil {
		return Mistake(fmt.Sprintf("%q is no role: viewer, user or admin", role))
	}
	defer a.basic.clear()
	return a.db.Durable(ctx, func(tx *sql.Tx) error {
		if role != Admin {
			if err := notLast(tx, name); err != nil {
				return err
			}
		}
		return one(tx.Exec("update user set role = ? where name = ?", role, name))(ErrNoUser)
	})
}

// RemoveUser ends a user with its sessions and tokens.
func (a *Accounts) RemoveUser(ctx context.Context, name string) error {
	defer a.basic.clear()
	return a.db.Durable(ctx, func(tx *sql.Tx) error {
		if err := notLast(tx, name); err != nil {
			return err
		}
		return one(tx.Exec("delete from user where name = ?", name))(ErrNoUser)
	})
}

// SetPassword changes a password and ends the user's sessions, but the one of keep.
func (a *Accounts) SetPassword(ctx context.Context, name, password string, keep Identity) error {
	sealed, err := a.seal(ctx, password)
	if err != nil {
		return err
	}
	defer a.basic.clear()
	return a.db.Durable(ctx, func(tx *sql.Tx) error {
		if err := one(tx.Exec("update user set password = ? where name = ?", sealed, name))(ErrNoUser); err != nil {
			return err
		}
		_, err := tx.Exec("delete from session where user = ? and hash <> ?", name, keep.key)
		return err
	})
}

// CheckPassword returns ErrDenied if password is not the user's; attempts are counted for the address.
func (a *Accounts) CheckPassword(ctx context.Context, from netip.Addr, name, password string) error {
	_, err := a.verify(ctx, from, name, password)
	return err
}

// EnsureAdmin makes sure that there is an admin of this name and password, as a container's environment says.
func (a *Accounts) EnsureAdmin(ctx context.Context, name, password string) error {
	var stored string
	err := a.db.Read.QueryRowContext(ctx, "select password from user where name = ?", name).Scan(&stored)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return a.AddUser(ctx, name, password, Admin)
	case err != nil:
		return err
	}
	if ok, err := a.opens(ctx, stored, password); err != nil {
		return err
	} else if !ok {
		if err := a.SetPassword(ctx, name, password, Identity{}); err != nil {
			return err
		}
	}
	return a.SetRole(ctx, name, Admin)
}

// SetupCode returns the code by which the first admin is made, and "" once there is one. It is another after each start.
func (a *Accounts) SetupCode() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.code
}

func (a *Accounts) endSetup() {
	a.mu.Lock()
	a.code = ""
	a.mu.Unlock()
}

// Setup makes the first admin for who has the code, once.
func (a *Accounts) Setup(ctx context.Context, from netip.Addr, code, name, password string) error {
	if err := a.limit.begin(from); err != nil {
		return err
	}
	have := a.SetupCode()
	if have == "" || subtle.ConstantTimeCompare([]byte(digest(code)), []byte(digest(have))) != 1 {
		return ErrSetup
	}
	a.limit.succeeded(from)
	if len(name) > maxName || !names.MatchString(name) {
		return a.AddUser(ctx, name, password, Admin) // which says what is wrong with it
	}
	sealed, err := a.seal(ctx, password)
	if err != nil {
		return err
	}
	err = a.db.Durable(ctx, func(tx *sql.Tx) error {
		var n int
		if err := tx.QueryRow("select count(*) from user").Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return ErrSetup
		}
		return a.insert(tx, name, sealed, Admin)
	})
	if err == nil {
		a.endSetup()
	}
	return err
}

// notLast refuses if name is the only admin.
func notLast(tx *sql.Tx, name string) error {
	var others, is int
	err := tx.QueryRow("select coalesce(sum(name <> ?), 0), coalesce(sum(name = ?), 0) from user where role = 'admin'", name, name).Scan(&others, &is)
	if err == nil && is == 1 && others == 0 {
		return ErrLast
	}
	return err
}

// one returns a function that says missing if a statement met no row.
func one(r sql.Result, err error) func(missing error) error {
	return func(missing error) error {
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n > 0 {
			return err
		}
		return missing
	}
}
