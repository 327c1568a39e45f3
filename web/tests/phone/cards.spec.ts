import { expect, test } from '../ui/world';

test('cards: a long press selects, a tap opens', async ({ ready: page }) => {
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
