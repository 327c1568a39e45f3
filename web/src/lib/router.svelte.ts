// Routes live after the #, so that the UI works below any path and needs nothing of the server.

export interface Route {
  parts: string[];
  query: URLSearchParams;
}

export function parse(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#?\/?/, '').split(/\?(.*)/s);
  return { parts: path.split('/').filter(Boolean).map(decode), query: new URLSearchParams(query) };
}

function decode(s: string): string {
  try {
    return decodeURIComponent(s);
  } catch {
    return s;
  }
}

class Router {
  current = $state.raw<Route>(parse(location.hash));
  constructor() {
    addEventListener('hashchange', () => (this.current = parse(location.hash)));
  }
  get page(): string {
    return this.current.parts[0] ?? '';
  }
}
export const router = new Router();

export function go(path: string, replace = false): void {
  const hash = '#/' + path.replace(/^\//, '');
  if (replace) {
    history.replaceState(null, '', hash);
    router.current = parse(hash);
  } else location.hash = hash;
}
