// What the page knows. It changes only by news from the shell.

import type { Container } from './bindings/Container';
import type { Failure } from './bindings/Failure';
import type { News } from './bindings/News';
import type { Snapshot } from './bindings/Snapshot';
import * as calls from './calls';

export type View = 'containers' | 'images' | 'machine';

/** Something the user asked for that failed, and how to ask again. */
export interface Mishap {
  failure: Failure;
  /** What it happened to, for the panel's headline. */
  subject: string;
  image?: string;
  again?: () => void;
  /** Whether it was a start of Berth: a problem of the machine says the same in better words. */
  isStart?: boolean;
}

class Desk {
  snapshot = $state.raw<Snapshot>({
    daemon: { presence: 'unknown' },
    engine: { state: 'waiting' },
    containers: [],
    images: [],
  });
  /** When the latest news of the daemon came: a running phase's clock starts there. */
  daemonAt = $state(Date.now());
  view = $state<View>('containers');
  mishap = $state.raw<Mishap | null>(null);
  /** Ids of containers with a wish under way, and the wish in words. */
  busy = $state<Record<string, string>>({});
  isStarting = $state(false);

  async connect(): Promise<void> {
    // News can overtake the snapshot on its way: they wait for it.
    const early: News[] = [];
    let isHere = false;
    const snapshot = await calls.ready((news) => {
      if (isHere) this.apply(news);
      else early.push(news);
    });
    this.snapshot = snapshot;
    this.daemonAt = Date.now();
    isHere = true;
    for (const news of early) this.apply(news);
  }

  apply(news: News): void {
    switch (news.type) {
      case 'daemon':
        this.daemonAt = Date.now();
        this.snapshot = { ...this.snapshot, daemon: news.daemon };
        break;
      case 'engine':
        this.snapshot = { ...this.snapshot, engine: news.engine };
        break;
      case 'containers':
        this.snapshot = { ...this.snapshot, containers: news.containers };
        break;
      case 'images':
        this.snapshot = { ...this.snapshot, images: news.images };
        break;
    }
  }

  start = (container: Container): Promise<void> =>
    this.wish(container, 'Starting', calls.startContainer, () => this.start(container));

  stop = (container: Container): Promise<void> =>
    this.wish(container, 'Stopping', calls.stopContainer, () => this.stop(container));

  remove = (container: Container): Promise<void> =>
    this.wish(container, 'Removing', calls.removeContainer, () => this.remove(container));

  async openPort(port: number): Promise<void> {
    try {
      await calls.openPort(port);
    } catch (thrown) {
      this.mishap = { failure: calls.asFailure(thrown), subject: `localhost:${port}` };
    }
  }

  startBerth = async (): Promise<void> => {
    this.isStarting = true;
    this.mishap = null;
    try {
      await calls.startBerth();
    } catch (thrown) {
      const again = (): void => void this.startBerth();
      this.mishap = { failure: calls.asFailure(thrown), subject: 'Berth', again, isStart: true };
    } finally {
      this.isStarting = false;
    }
  };

  private async wish(
    container: Container,
    word: string,
    call: (id: string) => Promise<void>,
    again: () => Promise<void>,
  ): Promise<void> {
    const { id, name, image } = container;
    if (this.busy[id] !== undefined) return;
    this.busy[id] = word;
    this.mishap = null;
    try {
      await call(id);
    } catch (thrown) {
      this.mishap = { failure: calls.asFailure(thrown), subject: name, image, again: () => void again() };
    } finally {
      delete this.busy[id];
    }
  }
}

export const desk = new Desk();
