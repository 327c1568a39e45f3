/** Runs work at once and then every so many ms while the page is in view, until the component goes. */
export function poll(work: (signal: AbortSignal) => Promise<unknown>, ms: () => number): void {
  $effect(() => {
    const wait = ms(), c = new AbortController();
    let timer = 0;
    const run = async () => {
      if (!document.hidden) await work(c.signal).catch(() => {});
      if (!c.signal.aborted) timer = window.setTimeout(run, wait);
    };
    void run();
    return () => {
      c.abort();
      clearTimeout(timer);
    };
  });
}
