// Reads both sides of a backup and compares them. Beside it: verify.rs.

import { readlinkSync } from 'node:fs';
import { AT_FDCWD, all, constants, op } from 'ringcore';
import type { Progress } from './progress.ts';
import {
  type Entry,
  each,
  isFolder,
  isLink,
  join,
  lookFor,
  permissions,
  type Steps,
} from './tree.ts';

const CHUNK = 256 * 1024;

/** Compares everything that `entries` names below the two roots; tells of each difference. */
export function* verify(
  roots: readonly [Buffer, Buffer],
  entries: readonly Entry[],
  progress: Progress,
  differs: (path: Buffer, what: unknown) => void,
): Steps<void> {
  yield* each(entries, function* ({ path, stat }) {
    const [from, to] = [join(roots[0], path), join(roots[1], path)];
    try {
      const there = yield* lookFor(to);
      if (there === undefined) throw new Error('it is missing');
      if ((there.mode & 0o170000) !== (stat.mode & 0o170000)) throw new Error('of another kind');
      if (isLink(stat)) {
        const [one, other] = [from, to].map((link) => readlinkSync(link, 'buffer'));
        if (Buffer.compare(one as Buffer, other as Buffer) !== 0) throw new Error('another target');
        return;
      }
      if (permissions(there) !== permissions(stat)) throw new Error('another mode');
      if (isFolder(stat)) return;
      yield* compare(from, to, stat.size, progress);
      progress.files++;
    } catch (error) {
      differs(path, error);
    }
  });
}

/** Reads two files side by side; throws where they differ. */
function* compare(from: Buffer, to: Buffer, length: number, progress: Progress): Steps<void> {
  const fds: number[] = [];
  // One byte more than there should be: then a small file is read at once, and seen to end.
  const most = Math.min(CHUNK, length + 1);
  const [a, b] = [Buffer.allocUnsafe(most), Buffer.allocUnsafe(most)];
  try {
    for (const path of [from, to]) fds.push(yield* op.openat(AT_FDCWD, path, 0));
    const [one, other] = fds as [number, number];
    // What comes from the page cache proves nothing about the disk.
    yield* op.fadvise(other, 0, 0, constants.POSIX_FADV_DONTNEED);
    for (let offset = 0; ; ) {
      const [n, m] = yield* all([op.read(one, a, offset), op.read(other, b, offset)]);
      const least = Math.min(n, m);
      const at = `somewhere in the ${most} bytes at ${offset}`;
      if (!a.subarray(0, least).equals(b.subarray(0, least))) throw new Error(`differs ${at}`);
      if (least === 0 && n !== m) throw new Error(`ends at byte ${offset} on one side`);
      if (least === 0) return;
      offset += least;
      progress.bytes += least;
    }
  } finally {
    for (const fd of fds) yield* op.close(fd);
  }
}
