package server

import (
	"context"

	"shoal/internal/accounts"
	"shoal/internal/library"
)

type NameInput struct {
	Name string `path:"name" maxLength:"200" minLength:"1"`
}

// groupRoutes are for what torrents are grouped by, and when their seeding ends.
func (s *Server) groupRoutes() {
	const tag = "Groups"
	handle(s, route{method: "GET", path: "/categories", id: "listCategories", tag: tag, summary: "Categories", need: accounts.Read},
		func(context.Context, *none) (*body[[]library.Category], error) {
			c, err := s.Library.Categories()
			return answer(notNil(c)), err
		})
	handle(s, route{method: "PUT", path: "/categories/{name}", id: "putCategory", tag: tag, summary: "Make or change a category", need: accounts.Control},
		func(ctx context.Context, in *struct {
			NameInput
			Body library.Category
		}) (*none, error) {
			if in.Body.Dir != "" {
				if err := s.MayUse(ctx, in.Body.Dir); err != nil {
					return nil, err
				}
			}
			in.Body.Name = in.Name
			return nil, s.Library.PutCategory(ctx, in.Body)
		})
	handle(s, route{method: "DELETE", path: "/categories/{name}", id: "removeCategory", tag: tag, summary: "Remove a category; its torrents stay", need: accounts.Control},
		func(ctx context.Context, in *NameInput) (*none, error) {
			return nil, s.Library.RemoveCategory(ctx, in.Name)
		})
	handle(s, route{method: "GET", path: "/tags", id: "listTags", tag: tag, summary: "Tags", need: accounts.Read},
		func(context.Context, *none) (*body[[]string], error) {
			t, err := s.Library.Tags()
			return answer(notNil(t)), err
		})
	handle(s, route{method: "PUT", path: "/tags/{name}", id: "putTag", tag: tag, summary: "Make a tag", need: accounts.Control},
		func(ctx context.Context, in *NameInput) (*none, error) { return nil, s.Library.PutTag(ctx, in.Name) })
	handle(s, route{method: "DELETE", path: "/tags/{name}", id: "removeTag", tag: tag, summary: "Take a tag from all and remove it", need: accounts.Control},
		func(ctx context.Context, in *NameInput) (*none, error) { return nil, s.Library.RemoveTag(ctx, in.Name) })
	handle(s, route{method: "GET", path: "/rules/seed", id: "listSeedRules", tag: tag, summary: "When seeding ends", need: accounts.Read},
		func(context.Context, *none) (*body[[]library.SeedRule], error) {
			r, err := s.Library.SeedRules()
			return answer(notNil(r)), err
		})
	handle(s, route{method: "PUT", path: "/rules/seed", id: "setSeedRules", tag: tag, summary: "All rules; the first that matches counts", need: accounts.Manage},
		func(ctx context.Context, in *struct {
			Body []library.SeedRule `maxItems:"500"`
		}) (*none, error) {
			return nil, s.Library.SetSeedRules(ctx, in.Body)
		})
}
