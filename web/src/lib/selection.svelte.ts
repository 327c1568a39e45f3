import { SvelteSet } from 'svelte/reactivity';
import { get } from './api';
import { live } from './live.svelte';

class Selection {
  ids = new SvelteSet<string>();
  cursor = $state(-1); // row that the keyboard is at
  #anchor = 0;

  get size(): number {
    return this.ids.size;
  }
  list(): string[] {
    return [...this.ids];
  }
  clear(): void {
    this.ids.clear();
  }
  only(i: number, id: string): void {
    this.ids.clear();
    this.ids.add(id);
    this.cursor = this.#anchor = i;
  }
  toggle(i: number, id: string): void {
    if (!this.ids.delete(id)) this.ids.add(id);
    this.cursor = this.#anchor = i;
  }
  /** From where the last choice began to row i. */
  async to(i: number): Promise<void> {
    this.cursor = i;
    const from = Math.min(this.#anchor, i), to = Math.max(this.#anchor, i);
    const ids = await this.#range(from, to + 1);
    this.ids.clear();
    ids.forEach((id) => this.ids.add(id));
  }
  async all(): Promise<void> {
    const ids = await this.#range(0, live.total);
    ids.forEach((id) => this.ids.add(id));
  }
  /** The ids of rows, of which those out of view are asked of the node. */
  async #range(from: number, end: number): Promise<string[]> {
    const ids: string[] = [];
    let complete = true;
    for (let i = from; i < end && complete; i++) {
      const t = live.at(i);
      if (t) ids.push(t.id);
      else complete = false;
    }
    if (complete) return ids;
    ids.length = 0;
    for (let i = from; i < end; i += 5000) {
      const p = await get('torrents', { ...live.query(), offset: i, limit: Math.min(5000, end - i) });
      ids.push(...p.torrents.map((t) => t.id));
      if (!p.torrents.length) break;
    }
    return ids;
  }
}
export const selection = new Selection();
