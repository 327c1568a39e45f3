import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';
import { sources } from './sources.ts';

// Where the API is while developing: `SHOAL_URL=http://127.0.0.1:7462 npm run dev`.
const node = process.env.SHOAL_URL ?? 'http://127.0.0.1:7462';

export default defineConfig({
  base: './', // the UI works below any path
  plugins: [svelte(), sources()],
  build: {
    outDir: process.env.OUT ?? '../internal/webui/dist', // from there Go embeds it
    emptyOutDir: true,
    target: ['chrome123', 'firefox128', 'safari17.5'],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // Few files, so that each compresses well: what the first view needs, the dialogs, the pages of settings.
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: [
            { name: 'base', test: /node_modules[\\/](svelte|esm-env|clsx)[\\/]|src[\\/]lib[\\/]|locales[\\/]en|parts[\\/](Icon|Dialog|Dialogs|Menu|Meter|Empty|Lazy|StateBadge|state|Toasts)\./, priority: 3 },
            { name: 'dialogs', test: /parts[\\/](\w+Dialog|TagInput|Folder\w+)\.svelte/, priority: 2 },
            { name: 'admin', test: /(views[\\/](Settings|Users|Doctor|More)|parts[\\/](Setting|Document|Groups|Preferences|documents))/, priority: 1 },
          ],
        },
      },
    },
    reportCompressedSize: false,
  },
  server: { host: '127.0.0.1', proxy: { '/api': node, '/stream': node } },
});
