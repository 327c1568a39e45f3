// What this browser remembers. Nothing of it leaves the browser.

export interface Prefs {
  theme: 'auto' | 'light' | 'dark';
  language: string; // empty: as the browser says
  sort: string;
  desc: boolean;
  columns: string[]; // keys of columns shown, in order
  widths: Record<string, number>; // pixels
  dense: boolean; // one line a row
  panel: number; // width of the detail, pixels
  volume: number;
  speed: number;
  closed: string[]; // groups of the sidebar that are folded
}

const initial: Prefs = {
  theme: 'auto', language: '', sort: 'added', desc: true,
  columns: ['name', 'size', 'progress', 'down_rate', 'up_rate', 'eta', 'peers', 'ratio', 'category', 'added'],
  widths: {}, dense: false, panel: 480, volume: 1, speed: 1, closed: [],
};

function load(): Prefs {
  try {
    const saved = JSON.parse(localStorage.getItem('shoal') ?? '{}') as Partial<Prefs>;
    const out: Record<string, unknown> = { ...initial };
    for (const [k, v] of Object.entries(saved)) if (k in initial && typeof v === typeof out[k] && Array.isArray(v) === Array.isArray(out[k])) out[k] = v;
    return out as unknown as Prefs;
  } catch {
    return { ...initial };
  }
}

export const prefs = $state(load());

export function keepPrefs(): void {
  $effect(() => {
    const text = JSON.stringify(prefs);
    try {
      localStorage.setItem('shoal', text);
    } catch {
      // a browser that keeps nothing: the choice lasts as long as the page
    }
  });
}

export const defaultColumns = initial.columns;
