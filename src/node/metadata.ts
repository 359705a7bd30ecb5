// stat, lstat, fstat and access of the drop-ins: a look in the caller's call where one is enough.

import type { Stats } from 'node:fs';
import { BORDER_CACHED, STAT_FILE, STAT_LINK, STAT_NAME } from '../cqe.ts';
import { errnoError, withoutStack } from '../error.ts';
import type { Later } from '../executor.ts';
import { ABSENT, SPENT } from '../fs/cached.ts';
import { pathText } from '../fs/path.ts';
import { fstatCached, statCached } from '../fs/stat.ts';
import type { Runtime } from '../runtime.ts';
import { raise } from './raise.ts';
import { statsIn } from './stats.ts';

type Path = string | Uint8Array;

/** The calls about paths, and what each of them asks. `access` is that with F_OK. */
export type Call = 'stat' | 'lstat' | 'access';
const KINDS: Record<Call, number> = { stat: STAT_FILE, lstat: STAT_LINK, access: STAT_NAME };

/** What a look has come to: the result, an error, or null: it is somebody else's work. */
export type Seen = Stats | undefined | Error | null;

/** What the last look has found. */
function found(runtime: Runtime): Stats {
  return statsIn(runtime.executor.reactor.ring.words, BORDER_CACHED / 4);
}

/** Looks; SPENT: this iteration has no budget left. */
function look(runtime: Runtime, path: Path, call: Call): Seen | typeof SPENT {
  const res = statCached(runtime, path, KINDS[call]);
  if (res === 0) return call === 'access' ? undefined : found(runtime);
  if (res === SPENT) return SPENT;
  if (res !== ABSENT) return null;
  // The frames of those who wait come later.
  return withoutStack(() => errnoError(-res, call, pathText(path)));
}

/** What is known of what is open. */
export function lookAtOpen(runtime: Runtime, fd: number): Stats | null {
  return fstatCached(runtime, fd) === 0 ? found(runtime) : null;
}

/** A look that waits for a budget. */
class Looking implements Later {
  private readonly runtime: Runtime;
  private readonly path: Path;
  private readonly call: Call;
  private readonly seen: (seen: Seen) => void;

  constructor(runtime: Runtime, path: Path, call: Call, seen: (seen: Seen) => void) {
    this.runtime = runtime;
    this.path = path;
    this.call = call;
    this.seen = seen;
  }

  begin(): void {
    const seen = look(this.runtime, this.path, this.call);
    if (seen === SPENT) this.runtime.executor.postpone(this);
    else this.seen(seen);
  }
}

/** Looks now, or in the next iteration of the event loop. `seen` is called once; throws nothing. */
export function lookAt(runtime: Runtime, path: Path, call: Call, seen: (seen: Seen) => void): void {
  const now = look(runtime, path, call);
  if (now === SPENT) runtime.executor.postpone(new Looking(runtime, path, call, seen));
  else seen(now);
}

/** As a promise; `otherwise` does what a look cannot. */
export function promiseOf(
  runtime: Runtime,
  path: string,
  call: Call,
  otherwise: (runtime: Runtime, path: string, call: Call) => Promise<Stats | undefined>,
): Promise<Stats | undefined> {
  const now = look(runtime, path, call);
  const outcome = (seen: Seen): Stats | undefined | Promise<Stats | undefined> => {
    if (seen === null) return otherwise(runtime, path, call);
    return seen instanceof Error ? raise(seen) : seen;
  };
  if (now !== SPENT) return Promise.resolve(outcome(now));
  return new Promise((resolve) => {
    const later = new Looking(runtime, path, call, (seen) => resolve(outcome(seen)));
    runtime.executor.postpone(later);
  });
}
