import type { Setting } from './types';

/** What a control for a setting looks like. The node's kinds have two names each, of the file and of the API. */
export type Control = 'bool' | 'choice' | 'number' | 'size' | 'rate' | 'duration' | 'list' | 'path' | 'secret' | 'text';
const controls: Record<string, Control> = {
  bool: 'bool', enum: 'choice', choice: 'choice', int: 'number', number: 'number', float: 'number', bytes: 'size', size: 'size', rate: 'rate',
  duration: 'duration', list: 'list', paths: 'list', path: 'path', secret: 'secret',
};
export const control = (s: Setting): Control => controls[s.type] ?? 'text';

export interface Unit {
  name: string; // of the catalogue, or as it is
  factor: number;
}
export const units: Partial<Record<Control, Unit[]>> = {
  size: [{ name: 'MiB', factor: 2 ** 20 }, { name: 'GiB', factor: 2 ** 30 }, { name: 'KiB', factor: 2 ** 10 }, { name: 'B', factor: 1 }],
  rate: [{ name: 'kB/s', factor: 1e3 }, { name: 'MB/s', factor: 1e6 }, { name: 'B/s', factor: 1 }],
  duration: [{ name: 'unit.minutes', factor: 60 }, { name: 'unit.hours', factor: 3600 }, { name: 'unit.days', factor: 86400 }, { name: 'unit.seconds', factor: 1 }],
};

/** The largest unit in which a value is a plain number. */
export function bestUnit(c: Control, value: number): Unit {
  const all = units[c]!;
  const fit = all.filter((u) => value !== 0 && Number.isInteger((value / u.factor) * 100)).sort((a, b) => b.factor - a.factor);
  return (value !== 0 && fit.find((u) => value / u.factor >= 1)) || all[0]!;
}

export const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** Settings in which every word occurs. */
export function matching(list: readonly Setting[], text: string): Setting[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return list.filter((s) => {
    const all = `${s.title} ${s.text} ${s.key} ${s.group} ${(s.choices ?? []).join(' ')}`.toLowerCase();
    return words.every((w) => all.includes(w));
  });
}
