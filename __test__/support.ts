// What the scenario tests share: pipes, runtimes that are closed, counts, child processes.

import { execFile, execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay, setImmediate as immediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { ExecutionContext } from 'ava';
import { type Options, Runtime } from '../src/index.ts';
import { nodeFs } from '../src/node/builtin.ts';

/** Ten times as many rounds under RINGCORE_STRESS=1. */
export const many = (count: number): number =>
  process.env.RINGCORE_STRESS === '1' ? count * 10 : count;

/** A runtime of its own, started, proved and closed after the test. */
export async function runtime(t: ExecutionContext, options?: Options): Promise<Runtime> {
  const rt = new Runtime(options);
  t.teardown(() => rt.close());
  await rt.op.nop();
  // The 1 ms timer that proves wake-ups is an operation as well, and may be tried again: counts
  // begin after it.
  await until(() => rt.wake !== 'unproved' && rt.stats().inFlight === 0);
  return rt;
}

let small = -1;

/** Small writes that the drop-ins have made on this thread, by node's writeSync. */
function smallWrites(): number {
  if (small < 0) {
    small = 0;
    const { writeSync } = nodeFs;
    nodeFs.writeSync = ((...args: Parameters<typeof writeSync>) => {
      small++;
      return writeSync(...args);
    }) as typeof writeSync;
  }
  return small;
}

/** Operations that the ring got, and what took none: looks at files, small writes. */
export function taken(rt: Runtime): number {
  const { submitted, looks } = rt.stats();
  return submitted + looks + smallWrites();
}

/** A folder that is removed after the test. */
export function folder(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'ringcore-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A pipe that one descriptor reads and writes; a read of it waits until somebody writes. */
export function pipe(t: ExecutionContext): number {
  const path = join(folder(t), 'pipe');
  execFileSync('mkfifo', [path]);
  const fd = openSync(path, constants.O_RDWR);
  t.teardown(() => closeSync(fd));
  return fd;
}

/**
 * Waits, turn by turn of the event loop, until it is true; the watchdog is ava's. Timers alone are
 * no turns: Node runs those that are due until none is, and where `done` takes longer than they do
 * (a collection of garbage), several who wait keep immediates and all input away for ever.
 */
export async function until(done: () => boolean): Promise<void> {
  while (!done()) {
    await delay(1);
    await immediate();
  }
}

/** A few iterations of the event loop: whatever could run without waiting has run. */
export async function settle(turns = 10): Promise<void> {
  for (let i = 0; i < turns; i++) await immediate();
}

/** The descriptors of this process. */
export const descriptors = (): number => readdirSync('/proc/self/fd').length;

/** Threads of the lane: each has a descriptor, until it has been idle for a second. */
export function lanes(): number {
  const name = (task: string) => {
    try {
      return readFileSync(`/proc/self/task/${task}/comm`, 'utf8').trim();
    } catch {
      return ''; // It has just ended.
    }
  };
  return readdirSync('/proc/self/task').filter((task) => name(task) === 'ringcore-lane').length;
}

/** The error of a promise or future; a test that gets none fails. */
export async function failure(
  outcome: PromiseLike<unknown>,
): Promise<NodeJS.ErrnoException & { cause?: unknown }> {
  try {
    await outcome;
  } catch (error) {
    return error as NodeJS.ErrnoException;
  }
  throw new Error('it did not fail');
}

/** Fails as node's own call does, in every word. */
export async function alike(
  t: ExecutionContext,
  outcome: PromiseLike<unknown>,
  call: () => void,
): Promise<void> {
  const error = await failure(outcome);
  const expected = t.throws(call) as NodeJS.ErrnoException & { dest?: string };
  for (const key of ['message', 'code', 'errno', 'syscall', 'path', 'dest'] as const) {
    t.is((error as typeof expected)[key], expected[key], `${key} of ${expected.message}`);
  }
}

/** The garbage collector; ava starts these processes with --expose-gc. */
export function collector(): () => void {
  const { gc } = globalThis as { gc?: () => void };
  if (gc === undefined) throw new Error('this process was started without --expose-gc');
  return gc;
}

const index = new URL('../src/index.ts', import.meta.url).href;
const loader = process.features.typescript ? [] : ['--import=@oxc-node/core/register'];

/** Runs a module in a child process with a time limit: what it printed, or its failure. */
export function child(
  source: string,
  env: Record<string, string> = {},
  flags: string[] = [],
): Promise<{ code: number; stdout: string; stderr: string }> {
  const program = `import * as ringcore from '${index}';\n${source}`;
  const args = [...loader, ...flags, '--input-type=module', '-e', program];
  const options = {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    env: { ...process.env, ...env },
    timeout: 30_000,
  };
  return new Promise((resolve) => {
    execFile(process.execPath, args, options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), stdout, stderr });
    });
  });
}
