import { expect, test } from 'vitest';

import { takenPort, wordsFor } from './failures';

test('the taken port is found in Docker’s sentences', () => {
  expect(takenPort('Bind for 0.0.0.0:8080 failed: port is already allocated')).toBe(8080);
  expect(takenPort('listen tcp4 0.0.0.0:80: bind: address already in use')).toBe(80);
  expect(takenPort('listen tcp6 [::]:443: bind: address already in use')).toBe(443);
  expect(takenPort('something else')).toBeNull();
});

test('a taken port is named in the title', () => {
  const words = wordsFor({ code: 'port_taken', message: 'Bind for :::81 failed: port is already allocated' }, { subject: 'web' });
  expect(words.title).toBe('Port 81 is already in use');
  expect(words.text).toContain('“web”');
});

test('a missing image comes with the command that pulls it', () => {
  const words = wordsFor({ code: 'image_missing', message: 'No such image: nginx' }, { subject: 'web', image: 'nginx' });
  expect(words.command).toBe('docker pull nginx');
});
