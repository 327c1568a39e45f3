// A node that only pretends: the JSON of the API with made-up torrents, and the built UI with the headers of the real one.
// node tests/ui/mock.mjs [--port N] [--torrents N] [--setup]
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { parseArgs } from 'node:util';

const { values: flags } = parseArgs({ options: { port: { type: 'string', default: '7463' }, torrents: { type: 'string', default: '200' }, setup: { type: 'boolean', default: false } } });
const dist = new URL('../../../internal/webui/dist/', import.meta.url).pathname;
const csp = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; media-src 'self' blob:; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
let seed = 7;
const rnd = () => { seed = (seed + 0x6d2b79f5) | 0; let x = Math.imul(seed ^ (seed >>> 15), 1 | seed); x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x; return ((x ^ (x >>> 14)) >>> 0) / 4294967296; };
const pick = (a) => a[Math.floor(rnd() * a.length)];
const hex = (n) => Array.from({ length: n }, () => Math.floor(rnd() * 16).toString(16)).join('');
const names = ['debian-13.2.0-amd64-netinst.iso', 'ubuntu-26.04-desktop-amd64.iso', 'Big Buck Bunny 4K', 'Sintel (2010) 1080p', 'archlinux-2026.11.01-x86_64.iso', 'LibriVox – Moby Dick', 'Tears of Steel', 'Wikipedia (en) 2026-10 ZIM', 'fedora-workstation-43.iso', 'Kiwix Stack Exchange', 'Cosmos Laundromat', 'Public Domain Jazz 1920–1925', 'OpenStreetMap planet 261101', 'Project Gutenberg DVD', 'raspios-bookworm-arm64.img.xz', 'NASA Apollo 11 flight journal'];
const now = () => Math.floor(Date.now() / 1000);
const base = now() - 40 * 86400;
function make(i) {
  const r = rnd(), size = Math.floor(2 ** (24 + rnd() * 12));
  const state = r < 0.12 ? 'downloading' : r < 0.7 ? 'seeding' : r < 0.73 ? 'metadata' : r < 0.75 ? 'checking' : r < 0.82 ? 'queued' : r < 0.97 ? 'paused' : 'failed';
  const progress = state === 'seeding' ? 1 : state === 'metadata' ? 0 : Math.floor(rnd() * 1000) / 1000;
  const n = Math.min(3000, Math.max(1, Math.round(size / 1048576)));
  return {
    id: hex(40), infohash_v1: hex(40), name: names[i % names.length] + (i >= names.length ? ' · ' + (i + 1) : ''), state,
    reason: state === 'failed' ? 'the disk is full: 12 MiB are free, and the floor is 1 GiB' : state === 'metadata' ? 'looking for a peer that has the content’s description; asked 41 DHT nodes' : state === 'queued' ? 'waits for a place: 5 torrents download at once' : state === 'downloading' && rnd() < 0.4 ? 'none of the 3 peers has what is missing' : '',
    size: state === 'metadata' ? 0 : size, total_size: size, done: Math.floor(size * progress), progress, complete: progress === 1,
    down_rate: 0, up_rate: 0, downloaded: Math.floor(size * progress), uploaded: Math.floor(size * rnd() * 3), ratio: Math.round(rnd() * 300) / 100, eta: -1,
    peers: state === 'paused' || state === 'queued' ? 0 : Math.floor(rnd() * 60), seeds: Math.floor(rnd() * 20), known_peers: 80,
    category: pick(['linux', 'film', 'books', '', '']), tags: rnd() < 0.3 ? [pick(['keep', 'share', 'holiday'])] : [], tracker: pick(['tracker.example.org', 'open.example.net', '']),
    added: base + i * 60, completed: progress === 1 ? base + i * 60 + 3600 : 0, last_active: now() - Math.floor(rnd() * 90000), active_time: 7200, seeding_time: 3600,
    queue: i + 1, forced: false, sequential: false, private: rnd() < 0.1, down_limit: 0, up_limit: 0, seed_ratio: 0, seed_time: 0,
    dir: '/srv/torrents', path: '/srv/torrents/' + names[i % names.length], files: state === 'metadata' ? 0 : 3, pieces: state === 'metadata' ? 0 : n, piece_length: 1048576, availability: Math.round(rnd() * 1200) / 100,
  };
}
const all = Array.from({ length: Number(flags.torrents) }, (_, i) => make(i));
let revision = 1, needsSetup = flags.setup, tokens = [], users = [{ name: 'ada', role: 'admin', created: 1 }, { name: 'guest', role: 'viewer', created: 2 }];
const docs = { categories: [{ name: 'linux', dir: '', seed_ratio: 2, seed_time: 0 }, { name: 'film', dir: '/srv/film', seed_ratio: 0, seed_time: 0 }, { name: 'books', dir: '', seed_ratio: 0, seed_time: 0 }], tags: ['holiday', 'keep', 'share'] };
const lists = { 'rules/seed': [], watch: [], feeds: [], schedules: [], hooks: [] };
const settings = [
  ['folders.downloads', 'Downloads', 'Where downloads go that name no other folder.', 'folders', 'path', '', '/srv/torrents', '/srv/torrents', 'default', false],
  ['folders.incomplete', 'Unfinished downloads', 'Where downloads lie until they are done and are moved to their own folder; empty: in their own folder from the start.', 'folders', 'path', '', '', '', 'default', false],
  ['api.listen', 'Address', 'Address and port of the API and the web UI.', 'api', 'string', '', '127.0.0.1:7462', '127.0.0.1:7462', 'flag', true, true],
  ['network.listen', 'Address for peers', 'Address and port for peers, such as :6881; empty: the first free port from 6881 to 6889.', 'network', 'string', '', '', '', 'default', false, true],
  ['network.bind', 'Bind to', 'Use only this network interface, or this local address.', 'network', 'string', '', '', '', 'default', false, true],
  ['network.port_map', 'Open the port', 'Ask the router to open our port, by UPnP, NAT-PMP or PCP.', 'network', 'bool', '', true, true, 'default', false, true],
  ['network.encryption', 'Encryption', 'Of connections with peers.', 'network', 'enum', '', 'prefer', 'prefer', 'default', false, true, ['prefer', 'require', 'off']],
  ['network.dht', 'DHT', 'Take part in the DHT, by which peers are found without a tracker.', 'network', 'bool', '', true, true, 'env', true, true],
  ['network.dht_nodes', 'DHT nodes', 'Nodes to enter the DHT by, HOST:PORT, beside those remembered.', 'network', 'list', '', [], [], 'default', false, true],
  ['bandwidth.down', 'Download limit', 'Most to download a second; 0: no limit.', 'bandwidth', 'rate', 'bytes/s', 0, 0, 'default', false],
  ['bandwidth.up', 'Upload limit', 'Most to upload a second; 0: no limit.', 'bandwidth', 'rate', 'bytes/s', 0, 2000000, 'saved', false],
  ['queue.active_downloads', 'Active downloads', 'How many download at once.', 'queue', 'int', '', 5, 5, 'default', false],
  ['seeding.ratio', 'Ratio', 'Seed until this ratio; 0: for ever.', 'seeding', 'number', '', 0, 0, 'default', false],
  ['seeding.time', 'Seeding time', 'Seed for this long; 0: for ever.', 'seeding', 'duration', 'seconds', 0, 0, 'default', false],
  ['disk.free_space_floor', 'Keep free', 'Downloads stand still when less than this is free.', 'disk', 'bytes', 'bytes', 1073741824, 1073741824, 'default', false],
  ['admin.password', 'Password', 'Of the first user.', 'admin', 'secret', '', '', '', 'default', true],
].map(([key, title, text, group, type, unit, def, value, source, locked, restart, choices]) => ({ key, title, text, group, type, unit, default: def, value, source, locked, restart: !!restart, choices }));
const logs = Array.from({ length: 60 }, (_, i) => ({ id: i + 1, time: (now() - 600 + i * 10) * 1000, level: pick(['info', 'info', 'warn', 'debug', 'error']), text: pick(['announced to tracker', 'piece failed its hash', 'listening', 'peer connected', 'disk is slow']), attrs: { torrent: names[i % names.length] } }));

function select(u) {
  const p = u.searchParams;
  let rows = all;
  const q = (p.get('q') ?? '').toLowerCase().split(/\s+/).filter(Boolean);
  if (q.length) rows = rows.filter((t) => q.every((w) => t.name.toLowerCase().includes(w)));
  const s = p.get('state');
  if (s) rows = rows.filter((t) => (s === 'active' ? t.down_rate + t.up_rate > 0 : s === 'complete' ? t.complete : s === 'incomplete' ? !t.complete : t.state === s));
  for (const k of ['category', 'tracker']) if (p.has(k)) rows = rows.filter((t) => t[k] === p.get(k));
  if (p.has('tag')) rows = rows.filter((t) => (p.get('tag') === '' ? !t.tags.length : t.tags.includes(p.get('tag'))));
  const sort = p.get('sort') || 'added', d = p.get('desc') ? -1 : 1;
  rows = [...rows].sort((a, b) => d * (a[sort] < b[sort] ? -1 : a[sort] > b[sort] ? 1 : 0) || (a.id < b.id ? -1 : 1));
  const off = Number(p.get('offset') ?? 0), lim = Number(p.get('limit') ?? 100);
  return { revision, total: rows.length, torrents: rows.slice(off, off + lim), counts: count() };
}
function count() {
  const c = { state: {}, category: {}, tag: {}, tracker: {}, all: all.length, active: 0, complete: 0 };
  const add = (m, k) => (m[k] = (m[k] ?? 0) + 1);
  for (const t of all) {
    add(c.state, t.state); add(c.category, t.category); add(c.tracker, t.tracker); t.tags.length ? t.tags.forEach((g) => add(c.tag, g)) : add(c.tag, '');
    if (t.down_rate + t.up_rate) c.active++;
    if (t.complete) c.complete++;
  }
  return c;
}
const changed = new Map();
setInterval(() => {
  changed.clear(); revision++;
  for (const t of all) {
    if (t.state !== 'downloading' && t.state !== 'seeding') continue;
    if (t.state === 'seeding' && Math.random() > 0.05) continue;
    const c = { id: t.id };
    if (t.state === 'downloading') {
      c.down_rate = t.down_rate = Math.floor(Math.random() * 6e6); c.done = t.done = Math.min(t.size, t.done + t.down_rate); c.progress = t.progress = t.done / t.size;
      c.eta = t.eta = Math.floor((t.size - t.done) / (t.down_rate + 1));
      if (t.done >= t.size) { Object.assign(c, { state: 'seeding', complete: true, down_rate: 0 }); Object.assign(t, c); }
    }
    c.up_rate = t.up_rate = Math.floor(Math.random() * 1e6); changed.set(t.id, c);
  }
}, 1000).unref();
const totals = () => ({ down_rate: all.reduce((a, t) => a + t.down_rate, 0), up_rate: all.reduce((a, t) => a + t.up_rate, 0), downloaded: 9e11, uploaded: 2e12, session_downloaded: 4e9, session_uploaded: 9e9, peers: 412, dht_nodes: 318, torrents: all.length, active: 12, port: 6881, reachable: true, uptime: 93211, memory: 12e6, disks: [{ mount: '/srv', free: 812e9, floor: 1073741824, full: false }], notices: [] });
const detail = (t) => ({ ...t, magnet: `magnet:?xt=urn:btih:${t.infohash_v1}&dn=${encodeURIComponent(t.name)}`, comment: 'made for a test', created_by: 'shoal', created_at: base, wasted: 16384, notices: [] });
const files = (t) => !t.files ? [] : ['Sintel.webm', 'Sintel.en.vtt', 'extras/readme.txt', 'extras/poster.png'].map((p, i) => ({ index: i, path: t.name + '/' + p, size: Math.floor(t.size / [1.1, 1e4, 1e5, 20][i]) + 1, done: Math.floor((t.size / [1.1, 1e4, 1e5, 20][i]) * t.progress), priority: i === 3 ? 'skip' : 'normal', first_piece: Math.floor((i * t.pieces) / 4), last_piece: Math.floor(((i + 1) * t.pieces) / 4) - 1, stream_url: `/stream/abc/${t.id}/${i}/${encodeURIComponent(p.split('/').pop())}`, media: ['video', 'subtitle', '', 'image'][i] }));

const peers = (t) => Array.from({ length: Math.min(t.peers, 40) }, (_, i) => ({ address: `203.0.113.${i + 1}:6881`, client: ['qBittorrent 5.2.1', 'Transmission 4.1', 'shoal 0.1', 'libtorrent 2.0.11'][i % 4], source: ['tracker', 'dht', 'pex', 'incoming'][i % 4], flags: ['DEP', 'dE', 'UIE', 'DuOE'][i % 4], country: ['de', 'es', 'us', 'fr', 'jp'][i % 5], progress: i % 4 ? ((i * 37) % 100) / 100 : 1, down_rate: i * 21000, up_rate: i * 3000, downloaded: i * 1e6, uploaded: i * 3e5, encrypted: true, utp: i % 2 === 0, incoming: false }));
const trackers = [{ url: 'dht', tier: 0, working: true, seeds: 4, leeches: 9, next: 300 }, { url: 'udp://tracker.example.org:1337/announce', tier: 0, working: true, seeds: 12, leeches: 3, next: 1200 }, { url: 'https://open.example.net/announce', tier: 1, working: false, message: 'the name cannot be resolved', seeds: -1, leeches: -1, next: 60 }];
function pieces(t) {
  const b = Buffer.alloc(t.pieces);
  for (let i = 0; i < b.length; i++) {
    const x = i / b.length;
    b[i] = t.complete || x < t.progress * 0.7 || (i * 7919) % 97 < t.progress * 40 ? 2 : (i * 31) % 23 === 0 ? 1 : 0;
    if (x > 0.9 && b[i] !== 2) b[i] |= 128;
  }
  return b;
}
const server = createServer(async (req, res) => {
  const u = new URL(req.url, 'http://x'), path = u.pathname;
  const send = (code, body, type = 'application/json') => { res.writeHead(code, { 'Content-Type': type, 'Cache-Control': 'no-store' }); res.end(type === 'application/json' ? (body === undefined ? '' : JSON.stringify(body)) : body); };
  const problem = (code, detail) => send(code, { title: 'Error', status: code, detail });
  if (path.startsWith('/stream/')) {
    const data = await readFile(new URL('./sample.webm', import.meta.url)).catch(() => null);
    if (!data) return problem(404, 'no sample');
    if (path.endsWith('.vtt')) return send(200, 'WEBVTT\n\n00:00.000 --> 00:09.000\nHello, sea\n', 'text/vtt');
    const m = /bytes=(\d+)-(\d*)/.exec(req.headers.range ?? ''), from = m ? +m[1] : 0, to = m && m[2] ? +m[2] : data.length - 1;
    res.writeHead(m ? 206 : 200, { 'Content-Type': 'video/webm', 'Accept-Ranges': 'bytes', 'Content-Length': to - from + 1, ...(m && { 'Content-Range': `bytes ${from}-${to}/${data.length}` }) });
    return res.end(data.subarray(from, to + 1));
  }
  if (!path.startsWith('/api/v1/')) {
    const file = normalize(path === '/' ? '/index.html' : path);
    const data = await readFile(join(dist, file)).catch(() => null);
    if (!data) return problem(404, 'no such file');
    const types = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.png': 'image/png', '.webmanifest': 'application/manifest+json' };
    res.writeHead(200, { 'Content-Type': types[extname(file)] ?? 'application/octet-stream', 'Content-Security-Policy': csp, 'X-Content-Type-Options': 'nosniff' });
    return res.end(data);
  }
  let raw = Buffer.alloc(0);
  for await (const c of req) raw = Buffer.concat([raw, c]);
  const body = (req.headers['content-type'] ?? '').includes('json') && raw.length ? JSON.parse(raw) : {};
  const p = decodeURIComponent(path.slice('/api/v1/'.length)), m = req.method, key = m + ' ' + p;
  const loggedIn = /session=\w/.test(req.headers.cookie ?? '');
  const login = (name) => { res.setHeader('Set-Cookie', `session=${name}; Path=/; HttpOnly; SameSite=Strict`); send(200, me(name)); };
  const me = (name) => { const role = name ? (users.find((x) => x.name === name)?.role ?? 'admin') : ''; return { name, role, scopes: { viewer: ['read'], user: ['read', 'add', 'control'], admin: ['read', 'add', 'control', 'admin'] }[role] ?? [], setup_needed: needsSetup, version: name ? '0.1' : undefined }; };
  if (key === 'POST setup') { if (body.code !== 'fake') return problem(403, 'this link has been used or is too old; restart shoal to get a new one'); needsSetup = false; users[0].name = body.name; return login(body.name); }
  if (key === 'POST login') return body.password?.length >= 8 ? login(body.name) : problem(401, 'name or password is wrong');
  if (key === 'GET me') return send(200, me(/session=(\w+)/.exec(req.headers.cookie ?? '')?.[1] ?? ''));
  if (!loggedIn) return problem(401, 'log in first');
  const who = /session=(\w+)/.exec(req.headers.cookie)[1];
  if (/^(settings|users|tokens|log|doctor|fs)\b/.test(p) && !me(who).scopes.includes('admin')) return problem(403, 'this needs the scope admin');
  if (key === 'POST logout') { res.setHeader('Set-Cookie', 'session=; Path=/; Max-Age=0'); return send(204); }
  if (key === 'GET torrents') return send(200, select(u));
  if (key === 'POST torrents') {
    const added = [], failed = [];
    for (const link of body.links ?? []) { if (!/^(magnet:|http|[0-9a-f]{40})/i.test(link)) { failed.push({ link, message: 'is no magnet link, infohash or address' }); continue; } const t = make(3); Object.assign(t, { name: new URLSearchParams(link.split('?')[1]).get('dn') ?? 'Sintel', state: 'downloading', progress: 0.1, added: now(), size: 2e8, done: 2e7, files: 4, pieces: 191, reason: '' }); all.unshift(t); added.push({ id: t.id, name: t.name, existed: false }); }
    for (const _ of body.torrents ?? []) { const t = make(1); t.added = now(); all.unshift(t); added.push({ id: t.id, name: t.name, existed: false }); }
    return send(201, { added, failed });
  }
  if (key === 'POST torrents/actions') { for (const t of all) if (body.ids.includes(t.id) || body.ids[0] === 'all') { if (body.action === 'pause') Object.assign(t, { state: 'paused', down_rate: 0, up_rate: 0 }); if (body.action === 'resume') t.state = t.complete ? 'seeding' : 'downloading'; } if (body.action.startsWith('remove')) for (let i = all.length - 1; i >= 0; i--) if (body.ids.includes(all[i].id)) all.splice(i, 1); return send(200, {}); }
  const one = /^torrents\/([0-9a-f]{40})(?:\/(\w+))?$/.exec(p);
  if (one) {
    const t = all.find((x) => x.id === one[1]);
    if (!t) return problem(404, 'no such torrent');
    if (m === 'PATCH' && !one[2]) { Object.assign(t, body); return send(200, detail(t)); }
    if (m === 'DELETE' && !one[2]) { all.splice(all.indexOf(t), 1); return send(204); }
    if (m !== 'GET') return send(200, {});
    if (!one[2]) return send(200, detail(t));
    if (one[2] === 'files') return send(200, { total: files(t).length, files: files(t) });
    if (one[2] === 'peers') return send(200, peers(t));
    if (one[2] === 'trackers') return send(200, trackers);
    if (one[2] === 'pieces') return send(200, pieces(t), 'application/octet-stream');
    if (one[2] === 'torrent') return send(200, 'd4:infod4:name1:xee', 'application/x-bittorrent');
  }
  if (key === 'GET stats') return send(200, totals());
  if (key === 'GET stats/history') { const n = 120, step = { hour: 30, day: 720, month: 21600 }[u.searchParams.get('span')] ?? 30; const at = (f) => Array.from({ length: n }, (_, i) => Math.floor(f(i))); return send(200, { step, times: at((i) => now() - (n - i) * step), down_rate: at((i) => 5e6 + 4e6 * Math.sin(i / 9)), up_rate: at((i) => 2e6 + 1e6 * Math.cos(i / 7)), peers: at((i) => 200 + 80 * Math.sin(i / 20)), dht_nodes: at((i) => 300 + i) }); }
  if (key === 'GET settings') return send(200, settings);
  if (key === 'PATCH settings') { for (const s of settings) if (s.key in body) { s.value = body[s.key]; s.source = 'saved'; } return send(200, settings); }
  if (key === 'GET log') return send(200, logs);
  if (key === 'GET doctor') return send(200, [{ id: 'port4', title: 'Port over IPv4', level: 'ok', text: 'peers reach port 6881' }, { id: 'port6', title: 'Port over IPv6', level: 'warning', text: 'nobody has reached it yet', remedy: 'Open port 6881 in the router’s IPv6 firewall.' }, { id: 'udp', title: 'UDP buffers', level: 'error', text: '208 KiB, and 4 MiB are needed for fast uTP', remedy: 'sysctl -w net.core.rmem_max=4194304' }]);
  if (key === 'GET fs') { const dir = u.searchParams.get('path') ?? ''; if (!dir) return send(200, { path: '', parent: '', more: false, entries: [{ name: '/srv', path: '/srv', folder: true, size: 0, time: 0 }] }); if (!dir.startsWith('/srv')) return problem(403, dir + ' is in none of the folders that the settings let be looked into'); return send(200, { path: dir, parent: dir === '/srv' ? '' : dir.replace(/\/[^/]+$/, ''), more: false, entries: ['film', 'music', 'torrents'].map((n) => ({ name: n, path: dir + '/' + n, folder: true, size: 0, time: 0 })).concat([{ name: 'talk.mp4', path: dir + '/talk.mp4', folder: false, size: 812345678, time: base }]) }); }
  if (key === 'POST shares') { const j = { id: 'j1', path: body.path, state: 'running', done: 0, total: 1e9, begun: now() }; globalThis.job = j; return send(202, j); }
  if (p.startsWith('jobs')) { const j = globalThis.job; if (p.endsWith('torrent')) return send(200, 'd4:infod4:name1:xee', 'application/x-bittorrent'); return send(200, p === 'jobs' ? (j ? [j] : []) : j); }
  if (p === 'users' || p.startsWith('users/')) { if (m === 'GET') return send(200, users); if (m === 'POST') { users.push({ name: body.name, role: body.role, created: now() }); return send(201, {}); } const n = p.slice(6); if (m === 'DELETE') users = users.filter((x) => x.name !== n); else Object.assign(users.find((x) => x.name === n) ?? {}, body); return send(200, {}); }
  if (p === 'tokens' || p.startsWith('tokens/')) { if (m === 'GET') return send(200, tokens); if (m === 'POST') { const t = { id: hex(8), name: body.name, user: who, scopes: body.scopes, created: now(), expires: body.expires ?? 0, last_used: 0 }; tokens.push(t); return send(201, { ...t, secret: 'shoal_' + hex(40) }); } tokens = tokens.filter((x) => x.id !== p.slice(7)); return send(204); }
  const doc = /^(categories|tags)(?:\/(.+))?$/.exec(p);
  if (doc) { const [, kind, name] = doc; if (m === 'GET') return send(200, docs[kind]); docs[kind] = docs[kind].filter((x) => (x.name ?? x) !== name); if (m === 'PUT') docs[kind].push(kind === 'tags' ? name : { dir: '', seed_ratio: 0, seed_time: 0, ...body, name }); return send(200, {}); }
  for (const k of Object.keys(lists)) if (p === k || p.startsWith(k + '/')) { if (m === 'GET') return send(200, lists[k]); if (p === k) { lists[k] = body; return send(200, {}); } const n = p.slice(k.length + 1); lists[k] = lists[k].filter((x) => x.id !== n); if (m === 'PUT') lists[k].push({ ...body, id: n }); return send(200, {}); }
  if (key === 'GET events') {
    res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
    const event = (n, d) => res.write(`event: ${n}\ndata: ${JSON.stringify(d)}\n\n`);
    const listing = u.searchParams.get('limit') !== '0', id = u.searchParams.get('torrent'), parts = u.searchParams.get('parts') ?? '';
    let page = select(u), order = page.torrents.map((t) => t.id).join(), first = true;
    const about = () => {
      const t = id && all.find((x) => x.id === id);
      if (!t) return id && event('detail', { id, full: false, gone: true });
      event('detail', { id, full: first, torrent: detail(t), ...(parts.includes('files') && { files: files(t) }), ...(parts.includes('peers') && { peers: peers(t) }), ...(parts.includes('trackers') && { trackers }), ...(parts.includes('pieces') && { pieces: [{ at: 0, states: pieces(t).toString('base64') }] }) });
      first = false;
    };
    if (listing) event('list', page);
    event('stats', totals()); about();
    let told = '';
    const job = () => {
      const is = JSON.stringify(globalThis.job ?? null);
      if (globalThis.job && is !== told) event('job', globalThis.job);
      told = is;
    };
    job();
    const timer = setInterval(() => {
      const before = new Set(page.torrents.map((t) => t.id));
      page = select(u);
      const o = page.torrents.map((t) => t.id), d = { revision, total: page.total, changed: [], counts: page.counts };
      for (const t of page.torrents) if (!before.has(t.id)) d.changed.push(t); else if (changed.has(t.id)) d.changed.push({ state: t.state, ...changed.get(t.id) });
      if (o.join() !== order) d.order = o;
      order = o.join();
      if (listing) event('delta', d);
      event('stats', totals()); about();
      const j = globalThis.job;
      if (j && j.state === 'running') { j.done = Math.min(j.total, j.done + 4e8); if (j.done >= j.total) Object.assign(j, { state: 'done', torrent: all[0].id, magnet: `magnet:?xt=urn:btih:${all[0].infohash_v1}&dn=talk.mp4` }); }
      job(); // another page's stream may have brought it on
      if (u.searchParams.get('log')) { const l = { id: logs.at(-1).id + 1, time: Date.now(), level: 'info', text: 'a second has passed', attrs: {} }; logs.push(l); event('log', { lines: [l] }); }
    }, 1000);
    return void res.on('close', () => clearInterval(timer));
  }
  problem(404, 'no such address: ' + key);
});
server.listen(Number(flags.port), '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}/${needsSetup ? '#/setup?code=fake' : ''}`));
