import { createServer } from 'node:http';
import { expect, isPhone, start, test } from './world';

test.describe('on a desk', () => {
  test.beforeEach(({ page }) => test.skip(isPhone(page), 'the table is for wide screens; phones have cards'));

  test('the keyboard moves, extends, opens and goes back', async ({ ready: page }) => {
    const grid = page.getByRole('grid');
    await grid.focus();
    await page.keyboard.press('ArrowDown');
    await expect(page.getByRole('row', { selected: true })).toHaveCount(1);
    await expect(grid).toHaveAttribute('aria-activedescendant', 'row-0');
    await page.keyboard.press('Shift+ArrowDown');
    await page.keyboard.press('Shift+ArrowDown');
    await expect(page.getByRole('toolbar', { name: '3 selected' })).toBeVisible();
    await page.keyboard.press('End');
    await expect(grid).toHaveAttribute('aria-activedescendant', 'row-299');
    await expect(page.locator('#row-299')).toBeInViewport();
    await page.keyboard.press('Home');
    await page.keyboard.press('Enter');
    await expect(page.locator('section.detail h1')).toBeVisible();
    await page.keyboard.press('Escape');
    await expect(page.locator('section.detail')).toHaveCount(0);
    await page.keyboard.press('Control+a');
    await expect(page.getByRole('toolbar', { name: '300 selected' })).toBeVisible();
    await page.keyboard.press('Shift+F10');
    await expect(page.getByRole('menu', { name: '300 selected' })).toBeVisible();
    await expect(page.getByRole('menuitem').first()).toBeFocused();
    await page.keyboard.press('Escape');
    await expect(grid).toBeFocused();
  });

  test('a range beyond what is loaded is selected whole', async ({ ready: page }) => {
    await page.getByRole('row').nth(1).click();
    await page.getByRole('grid').evaluate((n) => (n.scrollTop = 200 * 50));
    await expect(page.locator('#row-205 .name')).toBeVisible();
    await page.locator('#row-205').click({ modifiers: ['Shift'] });
    await expect(page.getByRole('toolbar', { name: '206 selected' })).toBeVisible();
    await page.locator('#row-206').click({ modifiers: ['Control'] });
    await expect(page.getByRole('toolbar', { name: '207 selected' })).toBeVisible();
  });

  test('sorts, filters, searches; columns are remembered', async ({ ready: page }) => {
    await page.getByRole('columnheader', { name: 'Size' }).getByRole('button').click();
    await expect(page.getByRole('columnheader', { name: 'Size' })).toHaveAttribute('aria-sort', 'descending');
    const sizes = () => page.locator('[role=row] [aria-colindex="2"][role=gridcell]').allTextContents();
    await expect.poll(async () => (await sizes())[0]).toMatch(/GiB/);
    await page.getByRole('button', { name: /^Failed/ }).click();
    await expect.poll(() => page.getByRole('grid').getAttribute('aria-rowcount').then(Number)).toBeLessThan(60);
    await expect(page.locator('[role=row] .sub').first()).toContainText('disk is full');
    await page.getByRole('button', { name: /^All/ }).click();
    await page.keyboard.press('/');
    await page.keyboard.type('sintel');
    await expect(page.getByText(/^\d+ torrents$/)).toBeVisible();
    await page.keyboard.press('Escape');
    await page.getByRole('columnheader', { name: 'Ratio' }).getByRole('button').click({ button: 'right' });
    await page.getByRole('dialog').getByLabel('Ratio').uncheck();
    await page.getByRole('dialog').getByLabel('Tracker').check();
    await page.getByRole('button', { name: 'Done' }).click();
    await page.reload();
    await expect(page.getByRole('columnheader', { name: 'Tracker' })).toBeVisible();
    await expect(page.getByRole('columnheader', { name: 'Ratio' })).toHaveCount(0);
    await expect(page.getByRole('columnheader', { name: 'Size' })).toHaveAttribute('aria-sort', 'descending');
  });

  test('a .torrent file is dropped anywhere, and another file is refused with words', async ({ ready: page }) => {
    await page.evaluate(() => {
      const data = new DataTransfer();
      data.items.add(new File(['d4:infod4:name1:xee'], 'x.torrent'));
      document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
    });
    await expect(page.getByRole('dialog').getByText('x.torrent')).toBeVisible();
    await page.getByRole('dialog').getByRole('button', { name: 'Add', exact: true }).click();
    await expect(page.getByText(/^Added:/)).toBeVisible();
  });
});

test('on a phone: cards, long press selects, a tap opens', async ({ ready: page }) => {
  test.skip(!isPhone(page), 'wide screens have the table');
  const card = page.getByRole('listitem').first();
  await card.locator('.main').dispatchEvent('pointerdown');
  await page.waitForTimeout(500); // a long press is a matter of time
  await card.locator('.main').dispatchEvent('click');
  await expect(page.getByRole('toolbar', { name: '1 selected' })).toBeVisible();
  await page.getByRole('button', { name: 'Clear selection' }).click();
  await card.locator('.main').tap();
  await expect(page.getByRole('tablist')).toBeVisible();
  for (const b of await page.locator('.acts .btn, [role=tab]').all()) expect((await b.boundingBox())!.height).toBeGreaterThanOrEqual(44);
  await page.getByRole('button', { name: 'Back to the list' }).click();
  await expect(card).toBeVisible();
});

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
  await expect(page.getByRole('button', { name: /Add torrents|^Pause|^Resume/ })).toHaveCount(0);
  for (const hash of ['#/settings', '#/users', '#/log', '#/doctor', '#/share']) {
    await page.goto(shared.url + hash);
    await expect.poll(() => page.evaluate(() => location.hash)).toBe('#/');
  }
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
