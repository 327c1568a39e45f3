import english from '../locales/en.json';
import { setLocale } from './format';
import { prefs } from './prefs.svelte';
import { fill, type Catalogue } from './plural';

export const languages: Record<string, string> = { en: 'English', de: 'Deutsch', es: 'Español' };
const load: Record<string, () => Promise<{ default: Catalogue }>> = {
  de: () => import('../locales/de.json'),
  es: () => import('../locales/es.json'),
};

let catalogue = $state.raw<Catalogue>(english);
let language = $state('en');

export const lang = (): string => language;

/** The text of a key; {names} in it are replaced, and n chooses the plural. */
export function t(key: string, values: Record<string, string | number> = {}): string {
  return fill(catalogue[key] ?? (english as Catalogue)[key], values, language) ?? key;
}

export function preferred(wanted: string, offered: readonly string[]): string {
  for (const l of [wanted, ...offered]) {
    const short = l.toLowerCase().split('-')[0]!;
    if (short in languages) return short;
  }
  return 'en';
}

export async function chooseLanguage(): Promise<void> {
  const l = preferred(prefs.language, navigator.languages);
  const c = load[l] ? (await load[l]()).default : (english as Catalogue);
  setLocale(navigator.languages.find((x) => x.toLowerCase().startsWith(l)) ?? l);
  catalogue = c;
  language = l;
  document.documentElement.lang = l;
}
