package library

import (
	"cmp"
	"errors"
	"maps"
	"path/filepath"
	"slices"
)

const maxGroups = 10_000 // categories, and tags

// Categories returns every category, by name.
func (l *Library) Categories() []Category {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.SortedFunc(maps.Values(l.categories), func(a, b Category) int { return cmp.Compare(a.Name, b.Name) })
}

// PutCategory makes a category or changes it. Torrents that it has already stay where they are.
func (l *Library) PutCategory(c Category) error {
	if err := checkText("category", c.Name, false); err != nil {
		return err
	}
	if c.Dir != "" && !filepath.IsAbs(c.Dir) {
		return Bad("the folder %q is not an absolute path", c.Dir)
	}
	l.mu.Lock()
	if len(l.categories) >= maxGroups && l.categories[c.Name].Name == "" {
		l.mu.Unlock()
		return Bad("there are %d categories, and no room for more", maxGroups)
	}
	l.categories[c.Name] = c
	l.revision++
	l.mu.Unlock()
	return l.saveGroups()
}

// DeleteCategory deletes a category. Its torrents are without one then.
func (l *Library) DeleteCategory(name string) error {
	l.mu.Lock()
	if l.categories[name].Name == "" {
		l.mu.Unlock()
		return Bad("there is no category %q", short(name))
	}
	delete(l.categories, name)
	recs := l.regroup(func(e *entry) bool {
		is := e.rec.Category == name
		if is {
			e.rec.Category = ""
		}
		return is
	})
	l.mu.Unlock()
	return errors.Join(l.saveGroups(), l.save(recs))
}

// Tags returns every tag.
func (l *Library) Tags() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.AppendSeq([]string{}, slices.Values(slices.Sorted(maps.Keys(l.tags))))
}

// PutTag makes a tag.
func (l *Library) PutTag(name string) error {
	if err := checkText("tag", name, false); err != nil {
		return err
	}
	l.mu.Lock()
	if len(l.tags) >= maxGroups && !l.tags[name] {
		l.mu.Unlock()
		return Bad("there are %d tags, and no room for more", maxGroups)
	}
	l.tags[name] = true
	l.revision++
	l.mu.Unlock()
	return l.saveGroups()
}

// DeleteTag deletes a tag, also from the torrents that have it.
func (l *Library) DeleteTag(name string) error {
	l.mu.Lock()
	if !l.tags[name] {
		l.mu.Unlock()
		return Bad("there is no tag %q", short(name))
	}
	delete(l.tags, name)
	recs := l.regroup(func(e *entry) bool {
		at := slices.Index(e.rec.Tags, name)
		if at >= 0 {
			e.rec.Tags = slices.Delete(slices.Clone(e.rec.Tags), at, at+1)
		}
		return at >= 0
	})
	l.mu.Unlock()
	return errors.Join(l.saveGroups(), l.save(recs))
}

// regroup changes entries and returns what is to be saved. It is called with mu held.
func (l *Library) regroup(change func(*entry) bool) []saved {
	var changed []*entry
	for _, e := range l.entries {
		if change(e) {
			e.build(l)
			changed = append(changed, e)
		}
	}
	l.revision++
	return encode(changed...)
}

// noteGroups takes over the groups that an entry is in and nobody has made, and reports whether there were any. It is called with mu held.
func (l *Library) noteGroups(e *entry) bool {
	news := false
	if c := e.rec.Category; c != "" && l.categories[c].Name == "" {
		l.categories[c], news = Category{Name: c}, true
	}
	for _, t := range e.rec.Tags {
		if !l.tags[t] {
			l.tags[t], news = true, true
		}
	}
	return news
}

func (l *Library) saveGroups() error {
	l.mu.Lock()
	categories, tags := maps.Clone(l.categories), maps.Clone(l.tags)
	l.mu.Unlock()
	return errors.Join(l.saveValue("categories", categories), l.saveValue("tags", tags))
}
