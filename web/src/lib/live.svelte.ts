// What the node says from moment to moment: the visible window of the list, totals, jobs and the log, over one stream of events.
import { untrack } from 'svelte';
import { address, get, type Params } from './api';
import { learn, merge, nothing, type Told } from './delta';
import { prefs } from './prefs.svelte';
import { session } from './session.svelte';
import type { Counts, Delta, DetailEvent, Job, Level, LogLine, Page, Torrent, Totals } from './types';
import { covers, subscription, type Span } from './virtual';

export interface Filter {
  q: string;
  state: string;
  category: string | null;
  tag: string | null;
  tracker: string | null;
}
export const noFilter: Filter = { q: '', state: '', category: null, tag: null, tracker: null };
const kept = 1200; // rows remembered beside the window, shown at once when scrolling back

class Live {
  filter = $state.raw<Filter>(noFilter);
  total = $state(0);
  loaded = $state(false); // an answer for this filter has come
  counts = $state.raw<Counts>({ state: {}, category: {}, tag: {}, tracker: {}, all: 0, active: 0, complete: 0 });
  totals = $state.raw<Totals | null>(null);
  recent = $state.raw<{ down: number[]; up: number[] }>({ down: [], up: [] });
  connected = $state(true);
  retry = $state(0); // seconds until the next try
  detail = $state.raw<Told>(nothing(''));
  jobs = $state.raw<Job[]>([]);
  version = $state(0); // grows when rows change

  #rows = new Map<number, Torrent>();
  #window: Torrent[] = [];
  #span: Span = { first: 0, end: 60 };
  #view: Span = { first: 0, end: 40 };
  #watched = ''; // id of the torrent whose detail is wanted
  #parts = '';
  #listing = true; // the list is in view
  #level: Level | '' = ''; // of the log
  #source: EventSource | null = null;
  #open = '';
  #timer = 0;
  #tries = 0;
  #sampler = 0;
  #running = false;
  #fetching: AbortController | null = null;
  #lastFetch = 0;
  #logs = new Set<(l: LogLine[]) => void>();

  at(i: number): Torrent | undefined {
    void this.version;
    return this.#rows.get(i);
  }
  byId(id: string): Torrent | undefined {
    void this.version;
    return this.#window.find((t) => t.id === id);
  }
  indexOf(id: string): number {
    for (const [i, t] of this.#rows) if (t.id === id) return i;
    return -1;
  }

  query(): Params {
    const f = this.filter;
    return {
      q: f.q || undefined, state: f.state || undefined, sort: prefs.sort, desc: prefs.desc,
      category: f.category ?? undefined, tag: f.tag ?? undefined, tracker: f.tracker ?? undefined,
    };
  }

  start(): void {
    if (this.#running) return;
    this.#running = true;
    document.addEventListener('visibilitychange', this.#visibility);
    this.#sampler = window.setInterval(() => this.#sample(), 1000); // totals come only when they change
    this.#soon(0);
  }
  stop(): void {
    this.#running = false;
    document.removeEventListener('visibilitychange', this.#visibility);
    clearTimeout(this.#timer);
    clearInterval(this.#sampler);
    this.#close();
  }

  setFilter(f: Partial<Filter>): void {
    this.filter = { ...this.filter, ...f };
    this.reset();
  }
  /** Forgets the rows and asks anew: another filter or order. */
  reset(): void {
    this.#rows.clear();
    this.#window = [];
    this.loaded = false;
    this.#span = subscription({ first: 0, end: this.#view.end - this.#view.first });
    this.version++;
    this.#soon(0);
  }
  /** Asks for all about a torrent, and for these parts of it: files, peers, trackers, pieces, with commas. */
  watch(id: string, parts = ''): void {
    if (this.#watched === id && this.#parts === parts) return;
    if (untrack(() => this.detail.id) !== id) this.detail = nothing(id);
    this.#watched = id;
    this.#parts = parts;
    this.#soon(0);
  }
  /** Says whether the list is in view; else its rows are not asked for. */
  show(listing: boolean): void {
    if (this.#listing === listing) return;
    this.#listing = listing;
    this.#soon(0);
  }
  onLog(level: Level, f: (l: LogLine[]) => void): () => void {
    this.#logs.add(f);
    this.#level = level;
    this.#soon(0);
    return () => {
      this.#logs.delete(f);
      this.#level = '';
      this.#soon(0);
    };
  }

  /** Tells which rows are drawn. Rows that are missing are fetched while scrolling; the stream follows when it rests. */
  look(view: Span): void {
    this.#view = view;
    if (covers(this.#span, view)) return;
    let missing = false;
    for (let i = view.first; i < view.end && !missing; i++) missing = !this.#rows.has(i);
    const now = performance.now();
    if (missing && now - this.#lastFetch > 120) {
      this.#lastFetch = now;
      void this.#fetch(subscription(view));
    }
    this.#soon(250);
  }

  async #fetch(s: Span): Promise<void> {
    this.#fetching?.abort();
    const c = (this.#fetching = new AbortController());
    try {
      const p = await get('torrents', { ...this.query(), offset: s.first, limit: s.end - s.first }, c.signal);
      p.torrents.forEach((t, i) => this.#rows.set(s.first + i, t));
      this.total = p.total;
      this.version++;
    } catch {
      // the stream brings the same rows when the scrolling rests
    }
  }

  #visibility = (): void => {
    if (document.hidden) this.#soon(20_000);
    else this.#soon(0);
  };

  #soon(ms: number): void {
    if (!this.#running) return;
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => (document.hidden ? this.#close() : this.#connect()), ms);
  }
  #close(): void {
    this.#source?.close();
    this.#source = null;
    this.#open = '';
  }

  #connect(): void {
    if (this.loaded && !covers(this.#span, this.#view)) this.#span = subscription(this.#view);
    const first = this.#span.first;
    const url = address('events', {
      ...(this.#listing ? { ...this.query(), offset: first, limit: this.#span.end - first } : { limit: 0 }),
      ...(this.#watched && { torrent: this.#watched, parts: this.#parts || undefined }), log: this.#level || undefined,
    });
    if (url === this.#open && this.#source && this.#source.readyState !== EventSource.CLOSED) return;
    this.#close();
    this.#open = url;
    const s = (this.#source = new EventSource(url));
    const on = <T>(name: string, f: (data: T) => void) =>
      s.addEventListener(name, (e) => {
        if (s !== this.#source) return;
        this.#tries = 0;
        this.connected = true;
        f(JSON.parse((e as MessageEvent<string>).data) as T);
      });
    on<Page>('list', (p) => this.#place(first, p.torrents, p));
    on<Delta>('delta', (d) => {
      const rows = merge(this.#window, d);
      if (rows) this.#place(first, rows, d);
      else {
        this.#close();
        this.#soon(0);
      }
    });
    on<Totals>('stats', (x) => (this.totals = x));
    on<DetailEvent>('detail', (e) => {
      if (e.id === this.#watched) this.detail = learn(this.detail, e);
    });
    on<Job>('job', (j) => (this.jobs = [j, ...this.jobs.filter((x) => x.id !== j.id)]));
    on<{ lines: LogLine[] }>('log', (e) => this.#logs.forEach((f) => f(e.lines)));
    s.onopen = () => {
      this.#tries = 0;
      this.connected = true;
    };
    s.onerror = () => {
      if (s !== this.#source) return;
      this.#close();
      this.#tries++;
      const wait = Math.min(30, 2 ** Math.min(5, this.#tries - 1)) * (0.75 + Math.random() / 2);
      if (this.#tries > 1) this.connected = false;
      this.retry = Math.round(wait);
      if (this.#tries === 2) void session.refresh(); // when it has ended, the login is shown
      this.#soon(wait * 1000);
    };
  }
  reconnect(): void {
    this.#tries = 0;
    this.#close();
    this.#soon(0);
  }

  #place(first: number, rows: Torrent[], p: { total: number; counts?: Counts }): void {
    this.#window = rows;
    if (this.#rows.size > kept) this.#rows.clear();
    rows.forEach((t, i) => this.#rows.set(first + i, t));
    for (const i of this.#rows.keys()) if (i >= p.total) this.#rows.delete(i);
    this.total = p.total;
    if (p.counts) this.counts = p.counts;
    this.loaded = true;
    this.version++;
  }
  #sample(): void {
    const x = this.totals;
    if (!x || document.hidden) return;
    const keep = (a: number[], v: number) => [...a, v].slice(-60);
    this.recent = { down: keep(this.recent.down, x.down_rate), up: keep(this.recent.up, x.up_rate) };
  }
}
export const live = new Live();
