// The JSON of the API, as internal/library and internal/api/server write it.
export type State = 'downloading' | 'seeding' | 'metadata' | 'checking' | 'moving' | 'queued' | 'paused' | 'failed';
export const states: State[] = ['downloading', 'seeding', 'metadata', 'checking', 'moving', 'queued', 'paused', 'failed'];

export interface Torrent {
  id: string; infohash_v1?: string; infohash_v2?: string; name: string; state: State; reason?: string;
  size: number; total_size: number; done: number; progress: number; complete: boolean;
  down_rate: number; up_rate: number; downloaded: number; uploaded: number; ratio: number; eta: number;
  peers: number; seeds: number; known_peers: number;
  category: string; tags: string[]; tracker?: string;
  added: number; completed: number; last_active: number; active_time: number; seeding_time: number;
  queue: number; forced: boolean; sequential: boolean; private: boolean;
  down_limit: number; up_limit: number; seed_ratio: number; seed_time: number;
  dir: string; path: string; files: number; pieces: number; piece_length: number; availability: number;
}
export interface Detail extends Torrent {
  magnet: string; comment?: string; created_by?: string; created_at?: number; wasted: number; web_seeds?: string[]; notices?: string[];
}
export type Priority = 'skip' | 'low' | 'normal' | 'high';
export type Media = 'video' | 'audio' | 'subtitle' | 'image' | '';
export interface TorrentFile {
  index: number; path: string; size: number; done: number; priority: Priority; first_piece: number; last_piece: number;
  stream_url: string; media: Media;
}
export interface Peer {
  address: string; client: string; source: string; flags: string; country?: string; progress: number;
  down_rate: number; up_rate: number; downloaded: number; uploaded: number; encrypted: boolean; utp: boolean; incoming: boolean;
}
export interface Tracker { url: string; tier: number; working: boolean; message?: string; seeds: number; leeches: number; next: number }
export interface Category { name: string; dir: string; seed_ratio: number; seed_time: number }
export interface Counts {
  state: Partial<Record<State, number>>; category: Record<string, number>; tag: Record<string, number>; tracker: Record<string, number>;
  all: number; active: number; complete: number;
}
export interface Page { revision: number; total: number; torrents: Torrent[]; counts: Counts }
export interface Delta { revision: number; total: number; order?: string[]; changed: (Partial<Torrent> & { id: string })[]; counts?: Counts }
export interface PieceRun { at: number; states: string }
export interface DetailEvent {
  id: string; full: boolean; gone?: boolean; torrent?: Partial<Detail>; files?: (Partial<TorrentFile> & { index: number })[];
  peers?: (Partial<Peer> & { address: string })[]; peers_gone?: string[]; trackers?: Tracker[]; pieces?: PieceRun[];
}
export interface FilePage { total: number; files: TorrentFile[] }
export interface Disk { mount: string; free: number; floor: number; full: boolean }
export interface Totals {
  down_rate: number; up_rate: number; downloaded: number; uploaded: number; session_downloaded: number; session_uploaded: number;
  peers: number; dht_nodes: number; torrents: number; active: number; port: number; reachable: boolean; uptime: number; memory: number;
  disks: Disk[]; notices: string[];
}
export interface History { step: number; times: number[]; down_rate: number[]; up_rate: number[]; peers: number[]; dht_nodes: number[] }
export interface Added { id: string; name: string; existed: boolean }
export interface AddAnswer { added: Added[]; failed: { link: string; message: string }[] }
export interface Job {
  id: string; path: string; state: 'running' | 'done' | 'failed' | 'cancelled'; message?: string; done: number; total: number;
  torrent?: string; magnet?: string; begun: number;
}
export type Level = 'debug' | 'info' | 'warn' | 'error';
export interface LogLine { id: number; time: number; level: Level; text: string; attrs?: Record<string, string> }
export interface Setting {
  key: string; title: string; text: string; group: string; type: string; unit?: string; default: unknown; value: unknown;
  source: 'default' | 'saved' | 'file' | 'env' | 'flag'; locked: boolean; restart: boolean; choices?: string[]; place?: string;
}
export interface Check { id: string; title: string; level: 'ok' | 'note' | 'warning' | 'error'; text: string; remedy?: string }
export interface FolderEntry { name: string; path: string; folder: boolean; size: number; time: number }
export interface Folder { path: string; parent: string; entries: FolderEntry[]; more: boolean }
export type Role = 'admin' | 'user' | 'viewer';
export type Scope = 'read' | 'add' | 'control' | 'admin';
export interface Me { name: string; role: Role | ''; scopes: Scope[]; setup_needed: boolean; version?: string }
export interface Account { name: string; role: Role; created: number }
export interface Token { id: string; name: string; user: string; scopes: Scope[]; created: number; expires: number; last_used: number }
export interface SeedRule { category?: string; tag?: string; tracker?: string; ratio: number; time: number; min_seeds: number; then: 'pause' | 'remove' | 'remove_data' }
