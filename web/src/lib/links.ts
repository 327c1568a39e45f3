// Finds what can be added in a text that somebody pasted or dropped.

export interface Link {
  text: string;
  name: string; // to show until the node knows better
  kind: 'magnet' | 'hash' | 'url';
}

/** Every magnet link, infohash and web address in text, each once, in order; at most 500. */
export function links(text: string): Link[] {
  const found = new Map<string, Link>();
  for (const word of text.split(/[\s<>"'`]+/)) {
    if (found.size >= 500) break;
    const l = link(word.replace(/^[([{]+|[)\]},.;]+$/g, ''));
    if (l && !found.has(l.text)) found.set(l.text, l);
  }
  return [...found.values()];
}

export function link(word: string): Link | undefined {
  if (/^magnet:\?/i.test(word)) {
    if (!/[?&]x[ts](\.\d+)?=/i.test(word)) return undefined;
    return { text: word, name: nameOf(word), kind: 'magnet' };
  }
  if (/^([0-9a-f]{40}|[0-9a-f]{64}|[a-z2-7]{32})$/i.test(word)) return { text: word, name: word, kind: 'hash' };
  if (/^https?:\/\/[^/]+\S*$/i.test(word)) {
    try {
      const u = new URL(word);
      const last = decodeURIComponent(u.pathname.split('/').pop() ?? '');
      return { text: word, name: last || u.host, kind: 'url' };
    } catch {
      return undefined;
    }
  }
  return undefined;
}

function nameOf(magnet: string): string {
  const q = new URLSearchParams(magnet.slice(magnet.indexOf('?') + 1));
  const dn = q.get('dn');
  if (dn) return dn.slice(0, 300);
  const x = q.get('xt') ?? q.get('xt.1') ?? q.get('xs') ?? magnet;
  return x.replace(/^urn:bt(ih|mh|pk):/, '').slice(0, 64);
}
