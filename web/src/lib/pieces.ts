// What the bytes of GET /torrents/{id}/pieces say: 0 missing, 1 under way, 2 there; bit 7: not wanted.
const unwanted = 128;

export interface Square {
  have: number; // share of its pieces that are there, 0 to 1
  busy: number; // share under way
  unwanted: boolean; // all of them
}

/** Folds the pieces into n squares, each of as many pieces as the others, give or take one. */
export function squares(pieces: Uint8Array, n: number): Square[] {
  const out: Square[] = [];
  for (let i = 0; i < n; i++) {
    const from = Math.floor((i * pieces.length) / n), to = Math.max(from + 1, Math.floor(((i + 1) * pieces.length) / n));
    let have = 0, busy = 0, skip = 0;
    for (let j = from; j < to; j++) {
      const b = pieces[j]!;
      if ((b & 127) === 2) have++;
      else if ((b & 127) === 1) busy++;
      if (b & unwanted) skip++;
    }
    const all = to - from;
    out.push({ have: have / all, busy: busy / all, unwanted: skip === all });
  }
  return out;
}

export interface Sums { have: number; busy: number; missing: number; unwanted: number }

export function sums(pieces: Uint8Array): Sums {
  const s: Sums = { have: 0, busy: 0, missing: 0, unwanted: 0 };
  for (const b of pieces) {
    if ((b & 127) === 2) s.have++;
    else if (b & unwanted) s.unwanted++;
    else if ((b & 127) === 1) s.busy++;
    else s.missing++;
  }
  return s;
}

/** Stretches of pieces from first to last that are there, as shares of the whole, 0 to 1. */
export function ranges(pieces: Uint8Array, first: number, last: number): [number, number][] {
  const out: [number, number][] = [], n = last - first + 1;
  let from = -1;
  for (let i = first; i <= last + 1; i++) {
    const there = i <= last && (pieces[i]! & 127) === 2;
    if (there && from < 0) from = i;
    if (!there && from >= 0) {
      out.push([(from - first) / n, (i - first) / n]);
      from = -1;
    }
  }
  return out;
}
