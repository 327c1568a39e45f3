package accounts

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// TokenPrefix begins every token, so that scanners of leaked secrets know one.
const TokenPrefix = "shoal_"

// Token is what is told of a token. The secret itself is told once, when it is made.
type Token struct {
	ID       string  `json:"id"`
	Name     string  `json:"name" doc:"what it is for"`
	User     string  `json:"user" doc:"whose rights bound it"`
	Scopes   []Scope `json:"scopes" nullable:"false"`
	Created  int64   `json:"created" doc:"Unix time"`
	Expires  int64   `json:"expires" doc:"Unix time; 0: never"`
	LastUsed int64   `json:"last_used" doc:"Unix time, to five minutes; 0: never"`
}

// AddToken makes a token of a user and returns its secret. expires is a Unix time, 0 for never.
func (a *Accounts) AddToken(ctx context.Context, user, name string, scopes []Scope, expires int64) (secret string, t Token, err error) {
	if user == "" {
		return "", t, ErrNotNamed
	}
	if name == "" || len(name) > maxText {
		return "", t, Mistake(fmt.Sprintf("a token's name is what it is for, in up to %d bytes", maxText))
	}
	scopes = slices.Compact(slices.Sorted(slices.Values(scopes)))
	if len(scopes) == 0 {
		return "", t, Mistake("a token needs at least one scope: read, add, control, admin")
	}
	now := a.now()
	if expires != 0 && expires <= now.Unix() {
		return "", t, Mistake("the token would have expired already")
	}
	secret = TokenPrefix + random(32)
	t = Token{ID: random(9), Name: name, User: user, Scopes: scopes, Created: now.Unix(), Expires: expires}
	err = a.db.Durable(ctx, func(tx *sql.Tx) error {
		var role Role
		var n int
		err := tx.QueryRow("select role, (select count(*) from token where user = ?1) from user where name = ?1", user).Scan(&role, &n)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNoUser
		} else if err != nil {
			return err
		}
		for _, s := range scopes {
			if !slices.Contains(role.Scopes(), s) {
				return Mistake(fmt.Sprintf("%q is not among the rights of %s, who is %s", s, user, role))
			}
		}
		if n >= maxTokens {
			return ErrTooMany
		}
		_, err = tx.Exec("insert into token values (?, ?, ?, ?, ?, ?, ?, 0)", t.ID, digest(secret), user, name, join(scopes), t.Created, expires)
		return err
	})
	if err != nil {
		return "", Token{}, err
	}
	return secret, t, nil
}

func join(scopes []Scope) string {
	var words []string
	for _, s := range scopes {
		words = append(words, string(s))
	}
	return strings.Join(words, " ")
}

func split(text string) []Scope {
	scopes := []Scope{}
	for w := range strings.FieldsSeq(text) {
		scopes = append(scopes, Scope(w))
	}
	return scopes
}

// Tokens returns those of a user, or of all for "".
func (a *Accounts) Tokens(ctx context.Context, user string) ([]Token, error) {
	rows, err := a.db.Read.QueryContext(ctx,
		"select id, name, user, scopes, created, expires, used from token where ?1 = '' or user = ?1 order by created, id", user)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []Token{}
	for rows.Next() {
		var t Token
		var scopes string
		if err := rows.Scan(&t.ID, &t.Name, &t.User, &scopes, &t.Created, &t.Expires, &t.LastUsed); err != nil {
			return nil, err
		}
		t.Scopes = split(scopes)
		list = append(list, t)
	}
	return list, rows.Err()
}

// RemoveToken ends a token, if it is of the user; "" is anybody.
func (a *Accounts) RemoveToken(ctx context.Context, user, id string) error {
	return a.db.Durable(ctx, func(tx *sql.Tx) error {
		return one(tx.Exec("delete from token where id = ?2 and (?1 = '' or user = ?1)", user, id))(ErrNoToken)
	})
}

// ByToken returns who may what with a token, or ErrNobody. What its owner may no more, it may no more either.
func (a *Accounts) ByToken(ctx context.Context, secret string) (Identity, error) {
	if !strings.HasPrefix(secret, TokenPrefix) {
		return Identity{}, ErrNobody
	}
	var who Identity
	var scopes string
	var used int64
	now := a.now()
	err := a.db.Read.QueryRowContext(ctx, `select id, user, role, scopes, used from token join user on user.name = token.user
		where hash = ? and (expires = 0 or expires > ?)`, digest(secret), now.Unix()).Scan(&who.Token, &who.Name, &who.Role, &scopes, &used)
	if errors.Is(err, sql.ErrNoRows) {
		return Identity{}, ErrNobody // no guess finds 256 bits, so none is counted
	}
	if err != nil {
		return Identity{}, err
	}
	for _, s := range split(scopes) {
		if slices.Contains(who.Role.Scopes(), s) {
			who.Scopes = append(who.Scopes, s)
		}
	}
	if now.Sub(time.Unix(used, 0)) > usedStep {
		err = a.db.Update(ctx, func(tx *sql.Tx) error {
			_, err := tx.Exec("update token set used = ? where id = ?", now.Unix(), who.Token)
			return err
		})
	}
	return who, err
}
