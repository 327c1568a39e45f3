package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"shoal/internal/accounts"
	"shoal/internal/api"
)

// user is `shoal user`.
func (a *app) user() *cobra.Command {
	c := &cobra.Command{Use: "user", Short: "Make, list and remove users of the node's web UI", Args: noArguments,
		Example: "  shoal user add ann --role admin          asks for a password\n  shoal user ls\n  shoal user rm ann",
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(a.userAdd(), a.userList(), a.userRemove())
	return c
}

func (a *app) userAdd() *cobra.Command {
	var role string
	c := &cobra.Command{Use: "add NAME", Short: "Make a user; the password is asked for, or read from a pipe", Args: one("a name"),
		Example: "  shoal user add ann --role viewer\n  shoal user add ann --role admin < password.txt"}
	c.Flags().StringVar(&role, "role", "user", "viewer: looks; user: adds and controls; admin: everything")
	return a.verb(c, func(ctx context.Context, cl *api.Client, args []string) error {
		password, err := a.password(c.InOrStdin())
		if err != nil {
			return err
		}
		if err := cl.AddUser(ctx, api.UserRequest{Name: args[0], Password: password, Role: accounts.Role(role)}); err != nil {
			return err
		}
		a.emit(map[string]any{"event": "user", "name": args[0], "role": role})
		a.say("%s may log in now", args[0])
		return nil
	})
}

// password asks for a password twice on a terminal, and reads a line otherwise.
func (a *app) password(in io.Reader) (string, error) {
	f, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		line, err := bufio.NewReader(io.LimitReader(in, 4096)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	ask := func(what string) (string, error) {
		fmt.Fprint(a.err, what)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(a.err)
		return string(b), err
	}
	first, err := ask("password: ")
	if err != nil {
		return "", err
	}
	again, err := ask("once more: ")
	if err == nil && again != first {
		err = usage(errors.New("the passwords differ"))
	}
	return first, err
}

func (a *app) userList() *cobra.Command {
	c := &cobra.Command{Use: "ls", Short: "List users", Args: noArguments, Example: "  shoal user ls"}
	return a.verb(c, func(ctx context.Context, cl *api.Client, _ []string) error {
		list, err := cl.Users(ctx)
		if err != nil {
			return err
		}
		rows := [][]string{{"NAME", "ROLE", "SINCE"}}
		for _, u := range list {
			a.emit(struct {
				Event string `json:"event"`
				accounts.Account
			}{"user", u})
			rows = append(rows, []string{printable(u.Name), string(u.Role), time.Unix(u.Created, 0).Format("2006-01-02")})
		}
		if !a.json {
			a.lines(rows)
		}
		return nil
	})
}

func (a *app) userRemove() *cobra.Command {
	c := &cobra.Command{Use: "rm NAME", Short: "Remove a user, with its tokens", Args: one("a user's name"), Example: "  shoal user rm ann"}
	return a.verb(c, func(ctx context.Context, cl *api.Client, args []string) error {
		if err := cl.RemoveUser(ctx, args[0]); err != nil {
			return err
		}
		a.say("%s: removed", args[0])
		return nil
	})
}
