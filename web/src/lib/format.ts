// Numbers as people read them: sizes in powers of 1024 (GiB), rates in powers of 1000 (MB/s), as on the command line.

const cache = new Map<string, Intl.NumberFormat>();
let locale = 'en';
export function setLocale(l: string): void {
  locale = l;
  cache.clear();
}

function digits(x: number): string {
  const places = x >= 100 ? 0 : x >= 10 ? 1 : 2;
  const key = 'd' + places;
  let f = cache.get(key);
  if (!f) cache.set(key, (f = new Intl.NumberFormat(locale, { maximumFractionDigits: places })));
  return f.format(x);
}

function scaled(x: number, step: number, units: readonly string[]): string {
  let i = 0;
  while (x >= step && i < units.length - 1) {
    x /= step;
    i++;
  }
  if (i > 0 && x >= step - 0.5 && i < units.length - 1) {
    x /= step;
    i++;
  }
  return (i === 0 ? number(Math.round(x)) : digits(x)) + '\u00a0' + units[i];
}

const sizes = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'] as const;
const rates = ['B/s', 'kB/s', 'MB/s', 'GB/s', 'TB/s'] as const;

export const size = (n: number): string => scaled(Math.max(0, n), 1024, sizes);
export const rate = (n: number): string => scaled(Math.max(0, n), 1000, rates);

export function number(n: number, places = 0): string {
  const key = 'n' + places;
  let f = cache.get(key);
  if (!f) cache.set(key, (f = new Intl.NumberFormat(locale, { minimumFractionDigits: places, maximumFractionDigits: places })));
  return f.format(n);
}

/** A share of 1 as per cent. Never 100 before it is whole. */
export function percent(x: number): string {
  const p = Math.min(1, Math.max(0, x)) * 100;
  const shown = p === 100 || p === 0 ? p : Math.min(99.9, Math.floor(p * 10) / 10);
  const places = Number.isInteger(shown) ? 0 : 1;
  const key = 'p' + places;
  let f = cache.get(key);
  if (!f) cache.set(key, (f = new Intl.NumberFormat(locale, { style: 'percent', minimumFractionDigits: places, maximumFractionDigits: places })));
  return f.format(shown / 100);
}

const steps: [string, number][] = [['year', 31536000], ['day', 86400], ['hour', 3600], ['minute', 60], ['second', 1]];

function unit(n: number, u: string): string {
  const key = 'u' + u;
  let f = cache.get(key);
  if (!f) cache.set(key, (f = new Intl.NumberFormat(locale, { style: 'unit', unit: u, unitDisplay: 'narrow' })));
  return f.format(n);
}

/** Seconds with at most two units: 3h 12m. */
export function duration(s: number): string {
  if (s < 0 || !Number.isFinite(s)) return '∞';
  s = Math.round(s);
  for (let i = 0; i < steps.length; i++) {
    const [name, length] = steps[i]!;
    if (s < length && name !== 'second') continue;
    const whole = Math.floor(s / length);
    const next = steps[i + 1];
    const rest = next ? Math.floor((s % length) / next[1]) : 0;
    return unit(whole, name) + (next && rest > 0 && whole < 100 ? ' ' + unit(rest, next[0]) : '');
  }
  return unit(0, 'second');
}

/** Seconds as on a player's clock: 1:02:09. */
export function clock(s: number): string {
  if (!Number.isFinite(s) || s < 0) s = 0;
  s = Math.floor(s);
  const h = Math.floor(s / 3600), m = Math.floor((s % 3600) / 60), sec = String(s % 60).padStart(2, '0');
  return h > 0 ? `${h}:${String(m).padStart(2, '0')}:${sec}` : `${m}:${sec}`;
}

export function date(unix: number): string {
  if (unix <= 0) return '–';
  return new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'short' }).format(unix * 1000);
}
export function time(unix: number): string {
  return new Intl.DateTimeFormat(locale, { timeStyle: 'medium' }).format(unix * 1000);
}

/** How long ago, in one unit: 3 hours ago. */
export function ago(unix: number, now = Date.now() / 1000): string {
  if (unix <= 0) return '–';
  const s = Math.max(0, now - unix);
  const f = new Intl.RelativeTimeFormat(locale, { numeric: 'auto', style: 'short' });
  for (const [name, length] of steps) if (s >= length) return f.format(-Math.floor(s / length), name as Intl.RelativeTimeFormatUnit);
  return f.format(0, 'second');
}

export function ratio(x: number): string {
  return number(Math.floor(x * 100) / 100, 2);
}

export function country(code: string): string {
  try {
    return new Intl.DisplayNames([locale], { type: 'region' }).of(code.toUpperCase()) ?? code;
  } catch {
    return code;
  }
}
