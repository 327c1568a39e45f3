import type { Delta, Detail, DetailEvent, Peer, Torrent, TorrentFile, Tracker } from './types';

/**
 * The window of the list after a delta. Rows that did not change stay the same objects. Undefined means that the delta names a row
 * of which too little is known: the window must be asked for anew.
 */
export function merge(rows: readonly Torrent[], d: Delta): Torrent[] | undefined {
  const known = new Map(rows.map((t) => [t.id, t]));
  for (const c of d.changed) {
    const old = known.get(c.id);
    if (old) known.set(c.id, { ...old, ...c });
    else if (c.name !== undefined && c.state !== undefined) known.set(c.id, c as Torrent);
  }
  const order = d.order ?? rows.map((t) => t.id);
  const out: Torrent[] = [];
  for (const id of order) {
    const t = known.get(id);
    if (!t) return undefined;
    out.push(t);
  }
  return out;
}

/** All that the node has told of one torrent. */
export interface Told {
  id: string;
  gone: boolean;
  torrent: Detail | null;
  files: TorrentFile[];
  peers: Peer[];
  trackers: Tracker[] | null; // null: not told yet
  pieces: Uint8Array;
}
export const nothing = (id: string): Told => ({ id, gone: false, torrent: null, files: [], peers: [], trackers: null, pieces: new Uint8Array() });

/** What is known after an event. Parts that it says nothing of stay the same objects; a full event keeps parts until it tells them. */
export function learn(was: Told, e: DetailEvent): Told {
  if (e.gone) return { ...nothing(e.id), gone: true };
  const now: Told = { ...was, id: e.id, gone: false };
  if (e.torrent) now.torrent = { ...(e.full ? {} : was.torrent), ...e.torrent, id: e.id } as Detail;
  if (e.files) {
    const files = [...was.files];
    for (const f of e.files) files[f.index] = { ...files[f.index], ...f } as TorrentFile;
    now.files = files;
  }
  if (e.peers || e.peers_gone) {
    const peers = new Map(e.full ? [] : was.peers.map((p) => [p.address, p]));
    for (const p of e.peers ?? []) peers.set(p.address, { ...peers.get(p.address), ...p } as Peer);
    for (const a of e.peers_gone ?? []) peers.delete(a);
    now.peers = [...peers.values()];
  } else if (e.full) now.peers = [];
  if (e.trackers) now.trackers = e.trackers;
  if (e.pieces?.length) {
    const runs = e.pieces.map((r) => ({ at: r.at, states: bytes(r.states) }));
    const end = Math.max(was.pieces.length, ...runs.map((r) => r.at + r.states.length));
    const pieces = new Uint8Array(end);
    pieces.set(was.pieces);
    for (const r of runs) pieces.set(r.states, r.at);
    now.pieces = pieces;
  }
  return now;
}

function bytes(base64: string): Uint8Array {
  const s = atob(base64), out = new Uint8Array(s.length);
  for (let i = 0; i < s.length; i++) out[i] = s.charCodeAt(i);
  return out;
}
