package server

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"shoal/internal/accounts"
	"shoal/internal/api"
)

// sessionOut is an answer that begins, renews or ends a session.
type sessionOut struct {
	SetCookie string `header:"Set-Cookie"`
	Body      api.Me
}

type UserInput struct {
	Name string `path:"name" maxLength:"64" minLength:"1"`
}

func (s *Server) me(who accounts.Identity) api.Me {
	m := api.Me{Name: who.Name, Role: who.Role, Scopes: notNil(who.Scopes), SetupNeeded: s.Accounts.SetupCode() != ""}
	if len(who.Scopes) > 0 {
		m.Version = s.Version
	}
	return m
}

// accountRoutes are for who may use the node.
func (s *Server) accountRoutes() {
	s.sessionRoutes()
	s.tokenRoutes()
	const tag = "Users"
	handle(s, route{method: "GET", path: "/users", id: "listUsers", tag: tag, summary: "Users", need: accounts.Manage},
		func(ctx context.Context, _ *none) (*body[[]accounts.Account], error) {
			u, err := s.Accounts.Users(ctx)
			return answer(u), err
		})
	handle(s, route{method: "POST", path: "/users", id: "addUser", tag: tag, summary: "Make a user", need: accounts.Manage, status: 201},
		func(ctx context.Context, in *struct{ Body api.UserRequest }) (*none, error) {
			return nil, s.Accounts.AddUser(ctx, in.Body.Name, in.Body.Password, in.Body.Role)
		})
	handle(s, route{method: "PATCH", path: "/users/{name}", id: "changeUser", tag: tag, summary: "Change a role or a password", need: accounts.Manage},
		func(ctx context.Context, in *struct {
			UserInput
			Body api.UserChange
		}) (*none, error) {
			if in.Body.Role != "" {
				if err := s.Accounts.SetRole(ctx, in.Name, in.Body.Role); err != nil {
					return nil, err
				}
			}
			if in.Body.Password != "" {
				return nil, s.Accounts.SetPassword(ctx, in.Name, in.Body.Password, accounts.FromContext(ctx))
			}
			return nil, nil
		})
	handle(s, route{method: "DELETE", path: "/users/{name}", id: "removeUser", tag: tag, summary: "Remove, with sessions and tokens", need: accounts.Manage},
		func(ctx context.Context, in *UserInput) (*none, error) {
			return nil, s.Accounts.RemoveUser(ctx, in.Name)
		})
}

func (s *Server) sessionRoutes() {
	const tag = "Session"
	begin := func(ctx context.Context, name, password, agent string) (*sessionOut, error) {
		o := originOf(ctx)
		key, who, err := s.Accounts.Login(ctx, o.client, name, password, agent)
		if err != nil {
			return nil, err
		}
		return &sessionOut{SetCookie: sessionCookie(o, key), Body: s.me(who)}, nil
	}
	handle(s, route{method: "POST", path: "/setup", id: "setup", tag: tag, summary: "Make the first admin by the code of the node's log, and log in", need: open},
		func(ctx context.Context, in *struct {
			Agent string `header:"User-Agent"`
			Body  api.SetupRequest
		}) (*sessionOut, error) {
			b := in.Body
			if err := s.Accounts.Setup(ctx, originOf(ctx).client, b.Code, b.Name, b.Password); err != nil {
				return nil, err
			}
			s.Logger.Info("the first admin was made", "user", b.Name, "address", originOf(ctx).client)
			return begin(ctx, b.Name, b.Password, in.Agent)
		})
	handle(s, route{method: "POST", path: "/login", id: "login", tag: tag, summary: "Begin a session", need: open},
		func(ctx context.Context, in *struct {
			Agent string `header:"User-Agent"`
			Body  api.LoginRequest
		}) (*sessionOut, error) {
			out, err := begin(ctx, in.Body.Name, in.Body.Password, in.Agent)
			if err != nil {
				s.Logger.Warn("a login failed", "user", in.Body.Name, "address", originOf(ctx).client, "error", err)
			}
			return out, err
		})
	handle(s, route{method: "POST", path: "/logout", id: "logout", tag: tag, summary: "End the session", need: open},
		func(ctx context.Context, _ *none) (*sessionOut, error) {
			if who := accounts.FromContext(ctx); who.Session() {
				if err := s.Accounts.Logout(ctx, who); err != nil {
					return nil, err
				}
			}
			return &sessionOut{SetCookie: sessionCookie(originOf(ctx), ""), Body: s.me(accounts.Identity{})}, nil
		})
	handle(s, route{method: "GET", path: "/me", id: "getMe", tag: tag, summary: "Who asks, and whether the node has users yet", need: open},
		func(ctx context.Context, in *struct {
			Cookie string `cookie:"shoal_session" hidden:"true"`
		}) (*sessionOut, error) {
			who := accounts.FromContext(ctx)
			out := &sessionOut{Body: s.me(who)}
			if who.Session() { // a browser's cookie lasts as long as the session: both begin anew
				out.SetCookie = sessionCookie(originOf(ctx), in.Cookie)
			}
			return out, nil
		})
	handle(s, route{method: "POST", path: "/me/password", id: "changePassword", tag: tag, summary: "Change one's own; ends one's other sessions", need: accounts.Read},
		func(ctx context.Context, in *struct{ Body api.PasswordRequest }) (*none, error) {
			who := accounts.FromContext(ctx)
			if !who.Session() {
				return nil, huma.Error403Forbidden("this needs a session: log in")
			}
			if err := s.Accounts.CheckPassword(ctx, originOf(ctx).client, who.Name, in.Body.Old); err != nil {
				return nil, err
			}
			return nil, s.Accounts.SetPassword(ctx, who.Name, in.Body.New, who)
		})
}

// tokenRoutes are for the tokens of who asks; an admin sees and removes everybody's.
func (s *Server) tokenRoutes() {
	const tag = "Users"
	whose := func(ctx context.Context) (user string, err error) {
		who := accounts.FromContext(ctx)
		switch {
		case who.May(accounts.Manage):
			return "", nil
		case !who.Session():
			return "", huma.Error403Forbidden("this needs a session, or the scope admin")
		}
		return who.Name, nil
	}
	handle(s, route{method: "GET", path: "/tokens", id: "listTokens", tag: tag, summary: "One's own tokens; an admin's: all", need: accounts.Read},
		func(ctx context.Context, _ *none) (*body[[]accounts.Token], error) {
			user, err := whose(ctx)
			if err != nil {
				return nil, err
			}
			t, err := s.Accounts.Tokens(ctx, user)
			return answer(t), err
		})
	handle(s, route{method: "POST", path: "/tokens", id: "addToken", tag: tag, summary: "Make a token; its secret is told this once", need: accounts.Read, status: 201},
		func(ctx context.Context, in *struct{ Body api.TokenRequest }) (*body[api.NewToken], error) {
			user, err := whose(ctx)
			if err != nil {
				return nil, err
			}
			if user == "" {
				user = in.Body.User
			} else if in.Body.User != "" && in.Body.User != user {
				return nil, huma.Error403Forbidden("only an admin makes tokens of others")
			}
			if user == "" {
				user = accounts.FromContext(ctx).Name
			}
			secret, t, err := s.Accounts.AddToken(ctx, user, in.Body.Name, in.Body.Scopes, in.Body.Expires)
			return answer(api.NewToken{Token: t, Secret: secret}), err
		})
	handle(s, route{method: "DELETE", path: "/tokens/{id}", id: "removeToken", tag: tag, summary: "End a token", need: accounts.Read},
		func(ctx context.Context, in *struct {
			ID string `path:"id" maxLength:"64"`
		}) (*none, error) {
			user, err := whose(ctx)
			if err != nil {
				return nil, err
			}
			return nil, s.Accounts.RemoveToken(ctx, user, in.ID)
		})
}
