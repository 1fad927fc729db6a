// What a container does, in a word or two.

import type { Container } from '../bindings/Container';

export type Tone = 'good' | 'busy' | 'bad' | 'off';

/** Whether stopping makes sense. */
export function isUp({ state }: Pick<Container, 'state'>): boolean {
  return state === 'running' || state === 'paused' || state === 'restarting';
}

export function stateWords({ state, exit_code }: Pick<Container, 'state' | 'exit_code'>): { text: string; tone: Tone } {
  switch (state) {
    case 'running':
      return { text: 'Running', tone: 'good' };
    case 'paused':
      return { text: 'Paused', tone: 'busy' };
    case 'restarting':
      return { text: 'Restarting', tone: 'busy' };
    case 'removing':
      return { text: 'Removing', tone: 'busy' };
    case 'created':
      return { text: 'Created', tone: 'off' };
    case 'dead':
      return { text: 'Dead', tone: 'bad' };
    case 'exited':
      // 137 and 143 are what a stop leaves behind: SIGKILL and SIGTERM.
      if (exit_code === null || exit_code === 0 || exit_code === 137 || exit_code === 143) {
        return { text: 'Stopped', tone: 'off' };
      }
      return { text: `Failed · ${exit_code}`, tone: 'bad' };
  }
}
