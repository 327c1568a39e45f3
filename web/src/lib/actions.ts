import { get, patch, post } from './api';
import { t } from './i18n.svelte';
import { live } from './live.svelte';
import { go } from './router.svelte';
import { selection } from './selection.svelte';
import { session } from './session.svelte';
import { attempt, say } from './toasts.svelte';
import type { Torrent } from './types';
import { ui } from './ui.svelte';
import type { Item } from '../parts/Menu.svelte';

export type Action = 'pause' | 'resume' | 'force' | 'recheck' | 'announce' | 'top' | 'up' | 'down' | 'bottom' | 'remove' | 'remove_data';

export async function act(action: Action, ids: string[]): Promise<boolean> {
  if (!ids.length) return false;
  const ok = await attempt(() => post('torrents/actions', { action, ids }));
  if (ok && !['up', 'down', 'top', 'bottom', 'pause', 'resume'].includes(action)) say(t('done.' + action, { n: ids.length }));
  return ok;
}
export const change = (id: string, c: Record<string, unknown>) => attempt(() => patch(`torrents/${id}`, c));

export async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // without https the clipboard is closed to scripts; a selected field still copies
    const f = document.createElement('textarea');
    f.value = text;
    f.className = 'hidden';
    (document.querySelector('dialog[open]') ?? document.body).append(f);
    f.select();
    document.execCommand('copy');
    f.remove();
  }
  say(t('done.copied'));
}

/** What can be done to the chosen torrents, for menus. */
export function menuItems(ids: string[], one?: Torrent): Item[] {
  const items: Item[] = [];
  if (one) {
    items.push({ label: t('action.details'), icon: 'info', act: () => go('t/' + one.id), keys: '↵' });
    if (one.files > 0) items.push({ label: t('detail.files'), icon: 'file', act: () => go(`t/${one.id}/files`) });
  }
  if (session.canAct) {
    items.push(
      { label: t('action.resume'), icon: 'play', act: () => act('resume', ids), line: !!one },
      { label: t('action.pause'), icon: 'pause', act: () => act('pause', ids) },
      { label: t('action.force'), icon: 'bolt', act: () => act('force', ids) },
      { label: t('action.category'), icon: 'tag', act: () => (ui.dialog = { kind: 'category', ids }), line: true },
      { label: t('action.move'), icon: 'move', act: () => (ui.dialog = { kind: 'move', ids, dir: one?.dir ?? '' }) },
    );
    if (one) items.push({ label: t('action.rename'), icon: 'edit', act: () => (ui.dialog = { kind: 'rename', id: one.id, name: one.name }), keys: 'F2' });
    items.push(
      { label: t('action.top'), icon: 'top', act: () => act('top', ids), line: true },
      { label: t('action.bottom'), icon: 'bottom', act: () => act('bottom', ids) },
      { label: t('action.announce'), icon: 'tracker', act: () => act('announce', ids), line: true },
      { label: t('action.recheck'), icon: 'checking', act: () => act('recheck', ids) },
    );
  }
  if (one) items.push({ label: t('action.copyMagnet'), icon: 'magnet', act: () => copyMagnet(one.id) });
  if (session.canAct) items.push({ label: t('action.remove'), icon: 'trash', danger: true, line: true, act: () => (ui.dialog = { kind: 'remove', ids }), keys: 'Del' });
  return items;
}

async function copyMagnet(id: string): Promise<void> {
  await attempt(async () => copy((await get(`torrents/${id}`)).magnet));
}

export function toggle(x: Torrent): Promise<boolean> {
  return act(x.state === 'paused' || x.state === 'failed' ? 'resume' : 'pause', [x.id]);
}

/** Torrents of the selection that are in the window, to name them. */
export function named(ids: string[]): Torrent[] {
  return ids.map((id) => live.byId(id)).filter((x): x is Torrent => x !== undefined);
}
export function forget(ids: string[]): void {
  ids.forEach((id) => selection.ids.delete(id));
}
