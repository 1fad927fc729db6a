// Finding things by what the user types.

import type { Container } from './bindings/Container';
import type { Image } from './bindings/Image';

/** Containers that have every typed word in their name, image, state, id or a port. */
export function findContainers(all: Container[], typed: string): Container[] {
  return all.filter(({ name, image, state, id, ports }) => {
    const numbers = ports.map((port) => `${port.public ?? ''}:${port.private}`);
    return has(typed, [name, image, state, id, ...numbers]);
  });
}

/** Images that have every typed word in a name or the id. */
export function findImages(all: Image[], typed: string): Image[] {
  return all.filter(({ names, id }) => has(typed, [...names, id]));
}

function has(typed: string, texts: string[]): boolean {
  const haystack = texts.join('\n').toLowerCase();
  return words(typed).every((word) => haystack.includes(word));
}

function words(typed: string): string[] {
  return typed.toLowerCase().split(/\s+/).filter((word) => word !== '');
}

/** A text cut where `typed` occurs: odd pieces are the finds. An empty search finds nothing. */
export function pieces(text: string, typed: string): string[] {
  if (typed === '') return [text];
  const found: string[] = [];
  const lower = text.toLowerCase();
  // A letter whose lower case is longer would shift the cuts: then only the exact case is found.
  const [where, what] = lower.length === text.length ? [lower, typed.toLowerCase()] : [text, typed];
  let from = 0;
  for (let at = where.indexOf(what); at >= 0; at = where.indexOf(what, from)) {
    found.push(text.slice(from, at), text.slice(at, at + what.length));
    from = at + what.length;
  }
  found.push(text.slice(from));
  return found;
}
