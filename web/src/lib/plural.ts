import { number } from './format';

/** A text, or its plural forms by the categories of Intl.PluralRules. */
export type Entry = string | Record<string, string>;
export type Catalogue = Record<string, Entry>;

const rules = new Map<string, Intl.PluralRules>();

export function fill(entry: Entry | undefined, values: Record<string, string | number>, language: string): string | undefined {
  if (entry === undefined) return undefined;
  let text: string | undefined;
  if (typeof entry === 'string') text = entry;
  else {
    let r = rules.get(language);
    if (!r) rules.set(language, (r = new Intl.PluralRules(language)));
    text = entry[r.select(Number(values.n ?? 0))] ?? entry.other;
  }
  return text?.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const v = values[name];
    return v === undefined ? whole : typeof v === 'number' ? number(v) : v;
  });
}
