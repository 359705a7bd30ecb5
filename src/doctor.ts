// ringcore doctor: what works here, and what to do about what does not.
// PAIR: only-typescript doctor.ts -- the crate's probe() says the same; a command is npm's way in

import { readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import type { UnavailableError } from './error.ts';
import { Runtime } from './index.ts';
import { type Probe, probe, type Wake } from './probe.ts';
import { OPS } from './table.ts';

/** What `ringcore doctor --json` prints: every key of `probe()`, and what is around it. */
export interface Diagnosis extends Probe {
  /** Whether the ring works: made, and woken. The exit code is 0 then, otherwise 1. */
  readonly ok: boolean;
  /** ringcore's own version. */
  readonly version: string;
  /** Whose JavaScript this is, and its version: node 24.1.0. */
  readonly runtime: string;
  readonly platform: string;
  readonly arch: string;
  /** glibc with its version, or musl; null where it cannot be told. */
  readonly libc: string | null;
  /** Whether a seccomp filter is on this process: any container's runtime sets one. */
  readonly seccomp: 'none' | 'strict' | 'filter' | null;
  /** Operation name → first kernel that has it, for every name of `ops`. */
  readonly since: Readonly<Record<string, string>>;
}

/** A ring is given this long to prove that wake-ups arrive; it gives up by itself before. */
const PROOF_MS = 5000;

/** Makes a ring, sleeps 1 ms on it, and asks what this machine has. Never rejects. */
export async function diagnose(version: string): Promise<Diagnosis> {
  const answer = probe().available ? await tried() : probe();
  return {
    ok: answer.backend === 'io_uring',
    version,
    runtime: javascript(),
    platform: process.platform,
    arch: process.arch,
    libc: libc(),
    seccomp: seccomp(),
    ...answer,
    since: Object.fromEntries(OPS.map((op) => [op.name, op.kernel])),
  };
}

/** A parked ring with a timer of 1 ms in it: either the wake-up comes, or it never will. */
async function tried(): Promise<Probe> {
  const runtime = new Runtime();
  try {
    await runtime.op.timeout(1);
    const end = performance.now() + PROOF_MS;
    while (runtime.wake === 'unproved' && performance.now() < end) await wait(5);
    return probe(runtime.wake);
  } catch (error) {
    // The ring of probe() is small; one of the usual size may meet a limit that it did not.
    const { message, reason = message, advice = '' } = error as Error & Partial<UnavailableError>;
    return { ...probe(), backend: 'node', available: false, reason, advice };
  } finally {
    await runtime.close();
  }
}

function javascript(): string {
  const { bun, deno, node } = process.versions as Record<string, string | undefined>;
  if (bun !== undefined) return `bun ${bun}`;
  return deno === undefined ? `node ${node}` : `deno ${deno}`;
}

function libc(): string | null {
  if (process.platform !== 'linux') return null;
  // Deno has none, and the types of Node lack the property.
  const { report } = process as {
    report?: { getReport(): object; excludeNetwork?: boolean };
  };
  if (report === undefined) return null;
  // Otherwise it looks up the name of every peer of every socket.
  report.excludeNetwork = true;
  const { header, sharedObjects } = report.getReport() as {
    header?: { glibcVersionRuntime?: string };
    sharedObjects?: string[];
  };
  const version = header?.glibcVersionRuntime;
  if (version !== undefined) return `glibc ${version}`;
  return sharedObjects?.some((name) => name.includes('musl')) ? 'musl' : null;
}

function seccomp(): Diagnosis['seccomp'] {
  try {
    const mode = /^Seccomp:\s*(\d)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
    return (['none', 'strict', 'filter'] as const)[Number(mode)] ?? null;
  } catch {
    return null;
  }
}

/** The same for a person, at most 80 columns wide. */
export function table(found: Diagnosis, colours: boolean): string {
  const paint = colours ? painted : plain;
  const { limits, kernel, arch, platform } = found;
  const known = found.available || limits.nofile > 0;
  const verdict = found.ok ? paint('good', 'io_uring works') : paint('bad', 'io_uring is refused');
  const sysctl = limits.ioUringDisabled;
  const rows: [string, string][] = [
    ['backend', found.ok ? found.backend : `${found.backend} (io_uring is not used)`],
    ['wake-ups', found.available ? WAKES[found.wake] : 'not tried'],
    ['kernel', `${platform === 'linux' ? 'Linux' : platform} ${kernel}, ${arch}`],
    ['libc', found.libc ?? 'unknown'],
    ['runtime', found.runtime],
    ['flags', found.flags.map((flag) => flag.replace('IORING_SETUP_', '')).join(', ') || 'none'],
    ['memlock', known ? bytes(limits.memlock) : 'unknown'],
    ['nofile', known ? count(limits.nofile) : 'unknown'],
    ['sysctl', sysctl === null ? 'no io_uring_disabled' : `io_uring_disabled = ${sysctl}`],
    ['seccomp', found.seccomp === 'filter' ? 'a filter is active' : (found.seccomp ?? 'unknown')],
  ];
  const lines = [`ringcore ${found.version}: ${verdict}`, ''];
  for (const [name, text] of rows) lines.push(...entry(name, text));
  lines.push('', ...operations(found, paint), ...troubles(found, paint));
  return `${lines.join('\n')}\n`;
}

const WIDTH = 80;
const WAKES: Record<Wake, string> = {
  ok: 'arrive',
  failed: 'do not arrive',
  unproved: 'not proved',
};

type Paint = (mood: 'good' | 'bad' | 'advice', text: string) => string;
const CODES = { good: 32, bad: 31, advice: 33 };
const painted: Paint = (mood, text) => `\u001b[${CODES[mood]}m${text}\u001b[39m`;
const plain: Paint = (_mood, text) => text;

/** A name and its text, broken between words; what follows the first line stands below it. */
function entry(name: string, text: string, paint: (line: string) => string = String): string[] {
  const lines = [''];
  // A word that is longer than a line (a path) is cut.
  for (const word of text.match(/\S{1,68}/g) ?? []) {
    const line = lines.at(-1) as string;
    if (line !== '' && line.length + 1 + word.length > WIDTH - 12) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines.map((line, at) => `  ${(at === 0 ? name : '').padEnd(10)}${paint(line)}`);
}

/** Every operation with its kernel, in as many columns as there is room for, read downwards. */
function operations(found: Diagnosis, paint: Paint): string[] {
  const all = Object.entries(found.ops);
  const names = Math.max(...all.map(([name]) => name.length));
  const kernels = Math.max(...all.map(([name]) => (found.since[name] as string).length));
  const cells = all.map(([name, has]) => {
    const text = `${name.padEnd(names)} ${(found.since[name] as string).padEnd(kernels)} `;
    return text + (has ? paint('good', 'yes') : `${paint('bad', 'no')} `);
  });
  const columns = Math.floor((WIDTH - 2 + 3) / (names + kernels + 5 + 3));
  const height = Math.ceil(cells.length / Math.max(columns, 1));
  const lines = ['  operations, the kernel that brought each, and whether it is here:'];
  for (let row = 0; row < height; row++) {
    const line = cells.filter((_, at) => at % height === row);
    lines.push(`  ${line.join('   ')}`.trimEnd());
  }
  return lines;
}

/** What is wrong, and what to do about it; nothing on a full machine. */
function troubles(found: Diagnosis, paint: Paint): string[] {
  const say = (reason: string, advice: string | null) => [
    '',
    ...entry('reason', `${reason}.`, (line) => paint('bad', line)),
    ...(advice ? entry('advice', `${advice}.`, (line) => paint('advice', line)) : []),
  ];
  if (found.reason !== null) return say(found.reason, found.advice);
  const lacking = Object.keys(found.ops).filter((name) => !found.ops[name]);
  if (lacking.length === 0) return [];
  const since = lacking.map((name) => found.since[name] as string).sort(byVersion);
  const advice = `Linux ${since.at(-1)} or newer has every operation; the others work here`;
  return say(`this kernel lacks ${lacking.join(', ')}`, advice);
}

function byVersion(a: string, b: string): number {
  const [x, y] = [a, b].map((text) => text.split('.').map(Number)) as [number[], number[]];
  return (x[0] ?? 0) - (y[0] ?? 0) || (x[1] ?? 0) - (y[1] ?? 0);
}

/** RLIM_INFINITY is the largest number of 64 bits. */
const isUnlimited = (limit: number): boolean => limit >= 2 ** 63;

const count = (limit: number): string =>
  isUnlimited(limit) ? 'unlimited' : `${limit} descriptors`;

function bytes(limit: number): string {
  if (isUnlimited(limit)) return 'unlimited';
  const [unit, size] = limit >= 1 << 20 ? ['MiB', 1 << 20] : (['KiB', 1 << 10] as const);
  return limit < 1024 ? `${limit} bytes` : `${Math.floor(limit / Number(size))} ${unit}`;
}
