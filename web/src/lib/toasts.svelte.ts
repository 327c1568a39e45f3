import { Problem } from './api';
import { t } from './i18n.svelte';

export interface Toast {
  id: number;
  kind: 'ok' | 'bad';
  text: string;
}
let next = 1;
export const toasts = $state<Toast[]>([]);

function push(kind: Toast['kind'], text: string): void {
  const id = next++;
  toasts.push({ id, kind, text });
  if (toasts.length > 4) toasts.shift();
  setTimeout(() => dismiss(id), kind === 'bad' ? 9000 : 4000);
}
export function dismiss(id: number): void {
  const i = toasts.findIndex((x) => x.id === id);
  if (i >= 0) toasts.splice(i, 1);
}
export const say = (text: string) => push('ok', text);

export function words(e: unknown): string {
  if (e instanceof Problem) {
    if (e.status === 0) return t('error.offline');
    if (e.status === 403) return e.message || t('error.forbidden');
    return e.message || t('error.status', { n: e.status });
  }
  return e instanceof Error ? e.message : String(e);
}
export const complain = (e: unknown) => push('bad', words(e));

/** Runs work; what goes wrong is said to the person. True when it went well. */
export async function attempt(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (e) {
    complain(e);
    return false;
  }
}
