// PAIR: only-typescript lifecycle.spec.ts -- ends of workers, processes and callbacks are Node's
// matter; a Rust program ends with its main function, which tests/teardown.rs can see from inside.

import { cpSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ExecutionContext } from 'ava';
import test from 'ava';
import {
  ASAN,
  child,
  type Ended,
  except,
  MAPS,
  RUNTIME,
  report,
  STRESS,
} from './lifecycle/child.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');
const MINUTES = 60_000;

// --- workers ------------------------------------------------------------------------------------

interface Usage {
  maps: number;
  rings: number;
  virtual: number;
  resident: number;
  parkers: number;
  workers: number;
  others: number;
  fds: number;
}

interface Workers {
  codes: Record<string, number>;
  errors: Record<string, number>;
  before: Usage;
  after: Usage;
  swallowed: number;
}

// A worker of Deno's takes most of a second to start.
const ENDS = (RUNTIME === 'deno' ? 15 : 50) * STRESS;
// The thread pools of Bun and Deno, and Deno's descriptors for its own, come and go by themselves.
const OWN = { fds: RUNTIME === 'deno' ? 4 : 0, others: RUNTIME === 'node' ? 0 : 4 };
// Under AddressSanitizer one takes two seconds on a machine with much else to do.
const SLOW = ASAN ? 3 : 1;
const LIMIT = { limit: 2 * STRESS * SLOW * MINUTES };

/** Node's own event loop waits for completions, unless it is told to leave that to a thread. */
const THREAD = { RINGCORE_PARKER: 'thread' };

/** Resident MiB that as many workers with node:fs leave behind. */
async function control(t: ExecutionContext): Promise<number> {
  const args = ['terminate', String(ENDS), 'node'];
  const { before, after } = await report<Workers>(t, 'workers.mjs', args, LIMIT);
  return after.resident - before.resident;
}

async function workersLeaveNothing(
  t: ExecutionContext,
  kind: string,
  code: number,
  env: Record<string, string> = {},
) {
  t.timeout(5 * STRESS * SLOW * MINUTES);
  // Deno prints the errors of workers as well.
  const how = kind === 'throw' && RUNTIME === 'deno' ? { stderr: /thrown on purpose/ } : {};
  const args = [kind, String(ENDS)];
  const found = await report<Workers>(t, 'workers.mjs', args, { ...LIMIT, ...how, env });
  const { before, after } = found;
  // Bun ends a worker with 0 after an unhandled rejection (oven-sh/bun#34193): every third throw.
  const { 0: rejected = 0, ...codes } = found.codes;
  const zeros = kind === 'throw' && RUNTIME === 'bun' ? rejected : 0;
  t.deepEqual(zeros > 0 ? codes : found.codes, { [code]: ENDS - zeros });
  t.true(zeros <= ENDS / 3, `${zeros} of ${ENDS}`);
  t.deepEqual(found.errors, kind === 'throw' ? { 'thrown on purpose': ENDS } : {});
  t.is(found.swallowed, 0, 'a read of a dead ring took bytes from a pipe');
  for (const name of ['parkers', 'workers', 'rings'] as const)
    t.is(after[name], before[name], name);
  for (const name of ['fds', 'others'] as const) {
    const more = after[name] - before[name];
    t.true(Math.abs(more) <= OWN[name], `${more} more ${name}`);
  }
  // The collector splits and joins mappings of its own; a leak would be at least one a worker.
  // Deno's heap has 17 more after 15 workers and 30 less after 40; a ring has six of its own.
  const maps = RUNTIME === 'deno' ? 2 : MAPS;
  t.true(after.maps - before.maps < ENDS * maps, `mappings: ${before.maps} -> ${after.maps}`);
  t.true(after.virtual - before.virtual < 512, `MiB: ${before.virtual} -> ${after.virtual}`);
  const grown = after.resident - before.resident;
  // What the sanitizer keeps of freed memory comes to it.
  const allowed = Math.max(0, await control(t)) + (ASAN ? 64 : 16);
  t.true(grown <= allowed, `resident memory grew by ${grown} MiB, ${allowed} are allowed`);
}

test.serial('workers that end naturally leave nothing behind', workersLeaveNothing, 'natural', 0);
test.serial('workers that call process.exit leave nothing behind', workersLeaveNothing, 'exit', 3);
test.serial('workers that throw leave nothing behind', workersLeaveNothing, 'throw', 1);
test.serial('terminated workers leave nothing behind', workersLeaveNothing, 'terminate', 1);

// Bun and Deno have the thread anyway.
if (RUNTIME === 'node') {
  const title = 'terminated workers whose rings wait in a thread leave nothing behind';
  test.serial(title, workersLeaveNothing, 'terminate', 1, THREAD);
}

test.serial('terminated workers leave no connection that waited in a stream', async (t) => {
  t.timeout(5 * STRESS * SLOW * MINUTES);
  const args = [String(20 * STRESS)];
  const found = await report<{ rounds: number; before: number; after: number }>(
    t,
    'streams.mjs',
    args,
    LIMIT,
  );
  t.is(found.rounds, 20 * STRESS);
  const more = found.after - found.before;
  // Several waited in each worker; one that was being handed over is the worker's (known limits).
  const most = Math.max(OWN.fds, found.rounds / 10);
  t.true(more >= -OWN.fds && more <= most, `${more} more descriptors`);
});

test.serial('workers that are terminated while they copy leave no thread', async (t) => {
  t.timeout(5 * STRESS * SLOW * MINUTES);
  const root = mkdtempSync(join(tmpdir(), 'ringcore-'));
  t.teardown(() => rmSync(root, { recursive: true }));
  const count = 20 * STRESS;
  interface Found {
    codes: Record<string, number>;
    idle: boolean;
    before: number;
    after: number;
    rest: string[];
    mine: boolean;
  }
  const found = await report<Found>(t, 'lane.mjs', [String(count), root], LIMIT);
  t.deepEqual(found.codes, { 1: count + 1 });
  t.true(found.idle, 'its threads end when nothing is to do');
  t.true(Math.abs(found.after - found.before) <= OWN.fds, `${found.before} -> ${found.after}`);
  t.true(found.mine, 'the copy of another thread went on');
  // Whole copies stay, what was cut short does not.
  for (const name of found.rest) t.is(statSync(join(root, name)).size, 64 << 20, name);
});

// --- memory and descriptors ---------------------------------------------------------------------

interface Spray {
  rounds: number;
  overwritten: number;
  written: number;
  reads: number;
}

test.serial('nothing is written after close()', async (t) => {
  t.timeout(2 * STRESS * MINUTES);
  const found = await report<Spray>(t, 'spray.mjs', ['ring'], LIMIT);
  t.is(found.written, 0, 'regions changed after close()');
  t.is(found.overwritten, 0);
  t.is(found.reads, 64 * found.rounds);
});

test.serial('reads that outlive their worker write to nobody else', async (t) => {
  t.timeout(2 * STRESS * MINUTES);
  const found = await report<Spray>(t, 'spray.mjs', ['worker'], LIMIT);
  t.is(found.overwritten, 0);
});

interface Opens {
  workers: number;
  rounds: number;
  ended: number;
  received: number;
  left: number;
  most: number;
  losers: number;
  before: number;
  after: number;
  control: { losers: number; workers: number } | null;
}

test.serial('opens that race terminate() are closed, unless a callback got them', async (t) => {
  t.timeout(4 * STRESS * MINUTES);
  const workers = RUNTIME === 'deno' ? 40 : 200;
  // The control is Node's own node:fs, which no sanitizer slows. Deno's closes with a worker what
  // it opened there. Bun's loses fewer: JavaScriptCore stops at any call, and it makes only one.
  const control = RUNTIME === 'node' && !ASAN ? ['control'] : [];
  const args = ['workers', String(workers), ...control];
  const found = await report<Opens>(t, 'opens.mjs', args, { limit: 4 * STRESS * MINUTES });
  t.is(found.workers, workers * STRESS);
  t.true(found.received > 0);
  // terminate() may stop JavaScript between the delivery and the first line of the callback: one
  // descriptor of a worker at most. Those that wait in the ring or in its list are a hundred each.
  t.true(found.most <= 1, `a worker left ${found.most}`);
  t.is(found.left, found.losers);
  t.true(Math.abs(found.after - found.before - found.left) <= OWN.fds);
  if (found.control !== null) {
    const [ours, node] = [found, found.control].map(({ losers, workers }) => losers / workers);
    t.true((ours as number) <= (node as number), `${ours} of the workers, with node:fs ${node}`);
  }
});

test.serial('files that a terminated worker was reading are closed', async (t) => {
  t.timeout(4 * STRESS * MINUTES);
  const workers = RUNTIME === 'deno' ? 15 : 60;
  const found = await report<Opens>(t, 'fs-looks.mjs', [String(workers)], LIMIT);
  t.is(found.workers, workers * STRESS);
  t.true(Math.abs(found.after - found.before) <= OWN.fds, `${found.before} -> ${found.after}`);
});

test.serial('aborted opens leave no descriptor', async (t) => {
  t.timeout(2 * STRESS * MINUTES);
  const found = await report<Opens>(t, 'opens.mjs', ['aborted'], LIMIT);
  t.is(found.ended + found.received, 1000 * STRESS);
  t.true(found.ended > 0 && found.received > 0);
  t.is(found.left, 0);
  t.true(Math.abs(found.after - found.before) <= OWN.fds);
});

test.serial('a read that is aborted while its byte arrives has one outcome', async (t) => {
  t.timeout(2 * STRESS * MINUTES);
  const found = await report<Record<string, number>>(t, 'races.mjs', [], LIMIT);
  const { rounds, delivered, aborted, both, lost, wrong } = found;
  t.deepEqual(
    { rounds, both, lost, wrong },
    { rounds: 10_000 * STRESS, both: 0, lost: 0, wrong: 0 },
  );
  t.is((delivered as number) + (aborted as number), rounds as number);
  t.true((delivered as number) > 0 && (aborted as number) > 0);
});

// --- the main thread ----------------------------------------------------------------------------

/** The end of a scenario: what it said before the milliseconds that it took. */
async function ends(t: ExecutionContext, scenario: string, said: string[], most = 5000) {
  const { code, signal, stdout, stderr } = await child('main.mjs', [scenario]);
  t.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' }, scenario);
  const lines = stdout.trim().split('\n');
  const took = Number(lines.pop());
  t.deepEqual(lines, said, scenario);
  // The timers beside it take 10 s: whatever ends in half of that did not wait for them.
  t.true(took < most, `${scenario} took ${took} ms`);
  return took;
}

test.serial('an idle ring lets the process end', async (t) => {
  await ends(t, 'idle', []);
});

test.serial('an operation in flight keeps the process alive', async (t) => {
  t.true((await ends(t, 'pending', ['settled'])) >= 300);
  t.true((await ends(t, 'pendingPipe', ['read 3'])) >= 299);
});

for (const [title, scenario] of [
  ['an unreferenced operation', 'unrefOp'],
  ['an operation unreferenced in flight', 'unrefInFlight'],
  ['an operation made with ref: false', 'unrefOption'],
  ['a sleep made with ref: false', 'unrefSleep'],
  ['an unreferenced runtime', 'unrefRuntime'],
  ['a runtime unreferenced before its first use', 'unrefRuntimeBeforeUse'],
  ['an unreferenced runtime that is always busy', 'unrefRuntimeBusy'],
  ['an unreferenced task', 'unrefHandle'],
  ['an operation referenced twice and unreferenced once', 'refTwiceUnrefOnce'],
  ['a runtime closed with everything in flight', 'closeEverything'],
] as const) {
  test.serial(`${title} lets the process end`, async (t) => {
    await ends(t, scenario, []);
  });
}

for (const [title, scenario] of [
  ['an operation', 'refAgain'],
  ['a runtime', 'refRuntimeAgain'],
  ['a task', 'refHandleAgain'],
] as const) {
  test.serial(`${title} referenced again keeps the process alive`, async (t) => {
    t.true((await ends(t, scenario, ['settled'])) >= 299);
  });
}

test.serial('operations in a row keep the process alive each in turn', async (t) => {
  t.true((await ends(t, 'sequence', ['settled'])) >= 300);
});

test.serial('what a cancel is waited for keeps the process alive', async (t) => {
  await ends(t, 'abortedTask', ['settled']);
  await ends(t, 'timedOut', ['ETIMEDOUT']);
});

test.serial('timers of the user are not disturbed', async (t) => {
  await ends(t, 'otherTimers', ['settled']);
});

function endsWith(t: ExecutionContext, ended: Ended, code: number | null, stderr: RegExp) {
  t.is(ended.code, code);
  t.regex(ended.stderr, stderr);
  t.notRegex(ended.stderr, /panicked|abort|open handles|FATAL|core dumped/i);
}

test.serial('process.exit with everything in flight ends with its code', async (t) => {
  endsWith(t, await child('main.mjs', ['exit'], { limit: 20_000 }), 7, /^$/);
  endsWith(t, await child('main.mjs', ['exitInTurn'], { limit: 20_000 }), 7, /^$/);
});

test.serial('process.exit finishes the copies that have begun, as Node does', async (t) => {
  // Bun's and Deno's own copies are cut off.
  for (const by of RUNTIME === 'node' ? ['node', 'ring'] : ['ring']) {
    const root = mkdtempSync(join(tmpdir(), 'ringcore-'));
    t.teardown(() => rmSync(root, { recursive: true }));
    endsWith(t, await child('exit-copies.mjs', [by, root]), 5, /^$/);
    const sizes = readdirSync(root).map((name) => statSync(join(root, name)).size);
    t.deepEqual(sizes, Array(9).fill(64 << 20), by);
  }
});

const IMMEDIATES = { bun: 'immediates run on after an uncaught error, oven-sh/bun#38522' };
except(IMMEDIATES)('an uncaught error with everything in flight ends with 1', async (t) => {
  endsWith(t, await child('main.mjs', ['uncaught'], { limit: 20_000 }), 1, /thrown on purpose/);
});

test.serial('SIGTERM with everything in flight ends the process', async (t) => {
  const said = (pid: number, text: string) => {
    if (text === 'ready\n') process.kill(pid, 'SIGTERM');
  };
  const ended = await child('main.mjs', ['signal'], { limit: 20_000, said });
  endsWith(t, ended, null, /^$/);
  t.is(ended.signal, 'SIGTERM'); // 143 for a shell.
});

const NEVER = { bun: 'it waits for ever for a module that awaits, oven-sh/bun#33286' };
except(NEVER)('an unreferenced operation that never ends leaves its await unsettled', async (t) => {
  const [code, said] = RUNTIME === 'deno' ? [1, 'Top-level await'] : [13, ''];
  endsWith(t, await child('main.mjs', ['neverEnds']), code, new RegExp(said));
});

// --- import -------------------------------------------------------------------------------------

interface Imported {
  before: { others: number };
  after: { others: number };
  loaded: boolean;
  used: number | null;
  error: null | {
    code: string;
    message: string;
    reason: string;
    advice: string;
    typed: boolean;
  };
  probe: { available: boolean; reason: string | null; backend: string };
}

/** The threads of a runtime's own pool are Node's alone to keep still. */
function nothingMore(t: ExecutionContext, { before, after }: Imported) {
  const { others } = before;
  t.deepEqual(RUNTIME === 'node' ? after : { ...after, others }, before);
}

for (const scenario of ['import', 'require']) {
  test.serial(`${scenario} opens and loads nothing`, async (t) => {
    // Node before 22.13 says that require() of a module is an experiment; not our business.
    const how = { node: ['--no-warnings'] };
    const found = await report<Imported>(t, 'import.mjs', [ROOT, scenario], how);
    nothingMore(t, found);
    t.false(found.loaded);
    t.is(found.used, 0);
    t.true(found.probe.available);
  });
}

function unavailable(t: ExecutionContext, found: Imported, reason: RegExp, advice: RegExp) {
  nothingMore(t, found);
  t.false(found.loaded);
  t.is(found.error?.code, 'ERR_RINGCORE_UNAVAILABLE');
  t.true(found.error?.typed);
  t.regex(found.error?.reason ?? '', reason);
  t.regex(found.error?.advice ?? '', advice);
  t.deepEqual(found.probe, {
    available: false,
    reason: found.error?.reason as string,
    backend: 'node',
  });
}

test.serial(
  'without its binary the package imports silently and says so at first use',
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'ringcore-life-'));
    t.teardown(() => rmSync(folder, { recursive: true }));
    for (const name of ['dist', 'package.json', 'index.cjs']) {
      cpSync(join(ROOT, name), join(folder, name), { recursive: true });
    }
    t.false(readdirSync(folder).some((name) => name.endsWith('.node')));
    const found = await report<Imported>(t, 'import.mjs', [folder, 'import']);
    unavailable(t, found, /the package ringcore-linux-\w+-\w+ is not installed/, /Reinstall/);
  },
);

test.serial(
  'on another platform the package imports silently and says so at first use',
  async (t) => {
    const found = await report<Imported>(t, 'import.mjs', [ROOT, 'import', 'darwin']);
    unavailable(t, found, /io_uring is Linux's, this is darwin/, /on Linux/);
  },
);

const MODEL = { bun: 'it has no permission model', deno: 'its own is in compat.spec.ts' };
except(MODEL)('a permission model without addons names --allow-addons', async (t) => {
  const { stdout } = await child('/dev/null', [], { node: ['--version'] });
  const flag =
    Number(stdout.slice(1).split('.')[0]) < 23 ? 'experimental-permission' : 'permission';
  const node = [`--${flag}`, '--no-warnings', '--allow-fs-read=*'];
  const found = await report<Imported>(t, 'import.mjs', [ROOT, 'import'], { node });
  unavailable(t, found, /native addons are disabled/, /--allow-addons/);
});

// --- rings beside each other, children, idling --------------------------------------------------

test.serial('rings in one thread and in eight workers live side by side', async (t) => {
  interface Rings {
    both: number[];
    alive: number;
    reads: number[];
    most: number;
    gone: boolean;
  }
  const found = await report<Rings>(t, 'rings.mjs');
  t.is(found.alive, 0);
  t.is(found.reads.length, 9);
  t.true([...found.both, ...found.reads].every((count) => count > 0));
  t.true(found.most > 0 && found.most <= 9 * (4 + 64), `${found.most} threads in io-wq`);
  t.true(found.gone);
});

test.serial('children that are started during reads inherit nothing', async (t) => {
  interface Spawned {
    children: number;
    inherited: string[];
    reads: number;
    wrong: number;
    kept: boolean;
  }
  const { reads, ...found } = await report<Spawned>(t, 'spawned.mjs');
  t.true(reads > 0);
  t.deepEqual(found, { children: 100, inherited: [], wrong: 0, kept: true });
});

test.serial('a ring that waits uses no processor time', async (t) => {
  interface Share {
    cpuShare: number;
    wakes: number;
    turns: number;
  }
  interface Idle {
    idle: Share;
    waiting: Share;
    counts: number[];
    wake: string;
  }
  const found = await report<Idle>(t, 'idle.mjs');
  for (const { cpuShare, wakes, turns } of [found.idle, found.waiting]) {
    t.true(cpuShare < 0.01, `${cpuShare} of a processor`);
    t.deepEqual({ wakes, turns }, { wakes: 0, turns: 0 });
  }
  t.deepEqual(found.counts, [3, 3]);
  t.is(found.wake, 'ok');
});

// --- callbacks and collection -------------------------------------------------------------------

for (const [scenario, title, expected] of [
  [
    'throwing',
    'a callback that throws is an unhandled rejection and disturbs nobody',
    { seen: ['one function', 'two functions'], others: 200, caught: 'caught handled' },
  ],
  ['submitting', 'a callback may submit a thousand more', { settled: 5000 }],
  [
    'closing',
    'a callback that closes the runtime lets everything settle once',
    { value: 200, closed: 100, other: 0, after: 'ERR_RINGCORE_CLOSED' },
  ],
  [
    'closingInside',
    'close() in the middle of a delivery lets everything settle once',
    { value: 200, closed: 100, other: 0 },
  ],
  [
    'wakerAfterClose',
    'a waker that is called after close does nothing',
    { outcome: 'ABORT_ERR', other: 'works' },
  ],
  ['reentrant', 'tasks may run tasks from a delivery', { sum: 1225, inFlight: 0 }],
] as const) {
  test.serial(title, async (t) => {
    t.like(await report<object>(t, 'callbacks.mjs', [scenario], { limit: 20_000 }), expected);
  });
}

test.serial('Node waits in its event loop, without a thread for each ring', async (t) => {
  const threads = async (env: Record<string, string>) =>
    (await report<{ threads: number }>(t, 'callbacks.mjs', ['waiting'], { env })).threads;
  t.is(await threads({}), RUNTIME === 'node' ? 0 : 1);
  t.is(await threads(THREAD), 1);
});

for (const [title, env] of [
  ['the event loop', {}],
  ['a thread', THREAD],
] as const) {
  test.serial(`with ${title} waiting, what is thrown behind a wake-up is uncaught`, async (t) => {
    const how = { limit: 20_000, env };
    const found = await report<object>(t, 'callbacks.mjs', ['throwingLater'], how);
    t.deepEqual(found, { seen: ['tick', 'microtask'], others: 2 });
  });

  test.serial(`with ${title} waiting, a ring may be closed by what it woke`, async (t) => {
    const how = { limit: 20_000, env };
    const found = await report<object>(t, 'callbacks.mjs', ['closingBehind'], how);
    t.deepEqual(found, { closed: 100 });
  });
}

test.serial('sockets have their turns while stats are awaited in a loop', async (t) => {
  const count = 50_000 * STRESS;
  const found = await report<{ stats: number; echoes: number }>(t, 'fs-turns.mjs', [`${count}`]);
  t.is(found.stats, count);
  // Some hundred iterations of half a millisecond: an echo takes two of them, on Deno four.
  t.true(found.echoes >= 25, `${found.echoes} echoes`);
});

test.serial('bytes land in buffers that only the operation refers to', async (t) => {
  interface Collected {
    rounds: number;
    landed: number;
    wrong: number;
    collected: boolean;
  }
  const found = await report<Collected>(t, 'collected.mjs', [], {
    ...LIMIT,
    node: ['--expose-gc'],
  });
  t.deepEqual(found, {
    rounds: 20 * STRESS,
    landed: 660 * STRESS,
    wrong: 0,
    collected: true,
  });
});
