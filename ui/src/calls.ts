// What the page asks of the shell: one function per command of src-tauri/src/commands.rs.

import { Channel, invoke } from '@tauri-apps/api/core';

import type { Failure } from './bindings/Failure';
import type { LogNews } from './bindings/LogNews';
import type { News } from './bindings/News';
import type { Snapshot } from './bindings/Snapshot';

export async function ready(onNews: (news: News) => void): Promise<Snapshot> {
  const news = new Channel<News>();
  news.onmessage = onNews;
  return invoke('ready', { news });
}

export async function followLogs(id: string, onNews: (news: LogNews) => void): Promise<number> {
  const lines = new Channel<LogNews>();
  lines.onmessage = onNews;
  return invoke('follow_logs', { id, lines });
}

export const leaveLogs = (reader: number): Promise<void> => invoke('leave_logs', { reader });
export const startContainer = (id: string): Promise<void> => invoke('start_container', { id });
export const stopContainer = (id: string): Promise<void> => invoke('stop_container', { id });
export const removeContainer = (id: string): Promise<void> => invoke('remove_container', { id });
export const openPort = (port: number): Promise<void> => invoke('open_port', { port });
export const startBerth = (): Promise<void> => invoke('start_berth');

/** What a failed call threw, as a Failure: the shell's own are one, anything else is unexpected. */
export function asFailure(thrown: unknown): Failure {
  if (typeof thrown === 'object' && thrown !== null && 'code' in thrown && 'message' in thrown) {
    return thrown as Failure;
  }
  return { code: 'unexpected', message: thrown instanceof Error ? thrown.message : String(thrown) };
}
