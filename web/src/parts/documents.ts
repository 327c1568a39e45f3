// The documents that automate a node, as forms. Fields that a form does not know stay as they are.

export type DocKind = 'watch' | 'feeds' | 'schedules' | 'hooks';
export interface Doc {
  id: string;
  name?: string;
  disabled?: boolean;
  problem?: string; // told by the node
  [key: string]: unknown;
}
export interface Field {
  key: string; // of the document; its label is field.KEY of the catalogue
  type: 'text' | 'folder' | 'bool' | 'number' | 'minutes' | 'mebibytes' | 'time' | 'list' | 'days' | 'choice' | 'items';
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
const off: Field = { key: 'disabled', type: 'bool' };

export const schemas: Record<DocKind, Field[]> = {
  watch: [{ key: 'path', type: 'folder', required: true }, ...adding, { key: 'delete', type: 'bool' }],
  feeds: [
    { key: 'name', type: 'text' },
    { key: 'url', type: 'text', required: true },
    { key: 'interval', type: 'minutes', initial: 1800 },
    off,
    {
      key: 'rules',
      type: 'items',
      fields: [
        { key: 'name', type: 'text' },
        { key: 'include', type: 'list', required: true },
        { key: 'exclude', type: 'list' },
        { key: 'regex', type: 'bool' },
        { key: 'episodes', type: 'bool' },
        { key: 'min_size', type: 'mebibytes' },
        { key: 'max_size', type: 'mebibytes' },
        ...adding,
        off,
      ],
    },
  ],
  schedules: [
    { key: 'name', type: 'text' },
    { key: 'what', type: 'choice', choices: ['alternative', 'pause'], initial: 'alternative' },
    { key: 'days', type: 'days' },
    { key: 'from', type: 'time', required: true, initial: '08:00' },
    { key: 'to', type: 'time', required: true, initial: '22:00' },
    off,
  ],
  hooks: [],
};

/** What the node tells of a document and does not take back. */
export const told = ['problem', 'fetched', 'items'];

export function fresh(kind: DocKind): Doc {
  return { id: '', ...blank(schemas[kind]) };
}
export function blank(fields: Field[]): Record<string, unknown> {
  return Object.fromEntries(fields.filter((f) => f.initial !== undefined).map((f) => [f.key, f.initial]));
}

/** A line that tells what a document does. */
export function describe(kind: DocKind, d: Doc): string {
  const text = (k: string) => (Array.isArray(d[k]) ? (d[k] as unknown[]).join(' ') : d[k] === undefined ? '' : String(d[k]));
  if (kind === 'schedules') return `${text('from')}–${text('to')}`;
  if (kind === 'hooks') return text('command');
  return text(kind === 'feeds' ? 'url' : 'path');
}
