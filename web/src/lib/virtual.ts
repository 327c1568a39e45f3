// Which rows of a long list to draw, and which to ask the node for.

export interface Span {
  first: number; // index of a row
  end: number; // one past the last
}

/** Rows that lie at least partly in view, and extra ones on either side. */
export function visible(scroll: number, height: number, row: number, total: number, extra = 0): Span {
  if (total <= 0 || row <= 0) return { first: 0, end: 0 };
  const top = Math.min(Math.max(0, scroll), Math.max(0, total * row - height));
  const first = Math.max(0, Math.floor(top / row) - extra);
  const end = Math.min(total, Math.ceil((top + height) / row) + extra);
  return { first, end: Math.max(first, end) };
}

/**
 * The window to subscribe to: what is in view and half a view on either side. It begins at a multiple of step, so that small
 * movements ask for nothing new.
 */
export function subscription(view: Span, step = 20, most = 200): Span {
  const seen = view.end - view.first;
  const margin = Math.ceil(seen / 2);
  const first = Math.max(0, Math.floor((view.first - margin) / step) * step);
  const end = Math.ceil((view.end + margin) / step) * step;
  return { first, end: Math.min(Math.max(end, first + step), first + Math.max(most, seen)) };
}

export const covers = (s: Span, view: Span): boolean => s.first <= view.first && s.end >= view.end;

/** The scroll position that brings a row into view with the least movement. */
export function reveal(index: number, scroll: number, height: number, row: number): number {
  const top = index * row;
  if (top < scroll) return top;
  if (top + row > scroll + height) return top + row - height;
  return scroll;
}
