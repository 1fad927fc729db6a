import { expect, test } from 'vitest';

import type { Daemon } from './bindings/Daemon';
import type { Machine } from './bindings/Machine';
import { situation, summary } from './situation';

const machine = (state: Machine['state'], problem: Machine['problem'] = null): Daemon => ({
  presence: 'present',
  machine: { state, kind: null, problem, phases: [], docker_socket: '', ports: [] },
});
const down = { state: 'down', failure: { code: 'engine_down', message: 'refused' } } as const;
const waiting = { state: 'waiting' } as const;

test('an engine that answers is enough', () => {
  expect(situation({ daemon: { presence: 'absent' }, engine: { state: 'up', version: '1' } }).is).toBe('up');
});

test('nothing is said before anybody was asked', () => {
  expect(situation({ daemon: { presence: 'unknown' }, engine: waiting }).is).toBe('looking');
});

test('no daemon and no engine: Berth isn’t running', () => {
  expect(situation({ daemon: { presence: 'absent' }, engine: waiting }).is).toBe('absent');
});

test('a machine on its way shows its phases', () => {
  expect(situation({ daemon: machine('starting'), engine: waiting }).is).toBe('moving');
});

test('a machine’s problem goes before an engine that is down', () => {
  const problem = { code: 'disk_full', message: 'full' } as const;
  const now = situation({ daemon: machine('failed', problem), engine: down });
  expect(now).toMatchObject({ is: 'failed', failure: problem });
  expect(summary(now).tone).toBe('bad');
});

test('an engine that doesn’t answer in a running machine is down', () => {
  expect(situation({ daemon: machine('running'), engine: down }).is).toBe('engine_down');
});
