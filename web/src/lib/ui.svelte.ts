// What lies over the page: dialogs and the menu of a row.
import type { Item } from '../parts/Menu.svelte';

export type DialogName =
  | { kind: 'add'; text?: string; files?: File[] }
  | { kind: 'remove'; ids: string[] }
  | { kind: 'move'; ids: string[]; dir: string }
  | { kind: 'category'; ids: string[] }
  | { kind: 'rename'; id: string; name: string }
  | { kind: 'columns' }
  | { kind: 'filters' }
  | { kind: 'help' };

class UI {
  dialog = $state.raw<DialogName | null>(null);
  menu = $state.raw<{ x: number; y: number; items: Item[]; label: string } | null>(null);
}
export const ui = new UI();
