// Every view in both themes: what axe finds, and that nothing is cut off or untranslated.
import { accessible, expect, isPhone, test } from './world';

const views: [string, string, RegExp][] = [
  ['list', '#/', /Seeding/],
  ['share', '#/share', /Make something of your own/],
  ['statistics', '#/stats', /Ratio of all times/],
  ['doctor', '#/doctor', /What to do/],
  ['log', '#/log', /announced|listening|connected|slow|failed/],
  ['settings', '#/settings', /Where downloads go/],
  ['settings: seed rules', '#/settings/rules', /None yet/],
  ['settings: categories', '#/settings/categories', /linux/],
  ['settings: feeds', '#/settings/feeds', /RSS/],
  ['settings: this browser', '#/settings/browser', /Colours/],
  ['users', '#/users', /ada/],
  ['more', '#/more', /Colours/],
];

for (const theme of ['light', 'dark'] as const)
  test.describe(theme, () => {
    test.use({ colorScheme: theme });

    for (const [name, hash, text] of views)
      test(`${name} is accessible`, async ({ ready }) => {
        await ready.goto(new URL(hash, ready.url()).href);
        await expect(ready.getByText(text).first()).toBeVisible();
        await accessible(ready, name);
        const wide = await ready.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        expect(wide, 'wider than the screen').toBeLessThanOrEqual(0);
      });

    test('login and setup are accessible', async ({ page, shared, broken: _ }) => {
      await page.goto(shared.url);
      await expect(page.getByLabel('Password')).toBeVisible();
      await accessible(page, 'login');
      await page.goto(shared.url + '#/setup?code=x');
      await expect(page.getByLabel('Password again')).toBeVisible();
      await accessible(page, 'setup');
    });

    test('details are accessible', async ({ ready }) => {
      const id = await ready.evaluate(async () => ((await (await fetch('api/v1/torrents?state=downloading')).json()) as { torrents: { id: string; peers: number }[] }).torrents.find((x) => x.peers > 3)!.id);
      for (const tab of ['overview', 'files', 'peers', 'trackers', 'options', 'log']) {
        await ready.goto(new URL(`#/t/${id}/${tab}`, ready.url()).href);
        await expect(ready.getByRole('tab', { selected: true })).toHaveId('tab-' + tab);
        await expect(ready.getByRole('tabpanel')).not.toBeEmpty();
        if (tab === 'peers') await ready.locator('section.detail li button').first().click();
        await accessible(ready, tab, 'section.detail'); // the list beside it is looked at above
      }
    });

    test('dialogs and menus are accessible', async ({ ready }) => {
      const phone = isPhone(ready);
      await ready.getByRole('button', { name: 'Add torrents' }).first().click();
      await ready.getByLabel('Links').fill('magnet:?xt=urn:btih:' + 'a'.repeat(40));
      await ready.getByRole('button', { name: 'More choices' }).click();
      await accessible(ready, 'add');
      await ready.getByRole('button', { name: 'Browse folders' }).click();
      await expect(ready.getByRole('button', { name: '/srv' })).toBeVisible();
      await accessible(ready, 'folders');
      await ready.keyboard.press('Escape');
      await ready.keyboard.press('Escape');
      await expect(ready.getByRole('dialog')).toHaveCount(0);
      if (phone) {
        await ready.getByRole('button', { name: 'Filters' }).click();
        await accessible(ready, 'filters');
        await ready.keyboard.press('Escape');
        await ready.getByRole('button', { name: /^More for/ }).first().click();
      } else await ready.getByRole('row').nth(2).click({ button: 'right' });
      await accessible(ready, 'menu');
      await ready.getByRole('menuitem', { name: 'Remove' }).click();
      await ready.getByLabel(/Delete the downloaded files/).check();
      await expect(ready.getByRole('alert')).toContainText('cannot be undone');
      await accessible(ready, 'remove');
      await ready.keyboard.press('Escape');
      if (!phone) {
        await ready.keyboard.press('?');
        await expect(ready.getByRole('dialog')).toBeVisible();
        await accessible(ready, 'help');
        await ready.keyboard.press('Escape');
        await ready.getByRole('button', { name: 'View' }).click();
        await ready.getByRole('menuitem', { name: 'Columns' }).click();
        await expect(ready.getByRole('dialog')).toBeVisible();
        await accessible(ready, 'columns');
      }
    });

    test('the player is accessible', async ({ ready }) => {
      const id = await ready.evaluate(async () => ((await (await fetch('api/v1/torrents?state=downloading')).json()) as { torrents: { id: string }[] }).torrents[0]!.id);
      await ready.goto(new URL(`#/play/${id}/0`, ready.url()).href);
      await expect.poll(() => ready.locator('video').evaluate((v: HTMLVideoElement) => v.readyState)).toBeGreaterThan(1);
      await accessible(ready, 'player');
    });
  });

for (const [locale, word] of [['de-DE', 'Einstellungen'], ['es-ES', 'Ajustes']] as const)
  test.describe(locale, () => {
    test.use({ locale });
    test('speaks the browser’s language, and another if told', async ({ page, shared, broken: _ }) => {
      await page.context().addCookies([{ name: 'session', value: 'ada', url: shared.url }]);
      await page.goto(shared.url + '#/settings');
      await expect(page.getByRole('heading', { name: word, level: 1 })).toBeVisible();
      expect(await page.evaluate(() => document.documentElement.lang)).toBe(locale.slice(0, 2));
      await page.goto(shared.url + '#/settings/browser');
      await page.locator('select').last().selectOption('en');
      await expect(page.getByRole('heading', { name: 'Settings', level: 1 })).toBeVisible();
      await page.reload();
      await expect(page.getByRole('heading', { name: 'Settings', level: 1 })).toBeVisible();
    });
  });
