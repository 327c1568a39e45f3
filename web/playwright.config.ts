import { defineConfig } from '@playwright/test';

const chromium = {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required'],
};
const desktop = { viewport: { width: 1440, height: 900 } };
const phone = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true };

export default defineConfig({
  testDir: 'tests',
  fullyParallel: false,
  workers: 1,
  forbidOnly: true,
  timeout: 120_000,
  reporter: [['list']],
  use: { browserName: 'chromium', launchOptions: chromium, locale: 'en-GB', trace: 'off' },
  projects: [
    { name: 'unit', testMatch: 'unit/*.spec.ts' },
    ...(process.env.SHOTS ? [{ name: 'screenshots', testMatch: 'shots/*.ts' }] : []),
    { name: 'desktop', testMatch: ['ui/*.spec.ts', 'desk/*.spec.ts'], use: desktop },
    { name: 'phone', testMatch: ['ui/*.spec.ts', 'phone/*.spec.ts'], use: phone },
  ],
});
