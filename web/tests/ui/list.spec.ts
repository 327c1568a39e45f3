import { createServer } from 'node:http';
import { expect, start, test } from './world';

test('failures of single links are shown, and the others are added', async ({ ready: page }) => {
  await page.route('**/api/v1/torrents', async (r) => {
    if (r.request().method() !== 'POST') return r.continue();
    await r.fulfill({ status: 201, json: { added: [{ id: 'a'.repeat(40), name: 'good', existed: false }], failed: [{ link: 'https://example.org/bad.torrent', message: 'the server answered 404' }] } });
  });
  await page.getByRole('button', { name: 'Add torrents' }).first().click();
  await page.getByLabel('Links').fill('a'.repeat(40) + ' https://example.org/bad.torrent');
  await page.getByRole('button', { name: 'Add 2' }).click();
  await expect(page.getByRole('alert')).toContainText('the server answered 404');
  await expect(page.getByLabel('Links')).toHaveValue('https://example.org/bad.torrent');
});

test('who may only look sees no controls, a user no admin pages', async ({ page, shared, broken: _ }) => {
  await page.context().addCookies([{ name: 'session', value: 'guest', url: shared.url }]);
  await page.goto(shared.url);
  await expect(page.getByText('Seeding').first()).toBeVisible();
  await expect(page.getByRole('button', { name: /Add torrents|^Pause( |$)|^Resume/ })).toHaveCount(0);
  for (const hash of ['#/settings', '#/users', '#/log', '#/doctor', '#/share']) {
    await page.goto(shared.url + hash);
    await expect.poll(() => page.evaluate(() => location.hash)).toBe('#/');
  }
});

test('a session that has ended asks for the password again', async ({ ready: page }) => {
  await page.context().clearCookies();
  await page.getByRole('button', { name: /^Seeding/ }).first().click();
  await expect(page.getByRole('heading', { name: 'Welcome back' })).toBeVisible({ timeout: 15_000 });
});

test('below a path of a reverse proxy, and back after the node was away', async ({ page, broken: _ }) => {
  const m = await start('node', [new URL('./mock.mjs', import.meta.url).pathname, '--port', '0', '--torrents', '20']);
  const target = new URL(m.url);
  let up = true;
  const open = new Set<import('node:net').Socket>();
  const proxy = createServer(async (req, res) => {
    const { request } = await import('node:http');
    if (!up || !req.url!.startsWith('/deep/shoal/')) return void res.writeHead(up ? 404 : 502).end();
    const r = request({ host: target.hostname, port: target.port, path: req.url!.slice('/deep/shoal'.length), method: req.method, headers: req.headers }, (a) => {
      res.writeHead(a.statusCode!, a.headers);
      a.pipe(res);
    });
    r.on('error', () => res.destroy());
    req.pipe(r);
  });
  proxy.on('connection', (s) => open.add(s));
  await new Promise<void>((ok) => proxy.listen(0, '127.0.0.1', ok));
  const url = `http://127.0.0.1:${(proxy.address() as import('node:net').AddressInfo).port}/deep/shoal/`;
  await page.context().addCookies([{ name: 'session', value: 'ada', url }]);
  await page.goto(url);
  await expect(page.getByText('Seeding').first()).toBeVisible();
  up = false;
  open.forEach((s) => s.destroy());
  await expect(page.getByRole('alert')).toContainText('connection to shoal was lost', { timeout: 15_000 });
  up = true;
  await page.getByRole('button', { name: 'Try again' }).click();
  await expect(page.getByRole('alert')).toHaveCount(0);
  proxy.close();
  m.stop();
});
