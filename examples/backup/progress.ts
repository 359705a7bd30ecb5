// How far backup is: a bar on a terminal, a line a second elsewhere. Beside it: progress.rs.

import { sleep } from 'ringcore';
import type { Steps } from './tree.ts';

const TERMINAL_MS = 100;
const PLAIN_MS = 1000;

export class Progress {
  bytes = 0;
  files = 0;
  private readonly what: string;
  private readonly allBytes: number;
  private readonly allFiles: number;
  private readonly started = performance.now();

  constructor(what: string, allBytes: number, allFiles: number) {
    this.what = what;
    this.allBytes = allBytes;
    this.allFiles = allFiles;
  }

  /** Draws until it is aborted. */
  *run(): Steps<void> {
    const { isTTY } = process.stderr;
    for (;;) {
      yield* sleep(isTTY ? TERMINAL_MS : PLAIN_MS);
      // The width may have changed since. A full last column would begin a new line.
      const width = isTTY ? (process.stderr.columns || 80) - 1 : 0;
      const line = this.line((performance.now() - this.started) / 1000, width);
      process.stderr.write(isTTY ? `\r${line}\x1b[K` : `${line}\n`);
    }
  }

  /** As much as the width holds, the most important first. Without a width all, and no bar. */
  line(seconds: number, width: number): string {
    const { bytes, files, allBytes, allFiles } = this;
    const done = allBytes > 0 ? Math.min(1, bytes / allBytes) : files / Math.max(1, allFiles);
    const left = done > 0 ? (seconds * (1 - done)) / done : Number.NaN;
    const parts = [
      `${String(Math.floor(done * 100)).padStart(3)}%`,
      `${size(bytes)} of ${size(allBytes)}`,
      `${files} of ${allFiles} files`,
      `${size(seconds > 0 ? bytes / seconds : 0)}/s`,
      `${clock(left)} left`,
    ];
    if (width === 0) return `${this.what} ${parts.join('  ')}`;
    let text = parts[0] as string;
    for (const part of parts.slice(1)) {
      if (text.length + 2 + part.length > width) break;
      text += `  ${part}`;
    }
    const room = Math.min(30, width - text.length - 3);
    if (room < 5) return text;
    const filled = Math.floor(done * room);
    return `[${'#'.repeat(filled)}${'.'.repeat(room - filled)}] ${text}`;
  }
}

/** Takes the bar off the terminal. */
export function clear(): void {
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
}

/** Bytes for people: 999 B, 1.0 kB, 12.3 MB. */
export function size(bytes: number): string {
  let [value, unit] = [bytes, 0];
  while (value >= 999.95 && unit < 4) {
    value /= 1000;
    unit++;
  }
  return unit === 0 ? `${Math.floor(value)} B` : `${value.toFixed(1)} ${'_kMGT'[unit]}B`;
}

/** 0:07, 12:34, 1:02:03. */
function clock(seconds: number): string {
  if (!Number.isFinite(seconds)) return '-:--';
  const whole = Math.ceil(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (part: number) => String(part).padStart(2, '0');
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}
