import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';
import { sources } from './sources';

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
    reportCompressedSize: false,
  },
  server: { host: '127.0.0.1', proxy: { '/api': node, '/stream': node } },
});
