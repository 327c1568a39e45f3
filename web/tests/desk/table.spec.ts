import { expect, test } from '../ui/world';

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
  await page.getByRole('checkbox', { name: 'Ratio' }).uncheck();
  await page.getByRole('checkbox', { name: 'Tracker' }).check();
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
