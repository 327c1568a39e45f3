package transmission

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// value reads the value of a setting of the node; the zero one if there is none of the kind.
func value[T any](c *call, key string) (v T) {
	if c.settings == nil {
		c.settings = map[string]json.RawMessage{}
		if c.Settings != nil {
			for _, s := range c.Settings.List() {
				c.settings[s.Key] = s.Value
			}
		}
	}
	if raw, ok := c.settings[key]; ok {
		_ = json.Unmarshal(raw, &v) // of another kind it stays zero
	}
	return v
}

func (c *call) text(key string) string   { return value[string](c, key) }
func (c *call) int(key string) int64     { return int64(value[float64](c, key)) }
func (c *call) float(key string) float64 { return value[float64](c, key) }
func (c *call) bool(key string) bool     { return value[bool](c, key) }

// sessionGet tells the node's settings in Transmission's words.
func (c *call) sessionGet() (map[string]any, error) {
	t := c.Library.Totals()
	all := map[string]any{
		"version": version, "rpc_version": rpcVersion, "rpc_version_minimum": rpcMinimum, "rpc_version_semver": rpcSemver, "session_id": c.session, "config_dir": "",
		"download_dir": c.text("folders.downloads"), "incomplete_dir": c.text("folders.incomplete"), "incomplete_dir_enabled": c.text("folders.incomplete") != "",
		"download_dir_free_space": c.free(c.text("folders.downloads")),
		"speed_limit_down":        c.int("bandwidth.down") / kilo, "speed_limit_down_enabled": c.int("bandwidth.down") > 0,
		"speed_limit_up": c.int("bandwidth.up") / kilo, "speed_limit_up_enabled": c.int("bandwidth.up") > 0,
		"alt_speed_down": c.int("bandwidth.alt_down") / kilo, "alt_speed_up": c.int("bandwidth.alt_up") / kilo, "alt_speed_enabled": c.bool("bandwidth.alternative"),
		"alt_speed_time_enabled": false, "alt_speed_time_begin": 0, "alt_speed_time_end": 0, "alt_speed_time_day": 127,
		"dht_enabled": c.bool("network.dht"), "lpd_enabled": c.bool("network.lsd"), "pex_enabled": true, "utp_enabled": c.bool("network.utp"),
		"port_forwarding_enabled": c.bool("network.port_map"), "peer_port": t.Port, "peer_port_random_on_start": false,
		"encryption":        map[string]string{"require": "required", "prefer": "preferred", "off": "tolerated"}[c.text("network.encryption")],
		"peer_limit_global": c.int("network.max_peers"), "peer_limit_per_torrent": c.int("network.max_peers_torrent"),
		"seed_ratio_limit": c.float("seeding.ratio"), "seed_ratio_limited": c.float("seeding.ratio") > 0,
		"idle_seeding_limit": 0, "idle_seeding_limit_enabled": false,
		"download_queue_size": c.int("queue.active_downloads"), "download_queue_enabled": c.int("queue.active_downloads") > 0,
		"seed_queue_size": c.int("queue.active_seeds"), "seed_queue_enabled": c.int("queue.active_seeds") > 0,
		"queue_stalled_enabled": false, "queue_stalled_minutes": 0, "rename_partial_files": false, "start_added_torrents": true, "trash_original_torrent_files": false,
		"blocklist_enabled": c.text("network.ip_filter") != "", "blocklist_size": 0, "blocklist_url": "", "cache_size_mb": c.int("disk.memory") >> 20, "default_trackers": "",
		"script_torrent_added_enabled": false, "script_torrent_added_filename": "", "script_torrent_done_enabled": false, "script_torrent_done_filename": "",
		"script_torrent_done_seeding_enabled": false, "script_torrent_done_seeding_filename": "",
		"units": map[string]any{"speed_units": []string{"kB/s", "MB/s", "GB/s", "TB/s"}, "speed_bytes": kilo, "size_units": []string{"kB", "MB", "GB", "TB"},
			"size_bytes": kilo, "memory_units": []string{"KiB", "MiB", "GiB", "TiB"}, "memory_bytes": 1024},
	}
	names, there, err := arg[[]string](c, "fields")
	if err != nil {
		return nil, err
	}
	if there {
		maps.DeleteFunc(all, func(name string, _ any) bool {
			return !slices.ContainsFunc(names, func(n string) bool { return snake(n) == name })
		})
	}
	return c.styled(all, kebab), nil
}

// styled returns an answer with the names that the client's protocol has.
func (c *call) styled(m map[string]any, old func(string) string) map[string]any {
	if c.modern {
		return m
	}
	return named(m, old).(map[string]any)
}

// sessionSet changes what is a setting of ours too, and passes over the rest.
func (c *call) sessionSet() (map[string]any, error) {
	save := map[string]any{}
	for name, key := range map[string]string{
		"download_dir": "folders.downloads", "dht_enabled": "network.dht", "lpd_enabled": "network.lsd", "utp_enabled": "network.utp",
		"port_forwarding_enabled": "network.port_map", "peer_limit_global": "network.max_peers", "peer_limit_per_torrent": "network.max_peers_torrent",
		"alt_speed_enabled": "bandwidth.alternative",
	} {
		v, there, err := arg[any](c, name)
		if err != nil {
			return nil, err
		}
		if there {
			save[key] = v
		}
	}
	for _, x := range []struct {
		value, on, key string
		unit           float64
	}{
		{"speed_limit_down", "speed_limit_down_enabled", "bandwidth.down", kilo}, {"speed_limit_up", "speed_limit_up_enabled", "bandwidth.up", kilo},
		{"alt_speed_down", "", "bandwidth.alt_down", kilo}, {"alt_speed_up", "", "bandwidth.alt_up", kilo},
		{"seed_ratio_limit", "seed_ratio_limited", "seeding.ratio", 1}, {"download_queue_size", "download_queue_enabled", "queue.active_downloads", 1},
		{"seed_queue_size", "seed_queue_enabled", "queue.active_seeds", 1},
	} {
		v, given, err := arg[float64](c, x.value)
		if err != nil {
			return nil, err
		}
		on, switched, err := arg[bool](c, x.on)
		if err != nil {
			return nil, err
		}
		switch {
		case switched && !on:
			save[x.key] = 0
		case given && (on || x.on == "" || c.float(x.key) > 0):
			save[x.key] = max(v, 0) * x.unit
		}
	}
	if v, there, err := arg[string](c, "encryption"); err != nil {
		return nil, err
	} else if there {
		ours := map[string]string{"required": "require", "preferred": "prefer", "tolerated": "off"}[v]
		if ours == "" {
			return nil, bad("encryption is required, preferred or tolerated")
		}
		save["network.encryption"] = ours
	}
	if on, there, err := arg[bool](c, "incomplete_dir_enabled"); err != nil {
		return nil, err
	} else if dir, given, err := arg[string](c, "incomplete_dir"); err != nil {
		return nil, err
	} else if there && !on {
		save["folders.incomplete"] = ""
	} else if given && (on || c.text("folders.incomplete") != "") {
		save["folders.incomplete"] = dir
	}
	if len(save) == 0 {
		return nil, nil
	}
	if c.Settings == nil {
		return nil, bad("there are no settings")
	}
	if err := c.Settings.Save(save); err != nil {
		return nil, bad("%v", err)
	}
	return nil, nil
}

func (c *call) sessionStats() (map[string]any, error) {
	l, err := c.list()
	if err != nil {
		return nil, err
	}
	t := c.Library.Totals()
	stopped := 0
	for i := range l.torrents {
		if status(&l.torrents[i]) == 0 {
			stopped++
		}
	}
	sums := func(down, up int64) map[string]any {
		return map[string]any{"downloaded_bytes": down, "uploaded_bytes": up, "files_added": len(l.torrents), "session_count": 1, "seconds_active": t.Uptime}
	}
	m := map[string]any{"active_torrent_count": len(l.torrents) - stopped, "paused_torrent_count": stopped, "torrent_count": len(l.torrents),
		"download_speed": t.DownRate, "upload_speed": t.UpRate, "cumulative_stats": sums(t.Downloaded, t.Uploaded), "current_stats": sums(t.SessionDown, t.SessionUp)}
	return c.styled(m, func(name string) string {
		if strings.HasSuffix(name, "_stats") {
			return kebab(name)
		}
		return camel(name)
	}), nil
}

// free returns the bytes that are free where a folder is, -1 if torrents never lay there.
func (c *call) free(dir string) int64 {
	best, free := -1, int64(-1)
	for _, d := range c.Library.Totals().Disks {
		rel, err := filepath.Rel(d.Mount, dir)
		if err == nil && filepath.IsLocal(rel) && len(d.Mount) > best {
			best, free = len(d.Mount), d.Free
		}
	}
	return free
}

func (c *call) freeSpace() (map[string]any, error) {
	dir, _, err := arg[string](c, "path")
	if err != nil {
		return nil, err
	}
	if !filepath.IsAbs(dir) {
		return nil, bad("path is not absolute")
	}
	return c.styled(map[string]any{"path": dir, "size_bytes": c.free(dir), "total_size": -1}, kebab), nil
}

// portTest tells whether a peer has reached the port: nobody outside is asked.
func (c *call) portTest() (map[string]any, error) {
	return c.styled(map[string]any{"port_is_open": c.Library.Totals().Reachable}, kebab), nil
}
