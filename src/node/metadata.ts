// stat, lstat and fstat of the drop-ins: a look in the caller's call where one is enough.

import type { Stats } from 'node:fs';
import { BORDER_CACHED } from '../cqe.ts';
import { errnoError, withoutStack } from '../error.ts';
import type { Later } from '../executor.ts';
import { ABSENT, SPENT } from '../fs/cached.ts';
import { pathText } from '../fs/path.ts';
import { fstatCached, statCached } from '../fs/stat.ts';
import type { Runtime } from '../runtime.ts';
import { raise } from './raise.ts';
import { statsIn } from './stats.ts';

type Path = string | Uint8Array;

/** What a look has come to: the result, an error, or null: it is the ring's work. */
export type Seen = Stats | Error | null;

/** What the last look has found. */
function found(runtime: Runtime): Stats {
  return statsIn(runtime.executor.reactor.ring.words, BORDER_CACHED / 4);
}

/** Looks at what a path leads to, or a link itself; SPENT: this iteration has no budget left. */
function look(runtime: Runtime, path: Path, link: boolean): Seen | typeof SPENT {
  const res = statCached(runtime, path, link);
  if (res === 0) return found(runtime);
  if (res === SPENT) return SPENT;
  if (res !== ABSENT) return null;
  // The frames of those who wait come later.
  return withoutStack(() => errnoError(-res, link ? 'lstat' : 'stat', pathText(path)));
}

/** The same of what is open, if it is known. */
export function lookAtOpen(runtime: Runtime, fd: number): Stats | null {
  return fstatCached(runtime, fd) === 0 ? found(runtime) : null;
}

/** A look that waits for a budget. */
class Looking implements Later {
  private readonly runtime: Runtime;
  private readonly path: Path;
  private readonly link: boolean;
  private readonly seen: (seen: Seen) => void;

  constructor(runtime: Runtime, path: Path, link: boolean, seen: (seen: Seen) => void) {
    this.runtime = runtime;
    this.path = path;
    this.link = link;
    this.seen = seen;
  }

  begin(): void {
    const seen = look(this.runtime, this.path, this.link);
    if (seen === SPENT) this.runtime.executor.postpone(this);
    else this.seen(seen);
  }
}

/** Looks now, or in the next iteration of the event loop. `seen` is called once; throws nothing. */
export function lookAt(
  runtime: Runtime,
  path: Path,
  link: boolean,
  seen: (seen: Seen) => void,
): void {
  const now = look(runtime, path, link);
  if (now === SPENT) runtime.executor.postpone(new Looking(runtime, path, link, seen));
  else seen(now);
}

/** As a promise; `otherwise` does what a look cannot. */
export function promiseOfStat(
  runtime: Runtime,
  path: string,
  link: boolean,
  otherwise: (runtime: Runtime, path: string, link: boolean) => Promise<Stats>,
): Promise<Stats> {
  const now = look(runtime, path, link);
  const outcome = (seen: Seen): Stats | Promise<Stats> => {
    if (seen === null) return otherwise(runtime, path, link);
    return seen instanceof Error ? raise(seen) : seen;
  };
  if (now !== SPENT) return Promise.resolve(outcome(now));
  return new Promise((resolve) => {
    const later = new Looking(runtime, path, link, (seen) => resolve(outcome(seen)));
    runtime.executor.postpone(later);
  });
}
