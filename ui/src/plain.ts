// Output of programs as plain text.

// CSI sequences (colours, cursor), OSC sequences (titles, links) and the short escapes.
// eslint-disable-next-line no-control-regex
const ESCAPES = /\u001b\[[0-?]*[ -/]*[@-~]|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)|\u001b[@-Z\\-_]/g;
// eslint-disable-next-line no-control-regex
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f]/g;

/** The text that a terminal would have left on the line: no colours, and only what follows the last return. */
export function plain(line: string): string {
  const text = line.replace(ESCAPES, '');
  const lastReturn = text.lastIndexOf('\r');
  return text.slice(lastReturn + 1).replace(CONTROLS, '');
}
