// The whole path of somebody who has never seen it: from the link of the log to the users' page. Against a real node: SHOAL_URL, SHOAL_FIRST_RUN,
// SHOAL_LINK (something with a WebM film in it, and with SHOAL_MP4 an MP4 one), SHOAL_SHARE (a file on the node's machine).
import { expect, isPhone, test } from './world';

const link = process.env.SHOAL_LINK ?? `magnet:?xt=urn:btih:${'0123456789'.repeat(4)}&dn=Sintel`;
const share = process.env.SHOAL_SHARE ?? '/srv/talk.mp4';

test('a newcomer sets up, adds, watches, plays, shares and looks around', async ({ page, node, broken: _ }) => {
  test.setTimeout(180_000);
  const phone = isPhone(page);
  await test.step('setup', async () => {
    await page.goto(node.firstRun || node.url);
    if (node.firstRun) {
      await page.getByLabel('Name').fill('ada');
      await page.getByLabel('Password', { exact: true }).fill('correct horse battery');
      await page.getByLabel('Password again').fill('correct horse');
      await page.getByRole('button', { name: 'Next' }).click();
      await expect(page.getByRole('alert')).toContainText('differ');
      await page.getByLabel('Password again').fill('correct horse battery');
      await page.getByRole('button', { name: 'Next' }).click();
      await expect(page.getByRole('heading', { name: 'Where should downloads go?' })).toBeVisible();
      await page.getByRole('button', { name: 'Next' }).click();
      await expect(page.getByRole('heading', { name: 'How do others reach you?' })).toBeVisible();
      await page.getByRole('button', { name: 'Next' }).click();
      await expect(page.getByRole('heading', { name: 'All set' })).toBeVisible();
      await page.getByRole('button', { name: 'Begin' }).click();
    } else {
      await page.getByLabel('Name').fill(process.env.SHOAL_USER ?? 'admin');
      await page.getByLabel('Password').fill(process.env.SHOAL_PASSWORD ?? '');
      await page.getByRole('button', { name: 'Log in' }).click();
    }
  });

  await test.step('add by pasting', async () => {
    if (node.firstRun) await expect(page.getByText('The water is calm')).toBeVisible();
    await page.evaluate((text) => {
      const data = new DataTransfer();
      data.setData('text', text);
      document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true }));
    }, 'no link, but also ' + link);
    const dialog = page.getByRole('dialog');
    await expect(dialog.getByRole('listitem')).toHaveCount(1);
    await dialog.getByRole('button', { name: 'Add', exact: true }).click();
    await expect(dialog).toHaveCount(0);
  });

  await test.step('watch it', async () => {
    const detail = page.locator('section.detail');
    await expect(detail.getByRole('progressbar').first()).toBeVisible();
    await expect(detail.getByRole('img', { name: /Map of pieces/ })).toBeVisible({ timeout: 60_000 });
    await expect(detail.locator('.note').first()).not.toBeEmpty();
    await detail.getByRole('tab', { name: 'Files' }).click();
    await expect(detail.getByRole('treeitem').first()).toBeVisible();
  });

  await test.step('play it', async () => {
    await page.locator('section.detail').getByRole('link', { name: /^Play .*\.webm/ }).first().click();
    const video = page.locator('video');
    const at = () => video.evaluate((v: HTMLVideoElement) => v.currentTime);
    await expect.poll(at, { timeout: 60_000 }).toBeGreaterThan(1);
    await page.keyboard.press('ArrowRight');
    await expect.poll(at, { timeout: 30_000 }).toBeGreaterThan(9);
    await page.keyboard.press('m');
    expect(await video.evaluate((v: HTMLVideoElement) => v.muted)).toBe(true);
    await page.keyboard.press(' ');
    expect(await video.evaluate((v: HTMLVideoElement) => v.paused)).toBe(true);
    await page.mouse.move(200, 200);
    await page.getByLabel('Speed').selectOption('1.5');
    expect(await video.evaluate((v: HTMLVideoElement) => v.playbackRate)).toBe(1.5);
    await expect(page.getByRole('slider', { name: 'Position' })).toHaveAttribute('aria-valuetext', /of 0:\d\d|of \d+:\d\d/);
    expect(await page.locator('[data-bar] .there').count()).toBeGreaterThan(0);
    await page.keyboard.press('Escape');
    await expect(page.getByRole('treeitem').first()).toBeVisible();
    if (!process.env.SHOAL_MP4) return;
    await page.locator('section.detail').getByRole('link', { name: /^Play .*\.mp4/ }).first().click();
    await expect.poll(at, { timeout: 60_000 }).toBeGreaterThan(1);
    await page.keyboard.press('Escape');
    await expect(page.getByRole('treeitem').first()).toBeVisible();
  });

  const visit = async (name: string) => {
    const main = page.getByRole('navigation', { name: 'Main menu' });
    if (phone && !(await main.getByRole('link', { name, exact: true }).count())) {
      await main.getByRole('link', { name: 'More' }).click();
      await page.getByRole('navigation', { name: 'More' }).getByRole('link', { name }).click();
    } else await main.getByRole('link', { name, exact: true }).click();
  };

  await test.step('share something', async () => {
    await visit('Share');
    await page.getByLabel(/File or folder/).fill(share);
    await page.getByRole('button', { name: 'Share', exact: true }).click();
    await expect(page.getByLabel('Magnet link')).toHaveValue(/^magnet:\?xt=urn:bt/, { timeout: 60_000 });
    await page.getByRole('button', { name: 'Show QR code' }).click();
    await expect(page.getByRole('img', { name: /^QR code/ })).toBeVisible();
  });

  await test.step('change a setting', async () => {
    await visit('Settings');
    await page.getByLabel('Search settings').fill('upload limit');
    const field = page.getByLabel('Upload limit', { exact: true }).first();
    await page.getByLabel('Unit').first().selectOption('MB/s');
    await field.fill('3');
    await field.blur();
    await page.getByRole('button', { name: 'Save', exact: true }).click();
    await expect(page.getByText('Saved').first()).toBeVisible();
    await page.reload();
    await page.getByLabel('Search settings').fill('upload limit');
    await expect(page.getByLabel('Upload limit', { exact: true }).first()).toHaveValue('3');
  });

  await test.step('look at the statistics', async () => {
    await visit(phone ? 'Stats' : 'Statistics');
    await expect(page.getByRole('img', { name: /Chart of Download/ })).toBeVisible();
    await page.getByRole('button', { name: 'Day' }).click();
    await expect(page.getByRole('button', { name: 'Day' })).toHaveAttribute('aria-pressed', 'true');
  });

  await test.step('make a user, and a token that is shown once', async () => {
    await visit('Users and tokens');
    await page.getByRole('button', { name: 'Add user' }).first().click();
    const d = page.getByRole('dialog');
    await d.getByLabel('Name').fill('grace');
    await d.getByLabel('Password').fill('another long one');
    await d.getByLabel('Role').selectOption('viewer');
    await d.getByRole('button', { name: 'Add user' }).click();
    await expect(page.getByText('grace', { exact: true })).toBeVisible();
    await page.getByRole('button', { name: 'New token' }).click();
    await d.getByLabel('What is it for?').fill('Sonarr');
    await d.getByRole('button', { name: 'Make token' }).click();
    await expect(d.getByLabel('The token')).toHaveValue(/\S{20,}/);
    await d.getByRole('button', { name: 'Done' }).click();
    await expect(page.getByText('Sonarr', { exact: true })).toBeVisible();
    await expect(page.getByLabel('The token')).toHaveCount(0);
  });

  await test.step('leave', async () => {
    if (phone) await visit('More').catch(() => page.getByRole('link', { name: 'More' }).click());
    await page.getByRole('button', { name: /Log out/ }).first().click();
    await expect(page.getByRole('heading', { name: 'Welcome back' })).toBeVisible();
  });
});
