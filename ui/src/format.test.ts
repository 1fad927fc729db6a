import { expect, test } from 'vitest';

import { age, bytes, clock, counted, duration, shortId } from './format';

test('an age grows from seconds to years', () => {
  const now = 2_000_000_000;
  const shown = [3, 42, 300, 7200, 90_000, 86_400 * 9, 86_400 * 90, 86_400 * 800].map((ago) => age(now - ago, now));
  expect(shown).toEqual(['just now', '42 s ago', '5 min ago', '2 h ago', 'yesterday', '9 days ago', '3 months ago', '2 years ago']);
});

test('a clock that is behind gives no negative age', () => {
  expect(age(100, 90)).toBe('just now');
});

test('sizes are decimal, as Docker prints them', () => {
  expect([0, 999, 1000, 4_260_000, 999_600_000, 2_500_000_000].map(bytes)).toEqual(['0 B', '999 B', '1.0 kB', '4.3 MB', '1.0 GB', '2.5 GB']);
});

test('durations change their unit', () => {
  expect([0, 12, 1234, 10_000, 60_000, 75_000].map(duration)).toEqual(['< 1 ms', '12 ms', '1.2 s', '10 s', '1 min', '1 min 15 s']);
});

test('a digest is shortened without its algorithm', () => {
  expect(shortId('sha256:0123456789abcdef0123')).toBe('0123456789ab');
});

test('one thing isn’t plural', () => {
  expect([counted(1, 'image'), counted(0, 'image')]).toEqual(['1 image', '0 images']);
});

test('what isn’t a time shows none', () => {
  expect([clock(''), clock('soon')]).toEqual(['', '']);
  expect(clock('2024-01-01T10:11:12.5Z')).toMatch(/^\d\d:\d\d:\d\d$/);
});
