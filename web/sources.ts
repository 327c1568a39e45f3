import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative, resolve, sep } from 'node:path';
import type { Plugin } from 'vite';

const alone = ['index.html', 'package.json', 'package-lock.json', 'vite.config.ts', 'sources.ts', 'svelte.config.js'];

/** Writes .source beside the output: which source it was made from, and what it is. A Go test compares it (internal/webui). */
export function sources(): Plugin {
  let root = '', out = '';
  return {
    name: 'sources',
    apply: 'build',
    configResolved(c) {
      root = c.root;
      out = resolve(c.root, c.build.outDir);
    },
    closeBundle() {
      const line = (name: string, file: string) => createHash('sha256').update(readFileSync(file)).digest('hex') + '  ' + name;
      const all = (prefix: string, dir: string) =>
        readdirSync(dir, { recursive: true, withFileTypes: true })
          .filter((e) => e.isFile() && e.name !== '.source')
          .map((e) => join(e.parentPath, e.name))
          .map((f) => line(prefix + '/' + relative(dir, f).split(sep).join('/'), f));
      const lines = [...alone.map((n) => line(n, join(root, n))), ...all('src', join(root, 'src')), ...all('public', join(root, 'public')), ...all('dist', out)];
      writeFileSync(join(out, '.source'), lines.sort((a, b) => (a.slice(64) < b.slice(64) ? -1 : 1)).join('\n') + '\n');
    },
  };
}
