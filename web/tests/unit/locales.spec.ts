import { expect, test } from '@playwright/test';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Catalogue, Entry } from '../../src/lib/plural';

const src = new URL('../../src/', import.meta.url).pathname;
const read = (l: string) => JSON.parse(readFileSync(join(src, 'locales', l + '.json'), 'utf8')) as Catalogue;
const languages = readdirSync(join(src, 'locales')).map((f) => f.replace('.json', ''));
const english = read('en');
const texts = (e: Entry) => (typeof e === 'string' ? [e] : Object.values(e));
const holes = (e: Entry) => [...new Set(texts(e).flatMap((x) => x.match(/\{\w+\}/g) ?? []))].sort();

const code = readdirSync(src, { recursive: true, withFileTypes: true })
  .filter((e) => e.isFile() && /\.(ts|svelte)$/.test(e.name))
  .map((e) => readFileSync(join(e.parentPath, e.name), 'utf8'))
  .join('\n');

test('there are English, German and Spanish', () => expect(languages.sort()).toEqual(['de', 'en', 'es']));

for (const l of languages)
  test(`${l} has every key, with the same values and all plural forms`, () => {
    const c = read(l);
    expect(Object.keys(c).sort()).toEqual(Object.keys(english).sort());
    const forms = new Intl.PluralRules(l).resolvedOptions().pluralCategories.filter((x) => x === 'one' || x === 'other').sort();
    for (const [k, e] of Object.entries(c)) {
      expect(holes(e), k).toEqual(holes(english[k]!));
      for (const x of texts(e)) expect(x.trim(), k).not.toBe('');
      if (typeof english[k] === 'object') expect(Object.keys(e as object).sort(), k).toEqual(forms);
    }
  });

test('German and Spanish are not English', () => {
  for (const l of ['de', 'es']) {
    const c = read(l), same = Object.keys(c).filter((k) => JSON.stringify(c[k]) === JSON.stringify(english[k]) && /[a-z]{3}/i.test(texts(c[k]!).join('')));
    expect(same.length / Object.keys(c).length, l + ': ' + same.join(' ')).toBeLessThan(0.08);
  }
});

test('every key is used, and every key that is used is there', () => {
  const literals = new Set([...code.matchAll(/['"`]([a-zA-Z]+(?:\.[a-zA-Z0-9_]+)+)['"`]/g)].map((m) => m[1]!));
  const prefixes = [...code.matchAll(/['"`]([a-zA-Z]+\.)['"`]\s*\+/g)].map((m) => m[1]!);
  const unused = Object.keys(english).filter((k) => !literals.has(k) && !code.includes(`t('${k}')`) && !prefixes.some((p) => k.startsWith(p)));
  expect(unused).toEqual([]);
  const called = [...code.matchAll(/\bt\(\s*(?:[^'"`()]*\?\s*)?['"`]([a-zA-Z0-9_.]+)['"`](?!\s*\+)/g)].map((m) => m[1]!);
  expect(called.length).toBeGreaterThan(200);
  expect(called.filter((k) => !(k in english))).toEqual([]);
});
