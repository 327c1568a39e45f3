// Pictures for the documentation, of the pretended node: npm run screenshots.
import { mkdirSync } from 'node:fs';
import { expect, test } from '../ui/world';

const dir = new URL('../../../docs/screenshots/', import.meta.url).pathname;
mkdirSync(dir, { recursive: true });

for (const theme of ['light', 'dark'] as const)
  for (const kind of ['desktop', 'phone'] as const)
    test.describe(`${theme} ${kind}`, () => {
      test.use({ colorScheme: theme, viewport: kind === 'phone' ? { width: 390, height: 844 } : { width: 1200, height: 750 }, deviceScaleFactor: 1, hasTouch: kind === 'phone', locale: 'en' });
      test('pictures', async ({ ready: page }) => {
        const shot = async (name: string) => {
          await page.waitForTimeout(1200); // charts and lines have some points
          await page.screenshot({ path: `${dir}${kind}-${name}-${theme}.png` });
        };
        await page.getByText('Seeding').first().waitFor();
        await page.waitForTimeout(8000);
        await shot('list');
        const id = await page.evaluate(async () => ((await (await fetch('api/v1/torrents?state=downloading&sort=progress&desc=true')).json()) as { torrents: { id: string; peers: number; name: string; progress: number }[] }).torrents.find((x) => x.peers > 3 && x.progress < 0.8 && /Sintel|Bunny|Steel|Cosmos/.test(x.name))!.id);
        await page.goto(new URL(`#/t/${id}`, page.url()).href);
        await expect(page.getByRole('img', { name: /Map of pieces/ })).toBeVisible();
        await shot('detail');
        await page.goto(new URL('#/stats', page.url()).href);
        await shot('statistics');
        if (theme === 'light') return; // the player and its surroundings are dark in both
        await page.goto(new URL(`#/play/${id}/0`, page.url()).href);
        await expect.poll(() => page.locator('video').evaluate((v: HTMLVideoElement) => v.currentTime)).toBeGreaterThan(2);
        await page.mouse.move(300, 300);
        await shot('player');
      });
    });
