import type { Delta, Torrent } from './types';

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
