package node

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"shoal/internal/api"
	"shoal/internal/config"
	"shoal/internal/database"
)

// settings are those in force, with what was saved through the API: server.Settings.
type settings struct {
	db    *database.DB
	apply func(before, after *config.Config) // called with mu held, after a change

	mu     sync.Mutex
	loaded *config.Loaded
	saved  config.Saved
}

var settingsTables = []string{"create table settings (key text primary key, value text not null) without rowid"}

// openSettings loads the settings with what was saved among them.
func openSettings(db *database.DB, options config.Options) (*settings, error) {
	s := &settings{db: db, saved: config.Saved{}}
	if err := db.Migrate("settings", settingsTables); err != nil {
		return nil, err
	}
	rows, err := db.Read.Query("select key, value from settings")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var key string
		var value []byte
		if err := rows.Scan(&key, &value); err != nil {
			return nil, err
		}
		s.saved[key] = value
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	options.Saved = s.saved
	s.loaded, err = config.Load(options)
	return s, err
}

// current returns what is in force.
func (s *settings) current() *config.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.loaded.Config
	return &c
}

// List implements server.Settings.
func (s *settings) List() []api.Setting {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []api.Setting
	for _, c := range s.loaded.Settings() {
		def, err1 := json.Marshal(c.Default)
		value, err2 := json.Marshal(c.Value)
		if err := errors.Join(err1, err2); err != nil {
			panic(err) // every value is of our own types
		}
		out = append(out, api.Setting{Key: c.Key, Title: c.Title, Text: c.Text, Group: c.Group, Type: string(c.Type), Unit: c.Unit, Default: def, Value: value,
			Source: string(c.Source), Locked: c.Locked, Restart: c.Restart, Choices: c.Choices})
	}
	return out
}

// Save implements server.Settings. A value of null takes back what was saved.
func (s *settings) Save(values map[string]any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	saved := maps.Clone(s.saved)
	keys := slices.Sorted(maps.Keys(values))
	var problems []error
	for _, key := range keys {
		if values[key] == nil {
			delete(saved, key)
			continue
		}
		raw, err := json.Marshal(values[key])
		if err == nil {
			raw, err = s.loaded.Check(key, raw)
		}
		if err != nil {
			problems = append(problems, err)
			continue
		}
		saved[key] = raw
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	loaded, err := s.loaded.With(saved)
	if err != nil {
		return err
	}
	err = s.db.Durable(context.Background(), func(tx *sql.Tx) error {
		for _, key := range keys {
			var err error
			if raw, ok := saved[key]; ok {
				_, err = tx.Exec("insert into settings values (?, ?) on conflict do update set value = excluded.value", key, string(raw))
			} else {
				_, err = tx.Exec("delete from settings where key = ?", key)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.replace(loaded, saved)
	return nil
}

// reload reads the file and the environment again. If they are wrong all stays as it is.
func (s *settings) reload(options config.Options) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	options.Saved = s.saved
	loaded, err := config.Load(options)
	if err != nil {
		return err
	}
	s.replace(loaded, s.saved)
	return nil
}

func (s *settings) replace(loaded *config.Loaded, saved config.Saved) {
	before := s.loaded.Config
	s.loaded, s.saved = loaded, saved
	s.apply(&before, &loaded.Config)
}

// restartNeeded names the settings that changed and count only when the node starts anew.
func restartNeeded(before, after *config.Config) string {
	var keys []string
	for _, c := range config.Diff(before, after) {
		if c.Restart {
			keys = append(keys, c.Key)
		}
	}
	return strings.Join(keys, ", ")
}
