import type { Priority, TorrentFile } from './types';

export interface Folder {
  name: string;
  path: string;
  folders: Folder[];
  files: TorrentFile[];
  all: TorrentFile[]; // of all folders below too
}

/** The folders of a torrent's files, by name, with numbers in order. */
export function tree(files: readonly TorrentFile[]): Folder {
  const root: Folder = { name: '', path: '', folders: [], files: [], all: [] };
  const known = new Map<string, Folder>([['', root]]);
  for (const f of files) {
    let at = root;
    root.all.push(f);
    const parts = f.path.split('/');
    for (let i = 0; i < parts.length - 1; i++) {
      const path = parts.slice(0, i + 1).join('/');
      let next = known.get(path);
      if (!next) {
        next = { name: parts[i]!, path, folders: [], files: [], all: [] };
        known.set(path, next);
        at.folders.push(next);
      }
      next.all.push(f);
      at = next;
    }
    at.files.push(f);
  }
  const order = new Intl.Collator(undefined, { numeric: true }).compare;
  for (const d of known.values()) {
    d.folders.sort((a, b) => order(a.name, b.name));
    d.files.sort((a, b) => order(a.path, b.path));
  }
  // A torrent's own single folder says nothing: begin inside of it.
  return root.files.length === 0 && root.folders.length === 1 ? root.folders[0]! : root;
}

export const fileName = (f: TorrentFile): string => f.path.slice(f.path.lastIndexOf('/') + 1);

/** The priority that all have, or undefined. */
export function common(files: readonly TorrentFile[]): Priority | undefined {
  const p = files[0]?.priority;
  return files.every((f) => f.priority === p) ? p : undefined;
}

export interface Line {
  depth: number;
  folder?: Folder;
  file?: TorrentFile;
}

/** The lines to show, with the folders in closed folded. */
export function lines(d: Folder, closed: ReadonlySet<string>, depth = 0, out: Line[] = []): Line[] {
  for (const f of d.folders) {
    out.push({ depth, folder: f });
    if (!closed.has(f.path)) lines(f, closed, depth + 1, out);
  }
  for (const f of d.files) out.push({ depth, file: f });
  return out;
}
