package config

import "slices"

// setting declares one setting.
type setting struct {
	key   string // group.name; a table of the file and a key in it
	kind  Kind
	def   string // as in the environment; {downloads}, {state} and {socket} are the places of FindPaths
	title string
	text  string
	field func(*Config) any // pointer to the field

	choices  []string            // of an Enum
	min, max int64               // of an Int; max 0: none
	off      bool                // "off" is the same as an empty text, which is what the field then has
	restart  bool                // a change takes effect when the node starts again
	fixed    bool                // not to be changed through the API
	secret   bool                // KEY_file and SHOAL_KEY_FILE name a file that holds it, and nobody is shown what show does not make of it
	show     func(string) string // what may be shown of a secret; nil: nothing
	check    func(string) error  // of a text, and of each element of a list; never called with an empty text
	flag     string              // of the daemon; empty: the key with "-" for ".", "no-…" of a Bool: the flag turns it off
}

// group is a table of the file.
type group struct{ name, title string }

var groups = []group{
	{"folders", "Folders"},
	{"api", "API and web UI"},
	{"network", "Network"},
	{"bandwidth", "Bandwidth"},
	{"queue", "Queue"},
	{"seeding", "Seeding"},
	{"disk", "Disk"},
	{"stream", "Playing"},
	{"completion", "When a download is done"},
	{"log", "Log"},
	{"admin", "First user"},
}

// table has every setting, in the order of the groups.
var table = slices.Concat(folderSettings, apiSettings, networkSettings, bandwidthSettings, queueSettings, otherSettings)

var folderSettings = []setting{
	{key: "folders.downloads", kind: Path, def: "{downloads}", title: "Downloads", flag: "downloads",
		text:  "Where downloads go that name no other folder.",
		field: func(c *Config) any { return &c.Folders.Downloads }},
	{key: "folders.incomplete", kind: Path, title: "Unfinished downloads", flag: "incomplete",
		text:  "Where downloads lie until they are done and are moved to their own folder; empty: in their own folder from the start.",
		field: func(c *Config) any { return &c.Folders.Incomplete }},
	{key: "folders.state", kind: Path, def: "{state}", title: "State", restart: true, fixed: true, flag: "state",
		text:  "The node's database, and what it knows of each torrent.",
		field: func(c *Config) any { return &c.Folders.State }},
	{key: "folders.browse", kind: PathList, title: "Folders to browse", fixed: true, flag: "browse",
		text:  "Folders that the web UI may list, share from and download to, beside the downloads folder.",
		field: func(c *Config) any { return &c.Folders.Browse }},
}

var apiSettings = []setting{
	{key: "api.listen", kind: Text, def: "127.0.0.1:7462", title: "Address", off: true, restart: true, check: listenAddress,
		text:  "Address and port of the API and the web UI, such as 0.0.0.0:7462 for every machine that reaches this one; off: none.",
		field: func(c *Config) any { return &c.API.Listen }},
	{key: "api.socket", kind: Path, def: "{socket}", title: "Unix socket", off: true, restart: true,
		text:  "Socket of the API for programs of the same user: who can open it is admin; off: none.",
		field: func(c *Config) any { return &c.API.Socket }},
	{key: "api.hosts", kind: List, title: "Host names", check: hostName,
		text:  "Names by which browsers may ask for the node, beside localhost and its addresses; others are refused, so that no web site gets at it by a name of its own.",
		field: func(c *Config) any { return &c.API.Hosts }},
	{key: "api.base_path", kind: Text, title: "Base path", restart: true, check: basePath,
		text:  "Path below which a reverse proxy offers the node, such as /shoal.",
		field: func(c *Config) any { return &c.API.BasePath }},
	{key: "api.trusted_proxies", kind: List, title: "Trusted proxies", check: isPrefix,
		text:  "Addresses or networks of reverse proxies whose word is taken for who is asking (X-Forwarded-For).",
		field: func(c *Config) any { return &c.API.TrustedProxies }},
	{key: "api.tls_cert", kind: Path, title: "TLS certificate", restart: true,
		text:  "File with the certificate chain in PEM; with it the address serves HTTPS.",
		field: func(c *Config) any { return &c.API.TLSCert }},
	{key: "api.tls_key", kind: Path, title: "TLS key", restart: true,
		text:  "File with the certificate's private key in PEM.",
		field: func(c *Config) any { return &c.API.TLSKey }},
	{key: "api.metrics", kind: Enum, def: MetricsPrivate, choices: []string{MetricsOff, MetricsPrivate, MetricsPublic}, title: "Metrics",
		text:  "Who may read /metrics: nobody, who is logged in or has a token, or everybody.",
		field: func(c *Config) any { return &c.API.Metrics }},
	{key: "api.qbittorrent", kind: Bool, def: "true", title: "qBittorrent's API",
		text:  "Answer programs that expect qBittorrent, below /api/v2.",
		field: func(c *Config) any { return &c.API.QBittorrent }},
	{key: "api.transmission", kind: Bool, def: "true", title: "Transmission's API",
		text:  "Answer programs that expect Transmission, at /transmission/rpc.",
		field: func(c *Config) any { return &c.API.Transmission }},
}

var networkSettings = []setting{
	{key: "network.listen", kind: Text, title: "Address for peers", restart: true, check: listenAddress, flag: "listen",
		text:  "Address and port for peers, such as :6881 or 192.0.2.7:6881; empty: the first free port from 6881 to 6889, on every address.",
		field: func(c *Config) any { return &c.Network.Listen }},
	{key: "network.port_file", kind: Path, title: "Port file", restart: true,
		text:  "File that holds the port for peers, as VPN containers write it when their provider forwards one; it is followed when it changes, and wins over the address's port.",
		field: func(c *Config) any { return &c.Network.PortFile }},
	{key: "network.route", kind: Text, title: "Route", restart: true, secret: true, show: showRoute, check: route, flag: "route",
		text:  "The one way out: socks5://[USER:PASSWORD@]HOST:PORT, tor, http://HOST:PORT, interface:NAME or a local address; nothing goes round it. Empty: the machine's own network.",
		field: func(c *Config) any { return &c.Network.Route }},
	{key: "network.bind", kind: Text, title: "Bind to", restart: true, check: bind, flag: "bind",
		text:  "Use only this network interface, or this local address; with a proxy as route, to reach the proxy.",
		field: func(c *Config) any { return &c.Network.Bind }},
	{key: "network.anonymous", kind: Bool, def: "false", title: "Anonymous", restart: true, flag: "anonymous",
		text:  "Tell nobody who we are: no client name, no port or address in handshakes, a new peer id for each torrent.",
		field: func(c *Config) any { return &c.Network.Anonymous }},
	{key: "network.isolated", kind: Bool, def: "false", title: "Isolated", restart: true, flag: "isolated",
		text:  "Begin with nothing but the trackers, peers and DHT nodes named: ask no public DHT router, look for nobody on the local network, open no port at the router.",
		field: func(c *Config) any { return &c.Network.Isolated }},
	{key: "network.encryption", kind: Enum, def: "prefer", choices: []string{"prefer", "require", "off"}, title: "Encryption", restart: true, flag: "encryption",
		text:  "Of connections with peers.",
		field: func(c *Config) any { return &c.Network.Encryption }},
	{key: "network.utp", kind: Bool, def: "true", title: "uTP", restart: true, flag: "no-utp",
		text:  "Connect over uTP as well, which leaves the line to whoever else needs it; else over TCP only.",
		field: func(c *Config) any { return &c.Network.UTP }},
	{key: "network.dht", kind: Bool, def: "true", title: "DHT", restart: true, flag: "no-dht",
		text:  "Take part in the DHT, by which peers are found without a tracker.",
		field: func(c *Config) any { return &c.Network.DHT }},
	{key: "network.dht_nodes", kind: List, title: "DHT nodes", restart: true, check: hostPort, flag: "dht-node",
		text:  "Nodes to enter the DHT by, HOST:PORT, beside those remembered.",
		field: func(c *Config) any { return &c.Network.DHTNodes }},
	{key: "network.lsd", kind: Bool, def: "true", title: "Local peers", restart: true, flag: "no-lsd",
		text:  "Look for peers on the local network.",
		field: func(c *Config) any { return &c.Network.LSD }},
	{key: "network.port_map", kind: Bool, def: "true", title: "Open the port", restart: true, flag: "no-port-map",
		text:  "Ask the router to open our port, by UPnP, NAT-PMP or PCP.",
		field: func(c *Config) any { return &c.Network.PortMap }},
	{key: "network.countries", kind: Path, title: "Countries of peers", restart: true,
		text:  "File that tells the country of an address, in MaxMind's format (MMDB), such as GeoLite2-Country or DB-IP Lite. Nobody is asked for it.",
		field: func(c *Config) any { return &c.Network.Countries }},
	{key: "network.ip_filter", kind: Path, title: "IP filter", restart: true, flag: "ip-filter",
		text:  "File of addresses to have nothing to do with: P2P, DAT or CIDR lines, gzip or not.",
		field: func(c *Config) any { return &c.Network.IPFilter }},
	{key: "network.max_peers", kind: Int, def: "500", min: 1, max: 1_000_000, title: "Connections", restart: true,
		text:  "Most connections with peers, of all torrents together.",
		field: func(c *Config) any { return &c.Network.MaxPeers }},
	{key: "network.max_peers_torrent", kind: Int, def: "200", min: 1, max: 100_000, title: "Connections of a torrent", flag: "max-peers",
		text:  "Most connections with peers of one torrent; it holds for torrents that are added or started afterwards.",
		field: func(c *Config) any { return &c.Network.MaxPeersTorrent }},
}

var bandwidthSettings = []setting{
	{key: "bandwidth.down", kind: Rate, def: "0", title: "Download limit", flag: "limit-down",
		text:  "Most to download a second, such as 500k or 2MB; 0: no limit.",
		field: func(c *Config) any { return &c.Bandwidth.Down }},
	{key: "bandwidth.up", kind: Rate, def: "0", title: "Upload limit", flag: "limit-up",
		text:  "Most to upload a second; 0: no limit.",
		field: func(c *Config) any { return &c.Bandwidth.Up }},
	{key: "bandwidth.lan_free", kind: Bool, def: "false", title: "Local network is free", restart: true, flag: "lan-free",
		text:  "Do not apply the limits to peers on the local network.",
		field: func(c *Config) any { return &c.Bandwidth.LANFree }},
	{key: "bandwidth.alt_down", kind: Rate, def: "1M", title: "Alternative download limit",
		text:  "Download limit while the alternative limits are on, by hand or by a schedule; 0: no limit.",
		field: func(c *Config) any { return &c.Bandwidth.AltDown }},
	{key: "bandwidth.alt_up", kind: Rate, def: "200k", title: "Alternative upload limit",
		text:  "Upload limit while the alternative limits are on; 0: no limit.",
		field: func(c *Config) any { return &c.Bandwidth.AltUp }},
	{key: "bandwidth.alternative", kind: Bool, def: "false", title: "Alternative limits",
		text:  "Hold to the alternative limits now.",
		field: func(c *Config) any { return &c.Bandwidth.Alternative }},
}

var queueSettings = []setting{
	{key: "queue.active_downloads", kind: Int, def: "5", max: 100_000, title: "Active downloads",
		text:  "Most torrents that download at once; the others wait for their turn. 0: no limit.",
		field: func(c *Config) any { return &c.Queue.ActiveDownloads }},
	{key: "queue.active_seeds", kind: Int, def: "0", max: 1_000_000, title: "Active seeds",
		text:  "Most torrents that seed at once; 0: no limit.",
		field: func(c *Config) any { return &c.Queue.ActiveSeeds }},
	{key: "queue.active_total", kind: Int, def: "0", max: 1_000_000, title: "Active torrents",
		text:  "Most torrents that download or seed at once; 0: no limit.",
		field: func(c *Config) any { return &c.Queue.ActiveTotal }},
	{key: "seeding.ratio", kind: Number, def: "0", title: "Ratio", check: ratio,
		text:  "Seed until so many times the torrent's size was uploaded, if no category, tag or tracker has a rule of its own; 0: no limit.",
		field: func(c *Config) any { return &c.Seeding.Ratio }},
	{key: "seeding.time", kind: Duration, def: "0", title: "Seeding time",
		text:  "Seed for so long, such as 12h or 7d; 0: no limit. With a ratio as well, whichever comes first.",
		field: func(c *Config) any { return &c.Seeding.Time }},
	{key: "seeding.action", kind: Enum, def: ActionPause, title: "Afterwards",
		choices: []string{ActionPause, ActionRemove, ActionRemoveData, ActionNone},
		text:    "What to do with a torrent that was seeded enough: pause it, remove it, remove it with its data, or nothing.",
		field:   func(c *Config) any { return &c.Seeding.Action }},
}

var otherSettings = []setting{
	{key: "disk.free_space_floor", kind: Bytes, def: "1GiB", title: "Keep free",
		text:  "Bytes of each file system that downloads leave free: they wait when there is less, and go on when there is more.",
		field: func(c *Config) any { return &c.Disk.FreeSpaceFloor }},
	{key: "disk.preallocate", kind: Bool, def: "false", title: "Reserve space",
		text:  "Reserve the space of a download at once.",
		field: func(c *Config) any { return &c.Disk.Preallocate }},
	{key: "disk.memory", kind: Bytes, def: "32MiB", min: 4 << 20, title: "Memory for payload", restart: true, flag: "memory",
		text:  "Most memory for payload on its way to disk.",
		field: func(c *Config) any { return &c.Disk.Memory }},
	{key: "stream.dlna", kind: Bool, def: "false", title: "DLNA", restart: true,
		text:  "Offer media to televisions and players on the local network, all of whom may then see what there is.",
		field: func(c *Config) any { return &c.Stream.DLNA }},
	{key: "stream.ahead", kind: Bytes, def: "64MiB", min: 1 << 20, title: "Fetched ahead of players", restart: true,
		text:  "Most that is fetched ahead of the place that a player reads at.",
		field: func(c *Config) any { return &c.Stream.Ahead }},
	{key: "completion.command", kind: List, title: "Command", fixed: true,
		text:  "A program and its arguments, run when a download is done. The program gets what was downloaded in its environment (SHOAL_TORRENT_…); no shell is involved.",
		field: func(c *Config) any { return &c.Completion.Command }},
	{key: "log.level", kind: Enum, def: "info", choices: []string{"debug", "info", "warn", "error"}, title: "Level",
		text:  "The least grave of what is logged.",
		field: func(c *Config) any { return &c.Log.Level }},
	{key: "log.format", kind: Enum, def: "text", choices: []string{"text", "json"}, title: "Format", restart: true,
		text:  "Lines of text, or one JSON object a line.",
		field: func(c *Config) any { return &c.Log.Format }},
	{key: "admin.name", kind: Text, def: "admin", title: "Name", fixed: true, restart: true, check: userName,
		text:  "Name of the first user, who is made at the first start if there is a password.",
		field: func(c *Config) any { return &c.Admin.Name }},
	{key: "admin.password", kind: Secret, title: "Password", fixed: true, restart: true, secret: true, check: password,
		text:  "Password of the first user; without one, the first start prints a link with a code by which the first user is made.",
		field: func(c *Config) any { return &c.Admin.Password }},
}
