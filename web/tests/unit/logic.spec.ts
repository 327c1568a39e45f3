import { expect, test } from '@playwright/test';
import { learn, merge, nothing } from '../../src/lib/delta';
import * as f from '../../src/lib/format';
import { link, links } from '../../src/lib/links';
import { ranges, squares, sums } from '../../src/lib/pieces';
import { fill } from '../../src/lib/plural';
import { bestUnit, matching } from '../../src/lib/settings';
import { subtitles } from '../../src/lib/subtitles';
import { common, lines, tree } from '../../src/lib/tree';
import type { Detail, Setting, Torrent, TorrentFile } from '../../src/lib/types';
import { covers, reveal, subscription, visible } from '../../src/lib/virtual';

const plain = (s: string) => s.replace(/\u00a0|\u202f/g, ' ');

test('sizes are in powers of 1024, rates of 1000', () => {
  f.setLocale('en');
  const cases: [number, string][] = [[0, '0 B'], [1023, '1,023 B'], [1024, '1 KiB'], [1536, '1.5 KiB'], [1048575, '1 MiB'], [5 * 2 ** 30, '5 GiB'], [123.4 * 2 ** 20, '123 MiB'], [2 ** 60, '1 EiB'], [-5, '0 B']];
  for (const [n, want] of cases) expect(plain(f.size(n))).toBe(want);
  expect(plain(f.rate(999))).toBe('999 B/s');
  expect(plain(f.rate(1_250_000))).toBe('1.25 MB/s');
  f.setLocale('de');
  expect(plain(f.rate(1_250_000))).toBe('1,25 MB/s');
  f.setLocale('en');
});

test('per cent is never 100 before it is whole', () => {
  const cases: [number, string][] = [[0, '0%'], [0.5, '50%'], [0.123, '12.3%'], [0.99999, '99.9%'], [1, '100%'], [2, '100%'], [-1, '0%']];
  for (const [x, want] of cases) expect(f.percent(x)).toBe(want);
});

test('durations have at most two units, clocks have all', () => {
  expect(f.duration(-1)).toBe('∞');
  expect(f.duration(0)).toBe('0s');
  expect(f.duration(59)).toBe('59s');
  expect(f.duration(61)).toBe('1m 1s');
  expect(f.duration(7320)).toBe('2h 2m');
  expect(f.duration(86400 * 3)).toBe('3d');
  expect(f.clock(0)).toBe('0:00');
  expect(f.clock(3729.9)).toBe('1:02:09');
  expect(f.clock(NaN)).toBe('0:00');
  expect(f.ago(1000, 1000 + 7200)).toBe('2 hr. ago');
  expect(f.ago(0)).toBe('–');
  expect(f.country('de')).toBe('Germany');
  expect(f.country('?')).toBe('?');
});

test('pasted text: every link once, what is no link left out', () => {
  const hash = 'a'.repeat(40);
  const text = `Look at <magnet:?xt=urn:btih:${hash}&dn=Big+Film&tr=udp%3A%2F%2Fx> and\n${hash.toUpperCase()}, "https://example.org/dir/a%20b.torrent" (https://example.org/x).
    magnet:?dn=none ftp://no ${'b'.repeat(39)} magnet:?xs=urn:btpk:${'c'.repeat(64)} ${'d'.repeat(64)} ${hash.toUpperCase()} magnet:?xt.1=urn:btih:${hash}`;
  expect(links(text).map((l) => [l.kind, l.name])).toEqual([
    ['magnet', 'Big Film'], ['hash', hash.toUpperCase()], ['url', 'a b.torrent'], ['url', 'x'], ['magnet', 'c'.repeat(64)], ['hash', 'd'.repeat(64)], ['magnet', hash],
  ]);
  expect(link('https://%')).toBeUndefined();
  expect(link('https://example.org/%ff')).toBeUndefined();
  expect(links('x'.repeat(100_000))).toEqual([]);
  expect(links(Array.from({ length: 900 }, (_, i) => i.toString(16).padStart(40, '0')).join(' ')).length).toBe(500);
});

test('the window of rows', () => {
  expect(visible(0, 500, 50, 20_000)).toEqual({ first: 0, end: 10 });
  expect(visible(75, 500, 50, 20_000, 2)).toEqual({ first: 0, end: 14 });
  expect(visible(1e9, 500, 50, 20_000)).toEqual({ first: 19_990, end: 20_000 });
  expect(visible(-40, 500, 50, 3)).toEqual({ first: 0, end: 3 });
  expect(visible(0, 500, 50, 0)).toEqual({ first: 0, end: 0 });
  const view = { first: 1007, end: 1027 }, s = subscription(view);
  expect(covers(s, view)).toBe(true);
  expect(s.first % 20).toBe(0);
  expect(s.end - s.first).toBeLessThan(80);
  expect(subscription({ first: 0, end: 400 }).end).toBe(400);
  for (let first = 0; first < 3000; first += 7) {
    const v = { first, end: first + 33 };
    expect(covers(subscription(v), v)).toBe(true);
  }
  expect(reveal(3, 500, 400, 50)).toBe(150);
  expect(reveal(30, 500, 400, 50)).toBe(1150);
  expect(reveal(12, 500, 400, 50)).toBe(500);
});

test('a delta changes rows and keeps the others', () => {
  const t = (id: string, more: Partial<Torrent> = {}) => ({ id, name: id, state: 'seeding', progress: 1, ...more }) as Torrent;
  const rows = [t('a'), t('b'), t('c')];
  const next = merge(rows, { revision: 2, total: 3, changed: [{ id: 'b', progress: 0.5 }] })!;
  expect(next[0]).toBe(rows[0]);
  expect(next[1]).toEqual(t('b', { progress: 0.5 }));
  expect(merge(rows, { revision: 3, total: 4, order: ['c', 'd', 'a'], changed: [t('d')] })!.map((x) => x.id)).toEqual(['c', 'd', 'a']);
  expect(merge(rows, { revision: 3, total: 4, order: ['x'], changed: [] })).toBeUndefined();
  expect(merge(rows, { revision: 3, total: 4, order: ['x'], changed: [{ id: 'x', progress: 1 }] })).toBeUndefined();
  expect(merge(rows, { revision: 3, total: 0, order: [], changed: [] })).toEqual([]);
});

test('what is told of one torrent adds up', () => {
  const b64 = (...n: number[]) => Buffer.from(n).toString('base64');
  let x = learn(nothing('a'), { id: 'a', full: true, torrent: { name: 'n', progress: 0 } as Detail, files: [{ index: 0, path: 'p', done: 1 }], peers: [{ address: 'x', down_rate: 1 }, { address: 'y' }], pieces: [{ at: 0, states: b64(0, 1, 2, 0) }] });
  const files = x.files;
  x = learn(x, { id: 'a', full: false, torrent: { progress: 0.5 }, peers: [{ address: 'x', down_rate: 5 }], peers_gone: ['y'], pieces: [{ at: 3, states: b64(2) }, { at: 0, states: b64(2) }] });
  expect(x.torrent).toMatchObject({ name: 'n', progress: 0.5 });
  expect(x.files).toBe(files);
  expect(x.peers).toEqual([{ address: 'x', down_rate: 5 }]);
  expect([...x.pieces]).toEqual([2, 1, 2, 2]);
  x = learn(x, { id: 'a', full: false, files: [{ index: 0, done: 9 }] });
  expect(x.files[0]).toMatchObject({ path: 'p', done: 9 });
  x = learn(x, { id: 'a', full: true, torrent: { name: 'm' } as Detail });
  expect(x.torrent).toEqual({ id: 'a', name: 'm' });
  expect(x.peers).toEqual([]);
  expect(learn(x, { id: 'a', full: false, gone: true })).toMatchObject({ gone: true, torrent: null });
});

test('pieces fold into squares, sums and stretches', () => {
  const p = new Uint8Array([2, 2, 1, 0, 128, 130, 2, 129]);
  expect(sums(p)).toEqual({ have: 4, busy: 1, missing: 1, unwanted: 2 });
  expect(squares(p, 4)).toEqual([{ have: 1, busy: 0, unwanted: false }, { have: 0, busy: 0.5, unwanted: false }, { have: 0.5, busy: 0, unwanted: true }, { have: 0.5, busy: 0.5, unwanted: false }]);
  expect(squares(new Uint8Array([2]), 3).every((s) => s.have === 1)).toBe(true);
  expect(ranges(p, 0, 7)).toEqual([[0, 0.25], [0.625, 0.875]]);
  expect(ranges(p, 5, 6)).toEqual([[0, 1]]);
});

test('plural forms', () => {
  const e = { one: '{n} Datei', other: '{n} Dateien' };
  expect(fill(e, { n: 1 }, 'de')).toBe('1 Datei');
  expect(fill(e, { n: 0 }, 'de')).toBe('0 Dateien');
  expect(fill(e, { n: 1_000_000 }, 'es')).toBe('1,000,000 Dateien');
  expect(fill('{a} {b}', { a: 'x' }, 'en')).toBe('x {b}');
  expect(fill(undefined, {}, 'en')).toBeUndefined();
});

const file = (path: string, more: Partial<TorrentFile> = {}) => ({ index: 0, path, size: 1, done: 0, priority: 'normal', media: '', ...more }) as TorrentFile;

test('files as folders, in the order of people', () => {
  const d = tree([file('Show/S1/10.mkv'), file('Show/S1/2.mkv', { priority: 'high' }), file('Show/a.txt'), file('Show/B/x')]);
  expect(d.name).toBe('Show');
  expect(lines(d, new Set()).map((l) => (l.folder ? l.folder.name + '/' : l.file!.path.split('/').pop()) + ' ' + l.depth)).toEqual(['B/ 0', 'x 1', 'S1/ 0', '2.mkv 1', '10.mkv 1', 'a.txt 0']);
  expect(lines(d, new Set(['Show/S1'])).length).toBe(4);
  expect(common(d.folders[1]!.all)).toBeUndefined();
  expect(common(d.files)).toBe('normal');
  expect(tree([file('one.iso')]).files.length).toBe(1);
});

test('subtitles of a video', () => {
  const a = file('d/Film.mkv', { media: 'video' }), b = file('d/Other.mkv', { media: 'video' });
  const all = [a, file('d/Film.en.srt', { media: 'subtitle' }), file('d/Film.vtt', { media: 'subtitle' }), file('d/Other.de.srt', { media: 'subtitle' }), file('d/Film.idx', { media: 'subtitle' })];
  expect(subtitles([...all, b], a).map((s) => s.label)).toEqual(['en', '']);
  expect(subtitles(all, a).length).toBe(3);
});

test('settings: words find them, and values have a fitting unit', () => {
  const s = (key: string, title: string, text = '') => ({ key, title, text, group: key.split('.')[0] }) as Setting;
  const list = [s('network.dht', 'DHT', 'finds peers'), s('bandwidth.up', 'Upload limit')];
  expect(matching(list, 'PEERS find').map((x) => x.key)).toEqual(['network.dht']);
  expect(matching(list, 'limit dht')).toEqual([]);
  expect(bestUnit('size', 2 ** 30).name).toBe('GiB');
  expect(bestUnit('size', 512 * 2 ** 20).name).toBe('GiB'.replace('G', 'M'));
  expect(bestUnit('rate', 2_500_000).name).toBe('MB/s');
  expect(bestUnit('rate', 0).name).toBe('kB/s');
  expect(bestUnit('duration', 7200).name).toBe('unit.hours');
});
