// The documents that automate a node, as forms. Fields that a form does not know stay as they are.

export type DocKind = 'watch' | 'feeds' | 'schedules' | 'hooks';
export interface Doc {
  id: string;
  name?: string;
  enabled?: boolean;
  error?: string;
  [key: string]: unknown;
}
export interface Field {
  key: string; // of the document; its label is field.KEY of the catalogue
  type: 'text' | 'folder' | 'bool' | 'number' | 'minutes' | 'rate' | 'time' | 'list' | 'days' | 'choice' | 'items';
  choices?: string[];
  fields?: Field[];
  required?: boolean;
  initial?: unknown;
}

const adding: Field[] = [
  { key: 'category', type: 'text' },
  { key: 'tags', type: 'list' },
  { key: 'dir', type: 'folder' },
  { key: 'paused', type: 'bool' },
];

export const schemas: Record<DocKind, Field[]> = {
  watch: [{ key: 'path', type: 'folder', required: true }, ...adding, { key: 'delete', type: 'bool' }],
  feeds: [
    { key: 'url', type: 'text', required: true },
    { key: 'interval', type: 'minutes', initial: 1800 },
    { key: 'rules', type: 'items', fields: [{ key: 'name', type: 'text' }, { key: 'include', type: 'text', required: true }, { key: 'exclude', type: 'text' }, ...adding] },
  ],
  schedules: [
    { key: 'days', type: 'days' },
    { key: 'from', type: 'time', required: true, initial: '23:00' },
    { key: 'to', type: 'time', required: true, initial: '07:00' },
    { key: 'down', type: 'rate' },
    { key: 'up', type: 'rate' },
    { key: 'pause', type: 'bool' },
  ],
  hooks: [
    { key: 'event', type: 'choice', choices: ['added', 'completed', 'failed', 'removed'], initial: 'completed' },
    { key: 'command', type: 'list', required: true },
    { key: 'category', type: 'text' },
  ],
};

export function fresh(kind: DocKind): Doc {
  return { id: '', ...blank(schemas[kind]) };
}
export function blank(fields: Field[]): Record<string, unknown> {
  return Object.fromEntries(fields.filter((f) => f.initial !== undefined).map((f) => [f.key, f.initial]));
}

/** A line that tells what a document does. */
export function describe(kind: DocKind, d: Doc): string {
  const text = (k: string) => (Array.isArray(d[k]) ? (d[k] as unknown[]).join(' ') : d[k] === undefined ? '' : String(d[k]));
  if (kind === 'schedules') return [text('days'), `${text('from')}–${text('to')}`].join(' ').trim();
  if (kind === 'hooks') return `${text('event')}: ${text('command')}`;
  return text(kind === 'feeds' ? 'url' : 'path');
}
