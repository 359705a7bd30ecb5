// A child process with a time limit: its exit code, signal and output are what the tests assert.

import { spawn } from 'node:child_process';
import { chmodSync, cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext, type TestFn } from 'ava';

/** How a child ended, and what it said. */
export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/** How a child is started. */
export interface How {
  /** Arguments for the runtime itself, before the file, as Node has them. */
  node?: string[];
  /** Another copy of the runtime. */
  runtime?: string;
  /** What it may say on standard error; nothing unless given. */
  stderr?: RegExp;
  /** Another working directory. */
  cwd?: string;
  /** More environment variables. */
  env?: Record<string, string>;
  /** A program that is given the command line of Node and ends up as Node: a shell, a filter. */
  under?: string[];
  uid?: number;
  /** Milliseconds after which it is killed and the test fails. */
  limit?: number;
  /** Called when it has written to its standard output. */
  said?: (pid: number, text: string) => void;
}

/** The runtime that runs the children; RINGCORE_NODE names another Node, a Bun or a Deno. */
export const NODE = process.env.RINGCORE_NODE ?? process.execPath;

type Kind = 'node' | 'bun' | 'deno';
/** Which runtime that is, by its name. */
export const RUNTIME = (/^(bun|deno)/.exec(basename(NODE))?.[1] ?? 'node') as Kind;

/**
 * The test function, or one that skips on some runtimes: by name, with the reason in the title,
 * since a runtime's own defect must be seen and must not look like ours.
 */
export function except(reasons: Partial<Record<Kind, string>>): TestFn['serial'] {
  const reason = reasons[RUNTIME];
  if (reason === undefined) return test.serial;
  const skip = (title: string) => test.serial.skip(`${title} (${RUNTIME}: ${reason})`, () => {});
  return skip as unknown as TestFn['serial'];
}

/** The arguments of the runtime itself: what Node's flags are called elsewhere. */
function flags(node: string[]): string[] {
  if (RUNTIME === 'node') return node;
  const known = node.filter((flag) => flag === '--expose-gc' || flag === '--no-addons');
  if (RUNTIME === 'bun') return known;
  const gc = known.includes('--expose-gc') ? ['--v8-flags=--expose-gc'] : [];
  const permissions = node.filter((flag) => flag.startsWith('--allow-'));
  const some = node.includes('--no-prompt') ? ['--no-prompt', ...permissions] : ['--allow-all'];
  return ['run', '--quiet', ...some, ...gc];
}

/** Ten times as many under RINGCORE_STRESS=1. */
export const STRESS = process.env.RINGCORE_STRESS === '1' ? 10 : 1;

/** Whether AddressSanitizer watches: everything of ours is slower, with memory of its own. */
export const ASAN = process.env.RINGCORE_ASAN === '1';

/**
 * New mappings a worker that are no leak; a ring has six. AddressSanitizer cuts the heap into ever
 * smaller ones, 60 after 25 workers, 80 after 40, 100 to 150 after 80.
 */
export const MAPS = ASAN ? 3 : 1 / 2;

/** The path of a program in this folder. */
export function program(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}

/** Runs a program of this folder (or any other path) to its end. */
export function child(name: string, args: string[] = [], how: How = {}): Promise<Ended> {
  const file = name.startsWith('/') ? name : program(name);
  const start = [how.runtime ?? NODE, ...flags(how.node ?? []), file, ...args];
  const [command, ...rest] = [...(how.under ?? []), ...start];
  const { cwd, uid, limit = 60_000 } = how;
  const own = uid === undefined ? {} : { uid, gid: uid };
  // A signal of the parent's must not be the child's, and no option of the parent's Node is.
  // Freed buffers go back to the system at once: what the allocator keeps (64 MiB now and then)
  // would look like a leak.
  const memory = { MALLOC_MMAP_THRESHOLD_: '65536' };
  const env = { ...process.env, NODE_OPTIONS: '', NO_COLOR: '1', ...memory, ...how.env };
  return new Promise((resolve, reject) => {
    const process = spawn(command as string, rest, {
      cwd,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...own,
    });
    let [stdout, stderr, late] = ['', '', false];
    process.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      how.said?.(process.pid as number, stdout);
    });
    process.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    const watchdog = setTimeout(() => {
      late = true;
      process.kill('SIGKILL');
    }, limit);
    process.on('error', reject);
    process.on('close', (code, signal) => {
      clearTimeout(watchdog);
      if (late) {
        const text = `${name} ${args.join(' ')} did not end within ${limit} ms`;
        reject(new Error(`${text}\n--- stdout\n${stdout}\n--- stderr\n${stderr}`));
      } else resolve({ code, signal, stdout, stderr });
    });
  });
}

/** Runs a child that must end well, and silently unless said; the JSON that it printed. */
export async function report<T>(
  t: ExecutionContext,
  name: string,
  args: string[] = [],
  how: How = {},
): Promise<T> {
  const { code, signal, stdout, stderr } = await child(name, args, how);
  const silent = how.stderr?.test(stderr) ? stderr : '';
  t.deepEqual(
    { code, signal, stderr },
    { code: 0, signal: null, stderr: silent },
    `${name} ${args}`,
  );
  return JSON.parse(stdout) as T;
}

/** What the programs need, where every user may read it, with or without the native module. */
export function publicCopy(t: ExecutionContext, native = true): string {
  const to = mkdtempSync(join(tmpdir(), 'ringcore-public-'));
  t.teardown(() => rmSync(to, { recursive: true }));
  const root = join(program('..'), '..');
  const binaries = native ? readdirSync(root).filter((name) => name.endsWith('.node')) : [];
  for (const each of ['dist', 'package.json', 'index.cjs', '__test__/lifecycle', ...binaries]) {
    cpSync(join(root, each), join(to, each), { recursive: true });
  }
  chmodSync(to, 0o755);
  return join(to, '__test__/lifecycle');
}
