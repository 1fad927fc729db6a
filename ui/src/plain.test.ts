import { expect, test } from 'vitest';

import { plain } from './plain';

test('colours and titles are taken off', () => {
  expect(plain('\u001b[1;32mok\u001b[0m \u001b]0;title\u0007done')).toBe('ok done');
});

test('a progress line shows its last state', () => {
  expect(plain('10%\r50%\r100%')).toBe('100%');
});

test('a tab stays', () => {
  expect(plain('a\tb')).toBe('a\tb');
});
