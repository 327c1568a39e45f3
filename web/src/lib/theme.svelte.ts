import { prefs } from './prefs.svelte';

const system = matchMedia('(prefers-color-scheme: dark)');

class Theme {
  #system = $state(system.matches);
  constructor() {
    system.addEventListener('change', () => (this.#system = system.matches));
  }
  get dark(): boolean {
    return prefs.theme === 'auto' ? this.#system : prefs.theme === 'dark';
  }
}
export const theme = new Theme();

export function applyTheme(): void {
  $effect(() => {
    if (prefs.theme === 'auto') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = prefs.theme;
  });
}

const narrow = matchMedia('(max-width: 699px)');
class Screen {
  phone = $state(narrow.matches);
  constructor() {
    narrow.addEventListener('change', () => (this.phone = narrow.matches));
  }
}
export const screen = new Screen();
