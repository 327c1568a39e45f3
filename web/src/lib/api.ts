// Calls of the API below the page's own folder, wherever a reverse proxy has put it.

export const base = new URL('.', document.baseURI).href;
export const root = new URL('api/v1/', base).href;

/** What went wrong, in words for people. Status 0: the node did not answer. */
export class Problem extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

export type Params = Record<string, string | number | boolean | undefined | string[]>;

export function address(path: string, params: Params = {}): string {
  const url = new URL(path.replace(/^\//, ''), root);
  for (const [k, v] of Object.entries(params)) {
    if (v === undefined || v === false) continue;
    for (const one of Array.isArray(v) ? v : [v]) url.searchParams.append(k, String(one));
  }
  return url.href;
}

const onUnauthorized = new Set<() => void>();
export function whenLoggedOut(f: () => void): void {
  onUnauthorized.add(f);
}

interface Options {
  params?: Params;
  body?: unknown;
  signal?: AbortSignal;
  quiet?: boolean; // a 401 is an answer here, not the end of the session
}

async function send(method: string, path: string, o: Options): Promise<Response> {
  const headers: Record<string, string> = { Accept: 'application/json' };
  let body: BodyInit | undefined;
  if (o.body instanceof FormData) body = o.body;
  else if (o.body !== undefined) {
    headers['Content-Type'] = 'application/json';
    body = JSON.stringify(o.body);
  }
  let answer: Response;
  try {
    answer = await fetch(address(path, o.params), { method, headers, body, signal: o.signal ?? null, credentials: 'same-origin', cache: 'no-store' });
  } catch (e) {
    if (e instanceof DOMException && e.name === 'AbortError') throw e;
    throw new Problem(0, '');
  }
  if (answer.ok) return answer;
  if (answer.status === 401 && !o.quiet) onUnauthorized.forEach((f) => f());
  throw new Problem(answer.status, await words(answer));
}

/** The text of an RFC 9457 problem document. */
async function words(answer: Response): Promise<string> {
  try {
    const p = (await answer.json()) as { title?: string; detail?: string; errors?: { message?: string; location?: string }[] };
    const first = p.errors?.find((e) => e.message)?.message;
    return [p.detail ?? p.title, first].filter((x, i, a) => x && a.indexOf(x) === i).join(': ');
  } catch {
    return answer.statusText;
  }
}

async function json<T>(method: string, path: string, o: Options = {}): Promise<T> {
  const answer = await send(method, path, o);
  const text = await answer.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

export const get = <T>(path: string, params?: Params, signal?: AbortSignal) => json<T>('GET', path, { params, signal });
export const ask = <T>(path: string) => json<T>('GET', path, { quiet: true });
export const post = <T>(path: string, body?: unknown, quiet = false) => json<T>('POST', path, { body: body ?? {}, quiet });
export const patch = <T>(path: string, body: unknown) => json<T>('PATCH', path, { body });
export const put = <T>(path: string, body?: unknown) => json<T>('PUT', path, { body: body ?? {} });
export const del = <T>(path: string, params?: Params) => json<T>('DELETE', path, { params });
export async function bytes(path: string, signal?: AbortSignal): Promise<Uint8Array> {
  return new Uint8Array(await (await send('GET', path, { signal })).arrayBuffer());
}
