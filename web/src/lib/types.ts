// Names for the types of the API, which openapi.d.ts has from openapi.json, and that from the node's own code: `npm run api` writes it anew.
import type { components } from './openapi';

type Schemas = components['schemas'];
export type Torrent = Schemas['Torrent'];
export type Detail = Schemas['Detail'];
export type TorrentFile = Schemas['TorrentFile'];
export type Peer = Schemas['Peer'];
export type Tracker = Schemas['Tracker'];
export type Category = Schemas['Category'];
export type Counts = Schemas['Counts'];
export type Page = Schemas['Page'];
export type Totals = Schemas['Totals'];
export type History = Schemas['History'];
export type AddResult = Schemas['AddResult'];
export type Job = Schemas['Job'];
export type LogLine = Schemas['Line'];
export type Setting = Schemas['Setting'] & { place?: string };
export type Check = Schemas['Check'];
export type Folder = Schemas['Folder'];
export type Account = Schemas['Account'];
export type Token = Schemas['Token'];
export type SeedRule = Schemas['SeedRule'];
export type Me = Schemas['Me'];

export type State = Torrent['state'];
export type Priority = TorrentFile['priority'];
export type Media = TorrentFile['media'];
export type Level = LogLine['level'];
export type Role = Account['role'];
export type Scope = 'read' | 'add' | 'control' | 'admin';
export const states: State[] = ['downloading', 'seeding', 'metadata', 'checking', 'moving', 'queued', 'paused', 'failed'];

// Events tell rows by the fields that changed.
export type Delta = Omit<Schemas['Delta'], 'changed'> & { changed: (Partial<Torrent> & { id: string })[] };
export type DetailEvent = Omit<Schemas['DetailEvent'], 'torrent' | 'files' | 'peers'> & {
  torrent?: Partial<Detail>;
  files?: (Partial<TorrentFile> & { index: number })[];
  peers?: (Partial<Peer> & { address: string })[];
};
