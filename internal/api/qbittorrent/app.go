package qbittorrent

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"runtime"
	"slices"
)

func (c *call) buildInfo() (any, error) {
	bits := 64
	if ^uint(0)>>32 == 0 {
		bits = 32
	}
	return map[string]any{"qt": "", "libtorrent": "", "boost": "", "openssl": "", "zlib": "", "bitness": bits, "platform": runtime.GOOS}, nil
}

// value reads the value of a setting of the node; false if there is none of the kind.
func value[T any](c *call, key string) (v T, ok bool) {
	if c.settings == nil {
		c.settings = map[string]json.RawMessage{}
		if c.Settings != nil {
			for _, s := range c.Settings.List() {
				c.settings[s.Key] = s.Value
			}
		}
	}
	raw, ok := c.settings[key]
	return v, ok && json.Unmarshal(raw, &v) == nil
}

func (c *call) text(key string) string {
	v, _ := value[string](c, key)
	return v
}

func (c *call) int(key string) int64 {
	v, _ := value[float64](c, key)
	return int64(v)
}

func (c *call) float(key string) float64 {
	v, _ := value[float64](c, key)
	return v
}

func (c *call) bool(key string) bool {
	v, _ := value[bool](c, key)
	return v
}

// preferences tells the settings that both of us have.
func (c *call) preferences() (any, error) {
	ratio, minutes := c.float("seeding.ratio"), c.int("seeding.time")/60
	p := map[string]any{
		"save_path": c.text("folders.downloads"), "temp_path": c.text("folders.incomplete"), "temp_path_enabled": c.text("folders.incomplete") != "",
		"dht": c.bool("network.dht"), "pex": true, "lsd": c.bool("network.lsd"), "upnp": c.bool("network.port_map"), "listen_port": c.Library.Totals().Port,
		"encryption": map[string]int{"prefer": 0, "require": 1, "off": 2}[c.text("network.encryption")], "anonymous_mode": c.bool("network.anonymous"),
		"dl_limit": c.int("bandwidth.down"), "up_limit": c.int("bandwidth.up"), "alt_dl_limit": c.int("bandwidth.alt_down"), "alt_up_limit": c.int("bandwidth.alt_up"),
		"max_connec": c.int("network.max_peers"), "max_connec_per_torrent": c.int("network.max_peers_torrent"), "preallocate_all": c.bool("disk.preallocate"),
		"queueing_enabled": true, "max_active_downloads": orNone(c.int("queue.active_downloads")), "max_active_uploads": orNone(c.int("queue.active_seeds")),
		"max_active_torrents": orNone(c.int("queue.active_total")),
		"max_ratio_enabled":   ratio > 0, "max_ratio": -1.0, "max_ratio_act": 0,
		"max_seeding_time_enabled": minutes > 0, "max_seeding_time": int64(-1),
		"max_inactive_seeding_time_enabled": false, "max_inactive_seeding_time": -1,
		"auto_tmm_enabled": false, "torrent_content_layout": "Original", "start_paused_enabled": false, "add_stopped_enabled": false, "locale": "en",
	}
	if ratio > 0 {
		p["max_ratio"] = ratio
	}
	if minutes > 0 {
		p["max_seeding_time"] = minutes
	}
	switch c.text("seeding.action") {
	case "remove":
		p["max_ratio_act"] = 1
	case "remove_data":
		p["max_ratio_act"] = 3
	}
	return p, nil
}

// orNone turns the lack of a limit into qBittorrent's.
func orNone(n int64) int64 {
	if n == 0 {
		return -1
	}
	return n
}

// preference is a setting that may be changed: ours, and how qBittorrent's value becomes ours.
type preference struct {
	key  string
	ours func(any) (any, error)
}

func asIs(v any) (any, error) { return v, nil }

func number(v any) (any, error) {
	f, ok := v.(float64)
	if !ok {
		return nil, errors.New("it is a number")
	}
	return max(f, 0), nil
}

var changeable = map[string]preference{
	"save_path": {"folders.downloads", asIs}, "temp_path": {"folders.incomplete", asIs},
	"dht": {"network.dht", asIs}, "lsd": {"network.lsd", asIs}, "upnp": {"network.port_map", asIs}, "anonymous_mode": {"network.anonymous", asIs},
	"dl_limit": {"bandwidth.down", number}, "up_limit": {"bandwidth.up", number}, "alt_dl_limit": {"bandwidth.alt_down", number}, "alt_up_limit": {"bandwidth.alt_up", number},
	"max_connec": {"network.max_peers", number}, "max_connec_per_torrent": {"network.max_peers_torrent", number}, "preallocate_all": {"disk.preallocate", asIs},
	"max_active_downloads": {"queue.active_downloads", number}, "max_active_uploads": {"queue.active_seeds", number}, "max_active_torrents": {"queue.active_total", number},
	"max_ratio": {"seeding.ratio", number},
	"max_seeding_time": {"seeding.time", func(v any) (any, error) {
		n, err := number(v)
		if err != nil {
			return nil, err
		}
		return n.(float64) * 60, nil
	}},
	"encryption": {"network.encryption", func(v any) (any, error) {
		n, ok := v.(float64)
		if names := []string{"prefer", "require", "off"}; ok && n >= 0 && int(n) < len(names) {
			return names[int(n)], nil
		}
		return nil, errors.New("it is 0, 1 or 2")
	}},
}

// setPreferences changes what is changeable and passes over the rest, as qBittorrent does with names that it does not know.
func (c *call) setPreferences() (any, error) {
	if c.Settings == nil {
		return nil, refusal{http.StatusNotFound, "there are no settings"}
	}
	var sent map[string]any
	if err := json.Unmarshal([]byte(c.values.Get("json")), &sent); err != nil {
		return nil, bad("json: %v", err)
	}
	if enabled, ok := sent["max_ratio_enabled"].(bool); ok && !enabled {
		sent["max_ratio"] = 0.0
	}
	if enabled, ok := sent["max_seeding_time_enabled"].(bool); ok && !enabled {
		sent["max_seeding_time"] = 0.0
	}
	save := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(sent)) {
		p, ok := changeable[name]
		if !ok {
			continue
		}
		v, err := p.ours(sent[name])
		if err != nil {
			return nil, bad("%s: %v", name, err)
		}
		save[p.key] = v
	}
	if len(save) == 0 {
		return nil, nil
	}
	if err := c.Settings.Save(save); err != nil {
		return nil, bad("%v", err)
	}
	return nil, nil
}

func setLimit(key string) func(*call) (any, error) {
	return func(c *call) (any, error) {
		n, err := c.number("limit")
		if err != nil {
			return nil, err
		}
		return nil, c.save(key, max(n, 0))
	}
}

func (c *call) save(key string, v any) error {
	if c.Settings == nil {
		return refusal{http.StatusNotFound, "there are no settings"}
	}
	if err := c.Settings.Save(map[string]any{key: v}); err != nil {
		return bad("%v", err)
	}
	return nil
}

func (c *call) transferInfo() (any, error) {
	t := c.Library.Totals()
	status := "firewalled"
	switch {
	case t.Port == 0 && t.Peers == 0:
		status = "disconnected"
	case t.Reachable:
		status = "connected"
	}
	return map[string]any{"dl_info_speed": t.DownRate, "dl_info_data": t.SessionDown, "up_info_speed": t.UpRate, "up_info_data": t.SessionUp,
		"dl_rate_limit": c.int("bandwidth.down"), "up_rate_limit": c.int("bandwidth.up"), "dht_nodes": t.DHTNodes, "connection_status": status}, nil
}

func (c *call) speedLimitsMode() (any, error) {
	if c.bool("bandwidth.alternative") {
		return "1", nil
	}
	return "0", nil
}

func (c *call) toggleSpeedLimitsMode() (any, error) {
	return nil, c.save("bandwidth.alternative", !c.bool("bandwidth.alternative"))
}

// number returns a parameter that is a whole number.
func (c *call) number(name string) (int64, error) {
	var n json.Number
	text := c.values.Get(name)
	if err := json.Unmarshal([]byte(text), &n); err == nil && text != "" {
		if i, err := n.Int64(); err == nil {
			return i, nil
		}
	}
	return 0, bad("%s is not a number", name)
}
