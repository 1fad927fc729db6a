// What each failure means and the way out, in words.

import type { Failure } from '../bindings/Failure';
import type { FailureCode } from '../bindings/FailureCode';

export type WayOut = 'again' | 'start' | 'images';

export interface Words {
  title: string;
  text: string;
  /** A command that helps, for a terminal. */
  command?: string;
  ways: WayOut[];
}

export interface About {
  /** The container or program it happened to. */
  subject?: string;
  /** The container's image. */
  image?: string;
}

export function wordsFor(failure: Failure, about: About = {}): Words {
  const subject = about.subject ?? BERTH;
  return TABLE[failure.code](failure, { subject, image: about.image ?? 'IMAGE' });
}

/** The subject when it isn't a container. */
const BERTH = 'Berth';

type Writer = (failure: Failure, about: Required<About>) => Words;

const TABLE: Record<FailureCode, Writer> = {
  emulator_missing: () => ({
    title: 'The emulator is missing',
    text: 'Berth runs containers inside a small Linux machine. On this computer that machine needs QEMU, which isn’t installed.',
    command: 'sudo apt install qemu-system-x86',
    ways: ['start'],
  }),
  emulator_too_old: () => ({
    title: 'The emulator is too old',
    text: 'Berth needs QEMU 7.2 or newer. Update it with your system’s package manager, then start again.',
    command: 'sudo apt update && sudo apt install qemu-system-x86',
    ways: ['start'],
  }),
  out_of_memory: () => ({
    title: 'Not enough memory',
    text: 'The machine can’t get the memory it needs. Close something large, then start again.',
    ways: ['start'],
  }),
  machine_image_missing: () => ({
    title: 'The machine’s image is missing',
    text: 'The small Linux system that Berth boots isn’t where it should be. Reinstall Berth; from a source tree, build it:',
    command: 'cargo xtask image',
    ways: ['start'],
  }),
  disk_full: (_, { subject }) =>
    subject === BERTH
      ? {
          title: 'The disk is full',
          text: 'This computer has too little free space for Berth’s own disk. Make room, then start again; nothing is lost.',
          command: 'df -h ~',
          ways: ['start'],
        }
      : {
          title: 'The disk is full',
          text: `“${subject}” can’t write anything more. Remove containers and images you no longer need, then try again.`,
          command: 'docker system df',
          ways: ['again', 'images'],
        },
  machine_died: () => ({
    title: 'The machine ended unexpectedly',
    text: 'Berth’s Linux machine stopped by itself. Its disk is safe: start it again and your containers will be there.',
    ways: ['start'],
  }),
  deadline: ({ message }) => ({
    title: 'It took too long',
    text: message.includes('gave up')
      ? 'One step of the start-up passed its deadline. On a busy computer a second try often succeeds.'
      : 'There was no answer in time. On a busy computer a second try often succeeds.',
    ways: ['again'],
  }),
  version: () => ({
    title: 'Two versions of Berth are running',
    text: 'This window and Berth’s background program don’t understand each other. Restart Berth after an update.',
    command: 'berth stop && berth start',
    ways: [],
  }),
  configuration: () => ({
    title: 'The engine’s configuration can’t be honoured',
    text: 'Something in daemon.json isn’t known to the engine or can’t be done. Correct it, then start again.',
    command: '${EDITOR:-nano} ~/.config/berth/daemon.json',
    ways: ['start'],
  }),
  berth_missing: () => ({
    title: 'The berth program isn’t found',
    text: 'This window starts Berth with the command “berth”, which is neither beside it nor in your PATH. Reinstall Berth, or start it from a terminal:',
    command: 'berth start',
    ways: ['again'],
  }),
  engine_down: () => ({
    title: 'The engine doesn’t answer',
    text: 'The program that runs your containers can’t be reached. Running containers keep running; this window reconnects by itself as soon as it is back.',
    ways: ['start'],
  }),
  port_taken: ({ message }, { subject }) => {
    const port = takenPort(message);
    const which = port === null ? 'The port' : `Port ${port}`;
    return {
      title: `${which} is already in use`,
      text: `“${subject}” can’t start, because another program or container on this computer listens there. Stop the other one and try again, or make the container anew with another port.`,
      command: port === null ? undefined : `ss -ltnp 'sport = :${port}'`,
      ways: ['again'],
    };
  },
  image_missing: (_, { subject, image }) => ({
    title: 'The image is missing',
    text: `“${subject}” needs the image ${image}, which isn’t on this computer any more. Pull it, then try again.`,
    command: `docker pull ${image}`,
    ways: ['again', 'images'],
  }),
  not_found: (_, { subject }) => ({
    title: `“${subject}” is gone`,
    text: 'Something else removed it in the meantime. The list shows what is there now.',
    ways: [],
  }),
  conflict: (_, { subject }) => ({
    title: `“${subject}” isn’t in the right state`,
    text: 'What you asked for doesn’t fit what the container does right now. Wait a moment, then try again.',
    ways: ['again'],
  }),
  refused: (_, { subject }) => ({
    title: `The engine refused: ${subject}`,
    text: 'The engine can’t do that. It says:',
    ways: ['again'],
  }),
  unexpected: (_, { subject }) => ({
    title: `Something unexpected happened: ${subject}`,
    text: 'Berth has no words for this. What it was told:',
    ways: ['again'],
  }),
};

/** The port in Docker's sentence about one that is taken. */
export function takenPort(message: string): number | null {
  const found = /Bind for \S*:(\d{1,5}) failed/.exec(message) ?? /[\d\].]:(\d{1,5})\b/.exec(message) ?? /\bport (\d{1,5})\b/.exec(message);
  return found === null ? null : Number(found[1]);
}
