// Where somebody stopped watching, of the last two hundred files, in this browser only.
const key = 'shoal-positions', most = 200;

type Positions = Record<string, number>; // torrent/index → seconds, the latest last

function load(): Positions {
  try {
    return JSON.parse(localStorage.getItem(key) ?? '{}') as Positions;
  } catch {
    return {};
  }
}

export function remember(id: string, index: number, at: number, length: number): void {
  const all = load(), name = `${id}/${index}`;
  delete all[name];
  if (at > 15 && at < length - 20) all[name] = Math.floor(at);
  const kept = Object.entries(all).slice(-most);
  try {
    localStorage.setItem(key, JSON.stringify(Object.fromEntries(kept)));
  } catch {
    // a browser that keeps nothing begins at the beginning
  }
}

/** Seconds to begin at; 0 for the beginning. */
export function resumeAt(id: string, index: number, length: number): number {
  const at = load()[`${id}/${index}`] ?? 0;
  return at < length - 20 ? at : 0;
}
