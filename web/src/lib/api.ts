// Calls of the API below the page's own folder, wherever a reverse proxy has put it.

import type { paths } from './openapi';

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

async function json(method: string, path: string, o: Options = {}): Promise<unknown> {
  const answer = await send(method, path, o);
  const text = await answer.text();
  return text ? JSON.parse(text) : undefined;
}

// A call's path is matched with the paths of the API at compile time, and so its body and its answer have their types: `torrents/${id}/files` is
// GET /torrents/{id}/files.
type Filled<S extends string> = S extends `${infer A}{${string}}${infer B}` ? `${A}${string}${Filled<B>}` : S;
type Pattern<K> = K extends `/${infer S}` ? Filled<S> : never;
type Operation<P extends string, M extends string> = P extends unknown
  ? { [K in keyof paths]: Pattern<K> extends P ? (P extends Pattern<K> ? (paths[K] extends { [m in M]: infer O } ? O : never) : never) : never }[keyof paths]
  : never;
type Content<R> = R extends { content: { 'application/json': infer T } } ? T : never;
type Answer<O> = O extends { responses: infer R } ? (R extends { 200: infer A } | { 201: infer A } | { 202: infer A } ? Content<A> : void) : never;
type Body<O> = O extends { requestBody: { content: { 'application/json': infer B } } } ? B : undefined;
type Paths<M extends string> = { [K in keyof paths]: paths[K] extends { [m in M]: object } ? Pattern<K> : never }[keyof paths];

export const get = <P extends Paths<'get'>>(path: P, params?: Params, signal?: AbortSignal) =>
  json('GET', path, { params, signal }) as Promise<Answer<Operation<P, 'get'>>>;
/** As get, for what may be asked without a session: a 401 does not end one. */
export const ask = <P extends Paths<'get'>>(path: P) => json('GET', path, { quiet: true }) as Promise<Answer<Operation<P, 'get'>>>;
export const post = <P extends Paths<'post'>>(path: P, body?: Body<Operation<P, 'post'>>, quiet = false) =>
  json('POST', path, { body, quiet }) as Promise<Answer<Operation<P, 'post'>>>;
export const patch = <P extends Paths<'patch'>>(path: P, body: Body<Operation<P, 'patch'>>) =>
  json('PATCH', path, { body }) as Promise<Answer<Operation<P, 'patch'>>>;
export const put = <P extends Paths<'put'>>(path: P, body?: Body<Operation<P, 'put'>>) => json('PUT', path, { body }) as Promise<void>;
export const del = <P extends Paths<'delete'>>(path: P, params?: Params) => json('DELETE', path, { params }) as Promise<void>;
