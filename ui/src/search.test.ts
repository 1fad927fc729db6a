import { expect, test } from 'vitest';

import type { Container } from './bindings/Container';
import { findContainers, pieces } from './search';

function container(name: string, image: string, port: number | null): Container {
  const ports = port === null ? [] : [{ public: port, private: 80, transport: 'tcp' }];
  return { id: `${name}-id`, name, image, command: 'sh', state: 'running', exit_code: null, created: 0, ports };
}

const all = [container('web', 'nginx:1.27', 8080), container('queue', 'redis', null), container('web-old', 'nginx:1.25', null)];
const names = (typed: string): string[] => findContainers(all, typed).map(({ name }) => name);

test('every word must be found, anywhere', () => {
  expect(names('nginx 1.25')).toEqual(['web-old']);
  expect(names('8080')).toEqual(['web']);
  expect(names('REDIS')).toEqual(['queue']);
});

test('an empty search finds everything', () => {
  expect(names('  ')).toHaveLength(3);
});

test('finds are the odd pieces, in the text’s own case', () => {
  expect(pieces('GET /a get', 'get')).toEqual(['', 'GET', ' /a ', 'get', '']);
  expect(pieces('abc', '')).toEqual(['abc']);
  expect(pieces('abc', 'x')).toEqual(['abc']);
});

test('a letter that grows in lower case doesn’t shift the finds', () => {
  expect(pieces('İx', 'x')).toEqual(['İ', 'x', '']);
});
