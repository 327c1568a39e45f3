import * as f from './format';
import type { Torrent } from './types';

export interface Column {
  key: string; // json name of a torrent's field, by which the node sorts
  width: number;
  right?: boolean;
  text?: (t: Torrent) => string;
}
const none = '–';
const positive = (n: number, show: (n: number) => string) => (n > 0 ? show(n) : none);

export const columns: Column[] = [
  { key: 'queue', width: 52, right: true, text: (t) => f.number(t.queue) },
  { key: 'name', width: 320 },
  { key: 'state', width: 128 },
  { key: 'size', width: 92, right: true, text: (t) => positive(t.size, f.size) },
  { key: 'progress', width: 132 },
  { key: 'down_rate', width: 92, right: true, text: (t) => positive(t.down_rate, f.rate) },
  { key: 'up_rate', width: 92, right: true, text: (t) => positive(t.up_rate, f.rate) },
  { key: 'eta', width: 92, right: true, text: (t) => (t.complete || t.eta < 0 ? none : f.duration(t.eta)) },
  { key: 'peers', width: 78, right: true, text: (t) => (t.peers ? f.number(t.peers) : none) },
  { key: 'seeds', width: 78, right: true, text: (t) => (t.seeds ? f.number(t.seeds) : none) },
  { key: 'ratio', width: 70, right: true, text: (t) => f.ratio(t.ratio) },
  { key: 'category', width: 108, text: (t) => t.category || none },
  { key: 'tags', width: 120, text: (t) => t.tags.join(', ') || none },
  { key: 'tracker', width: 150, text: (t) => t.tracker || none },
  { key: 'added', width: 116, text: (t) => f.ago(t.added) },
  { key: 'completed', width: 116, text: (t) => f.ago(t.completed) },
  { key: 'last_active', width: 116, text: (t) => f.ago(t.last_active) },
  { key: 'downloaded', width: 100, right: true, text: (t) => positive(t.downloaded, f.size) },
  { key: 'uploaded', width: 100, right: true, text: (t) => positive(t.uploaded, f.size) },
  { key: 'availability', width: 92, right: true, text: (t) => (t.availability < 0 ? none : f.number(t.availability, 2)) },
  { key: 'seeding_time', width: 104, right: true, text: (t) => positive(t.seeding_time, f.duration) },
  { key: 'dir', width: 190, text: (t) => t.dir },
];
export const column = (key: string): Column => columns.find((c) => c.key === key)!;
