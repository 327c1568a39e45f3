// The world of a test: a node, and a page that fails the test when it breaks the rules of the house.
import AxeBuilder from '@axe-core/playwright';
import { test as base, expect, type Page } from '@playwright/test';
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';

export { expect };

export interface Node {
  url: string; // ends with a slash
  firstRun: string; // link that makes the first admin; empty if there is one
}

/** Starts a program and waits for the line that names its URL. */
export async function start(command: string, args: string[], options: { cwd?: string; pattern?: RegExp; env?: Record<string, string> } = {}): Promise<{ url: string; stop: () => void }> {
  const child: ChildProcess = spawn(command, args, { cwd: options.cwd, stdio: ['ignore', 'pipe', 'inherit'], detached: true, env: { ...process.env, ...options.env } });
  const stop = () => {
    try {
      process.kill(-child.pid!, 'SIGTERM');
    } catch {
      // it has ended by itself
    }
  };
  const url = await new Promise<string>((resolve, reject) => {
    const lines = createInterface({ input: child.stdout! });
    lines.on('line', (l) => {
      const m = (options.pattern ?? /(http:\/\/\S+)/).exec(l);
      if (m) resolve(m[1]!);
    });
    child.on('exit', (code) => reject(new Error(`${command} ended with ${code} before it served`)));
    child.on('error', reject);
  });
  return { url, stop };
}

const mock = (...args: string[]) => start('node', [new URL('./mock.mjs', import.meta.url).pathname, '--port', '0', ...args]);

/** Things that must not happen on a page; each becomes a failure. */
async function guard(page: Page, origin: string, broken: string[]): Promise<void> {
  page.on('pageerror', (e) => broken.push('script error: ' + e.message));
  page.on('console', (m) => {
    if (m.type() === 'error' && /Content Security Policy|violates/i.test(m.text())) broken.push('policy: ' + m.text());
  });
  page.on('request', (r) => {
    const u = r.url();
    if (!u.startsWith(origin) && !/^(data|blob|about):/.test(u)) broken.push('request elsewhere: ' + u);
  });
  await page.addInitScript(() => {
    addEventListener('securitypolicyviolation', (e) => console.error(`Content Security Policy: ${e.violatedDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber} ${e.sample}`));
  });
}

export const test = base.extend<{ node: Node; broken: string[]; ready: Page }, { shared: { url: string } }>({
  // One pretended node for tests that change little.
  shared: [
    async ({}, use) => {
      const m = await mock('--torrents', '300');
      await use({ url: m.url });
      m.stop();
    },
    { scope: 'worker' },
  ],
  // What the newcomer meets: SHOAL_URL and SHOAL_FIRST_RUN name a real node, else a pretended one.
  node: async ({}, use) => {
    if (process.env.SHOAL_URL) {
      await use({ url: process.env.SHOAL_URL.replace(/\/?$/, '/'), firstRun: process.env.SHOAL_FIRST_RUN ?? '' });
      return;
    }
    const m = await mock('--torrents', '0', '--setup');
    const u = new URL(m.url);
    await use({ url: u.origin + '/', firstRun: m.url });
    m.stop();
  },
  broken: async ({ page, shared }, use) => {
    const broken: string[] = [], origin = new URL(process.env.SHOAL_URL ?? shared.url).origin;
    await guard(page, process.env.SHOAL_URL ? origin : 'http://127.0.0.1:', broken);
    await use(broken);
    expect(broken).toEqual([]);
  },
  // A page of the pretended node, logged in as admin.
  ready: async ({ page, shared, broken: _ }, use) => {
    await page.context().addCookies([{ name: 'session', value: 'ada', url: shared.url }]);
    await page.goto(shared.url);
    await expect(page.getByText('Seeding').first()).toBeVisible();
    await use(page);
  },
});

export const isPhone = (page: Page) => (page.viewportSize()?.width ?? 1000) < 700;

/** Nothing that axe finds, on the page or within one part of it. */
export async function accessible(page: Page, name: string, within?: string): Promise<void> {
  await page.evaluate(async () => {
    for (let i = 0; i < 3; i++) { // what appears begins to move a frame later
      await new Promise(requestAnimationFrame);
      await Promise.all(document.getAnimations().map((a) => a.finished.catch(() => {})));
    }
  });
  const axe = new AxeBuilder({ page });
  if (within) axe.include(within);
  const r = await axe.withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']).analyze();
  expect(r.violations.map((v) => `${name}: ${v.id}: ${v.help} ${v.nodes.slice(0, 3).map((n) => `${n.target.join(' ')} ${n.failureSummary?.split('\n').slice(1, 3).join(' ')}`).join(' | ')}`)).toEqual([]);
}
