// What the window's main part is about, from what the daemon and the engine say.

import type { Failure } from './bindings/Failure';
import type { Machine } from './bindings/Machine';
import type { Snapshot } from './bindings/Snapshot';

export type Situation =
  | { is: 'up' }
  | { is: 'looking' }
  | { is: 'absent' }
  | { is: 'stopped' }
  | { is: 'moving'; machine: Machine }
  | { is: 'failed'; failure: Failure; machine: Machine | null }
  | { is: 'engine_down'; failure: Failure };

export function situation({ daemon, engine }: Pick<Snapshot, 'daemon' | 'engine'>): Situation {
  // An engine that answers is all that matters, with a daemon or without one.
  if (engine.state === 'up') return { is: 'up' };
  if (daemon.presence === 'refusing') return { is: 'failed', failure: daemon.failure, machine: null };
  if (daemon.presence === 'present') {
    const { machine } = daemon;
    if (machine.problem !== null) return { is: 'failed', failure: machine.problem, machine };
    if (machine.state === 'starting' || machine.state === 'stopping') return { is: 'moving', machine };
    if (machine.state === 'stopped') return { is: 'stopped' };
  }
  if (engine.state === 'down') return { is: 'engine_down', failure: engine.failure };
  if (daemon.presence === 'absent') return { is: 'absent' };
  return { is: 'looking' };
}

/** One word for the sidebar. */
export function summary(now: Situation): { tone: 'good' | 'busy' | 'bad' | 'off'; text: string } {
  switch (now.is) {
    case 'up':
      return { tone: 'good', text: 'Running' };
    case 'looking':
      return { tone: 'busy', text: 'Looking for Berth' };
    case 'moving':
      return { tone: 'busy', text: now.machine.state === 'stopping' ? 'Stopping' : 'Starting' };
    case 'failed':
      return { tone: 'bad', text: 'Needs attention' };
    case 'engine_down':
      return { tone: 'bad', text: 'Engine not answering' };
    case 'absent':
    case 'stopped':
      return { tone: 'off', text: 'Not running' };
  }
}
