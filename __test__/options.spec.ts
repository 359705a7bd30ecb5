// Pair: crates/ringcore/tests/options.rs
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  constants,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { AT_FDCWD, type Options, Runtime } from '../src/index.ts';
import { Mock, NO_FAULTS } from '../src/mock.ts';
import { child, failure, folder, runtime, until } from './support.ts';

/** The ids of this process's threads with this name. */
function threads(name: string): string[] {
  const comm = (task: string) => {
    try {
      return readFileSync(`/proc/self/task/${task}/comm`, 'utf8').trim();
    } catch {
      return ''; // It has just ended.
    }
  };
  return readdirSync('/proc/self/task').filter((task) => comm(task) === name);
}

test('wrong options are typed errors at the call', (t) => {
  const cases: [object, string, RegExp][] = [
    [{ entries: 0 }, 'ERR_OUT_OF_RANGE', /options\.entries/],
    [{ entry: 8 }, 'ERR_OUT_OF_RANGE', /options\.entry/],
    [{ sqpoll: true }, 'ERR_INVALID_ARG_TYPE', /options\.sqpoll/],
    [{ sqpoll: null }, 'ERR_INVALID_ARG_TYPE', /options\.sqpoll/],
    [{ sqpoll: { idle: 1 } }, 'ERR_OUT_OF_RANGE', /options\.sqpoll\.idle/],
    [{ sqpoll: { idleMs: 0 } }, 'ERR_OUT_OF_RANGE', /idleMs/],
    [{ sqpoll: { idleMs: 1.5 } }, 'ERR_OUT_OF_RANGE', /idleMs/],
    [{ sqpoll: { idleMs: '1' } }, 'ERR_INVALID_ARG_TYPE', /idleMs/],
    [{ sqpoll: { cpu: -1 } }, 'ERR_OUT_OF_RANGE', /cpu/],
    [{ sqpoll: { cpu: Number.NaN } }, 'ERR_OUT_OF_RANGE', /cpu/],
    [{ attach: 3 }, 'ERR_INVALID_ARG_TYPE', /options\.attach/],
    [{ attach: {} }, 'ERR_INVALID_ARG_TYPE', /options\.attach/],
    [{ maxWorkers: 4 }, 'ERR_INVALID_ARG_TYPE', /options\.maxWorkers/],
    [{ maxWorkers: [4] }, 'ERR_INVALID_ARG_VALUE', /options\.maxWorkers/],
    [{ maxWorkers: [4, 0] }, 'ERR_OUT_OF_RANGE', /unbounded/],
    [{ maxWorkers: { bounded: -1 } }, 'ERR_OUT_OF_RANGE', /bounded/],
    [{ maxWorkers: { most: 1 } }, 'ERR_OUT_OF_RANGE', /most/],
    [{ allow: 'read' }, 'ERR_INVALID_ARG_TYPE', /options\.allow/],
    [{ allow: [1] }, 'ERR_INVALID_ARG_TYPE', /options\.allow\[0\]/],
    [{ allow: ['read', 'raed'] }, 'ERR_INVALID_ARG_VALUE', /options\.allow\[1\].*raed/],
  ];
  for (const [options, code, message] of cases) {
    const error = t.throws(() => new Runtime(options as Options), { any: true });
    t.is((error as NodeJS.ErrnoException).code, code, JSON.stringify(options));
    t.regex((error as Error).message, message);
  }
  // A forgotten value is none.
  t.notThrows(() => new Runtime({ sqpoll: undefined } as unknown as Options));
});

test('a named flag that the kernel refuses is an error with its name', async (t) => {
  const refused = async (options: Options) => {
    const error = await failure(new Runtime(options).op.nop());
    t.is(error.code, 'ERR_RINGCORE_UNAVAILABLE');
    return error.message;
  };
  t.regex(await refused({ sqpoll: { cpu: 65535 } }), /SQ_AFF.*EINVAL.*CPU/);
  const plain = await runtime(t);
  t.regex(await refused({ sqpoll: {}, attach: plain }), /ATTACH_WQ.*EINVAL/);
  // A closed runtime has nothing to share, and a mock has no ring.
  await plain.close();
  const late = await failure(new Runtime({ attach: plain }).op.nop());
  t.is(late.code, 'ERR_RINGCORE_CLOSED');
  const mocked = new Runtime({}, (_options, wake) => new Mock(1, NO_FAULTS, wake));
  const error = await failure(new Runtime({ attach: mocked }).op.nop());
  t.is(error.code, 'ERR_INVALID_ARG_TYPE');
  await mocked.close();
});

test('SQPOLL is refused to a process whose effective user is another one', async (t) => {
  // Root may become somebody else in effect; nobody else can, so that there is nothing to refuse.
  const root = process.getuid?.() === 0;
  const { code, stdout, stderr } = await child(`
    const { Runtime } = ringcore;
    const outcome = (rt) => rt.op.nop().then(() => 'works', (error) => error.message);
    if (${root}) process.seteuid(65534);
    const said = [await outcome(new Runtime({ sqpoll: {} })), await outcome(new Runtime())];
    if (${root}) process.seteuid(0);
    said.push(await outcome(new Runtime({ sqpoll: {} })));
    console.log(JSON.stringify(said));
    process.exit(0);`);
  t.is(code, 0, stderr);
  const [first, plain, again] = JSON.parse(stdout) as string[];
  t.regex(first ?? '', root ? /SQPOLL is refused to a process/ : /^works$/);
  t.deepEqual([plain, again], ['works', 'works']);
});

// PAIR: only-typescript -- Rust's libraries change the user of one thread only
test('after setuid and setgid files are opened as the new user', async (t) => {
  if (process.getuid?.() !== 0) {
    t.log('only root may become somebody else');
    t.pass();
    return;
  }
  const path = folder(t);
  chmodSync(path, 0o755);
  for (const name of ['own', 'group']) writeFileSync(join(path, name), name);
  chmodSync(join(path, 'own'), 0o600);
  chmodSync(join(path, 'group'), 0o060);
  const { code, stdout, stderr } = await child(`
    const fs = process.getBuiltinModule('node:fs');
    const rt = new ringcore.Runtime();
    // An open that may create goes to a worker of the kernel, another one does not.
    const open = (name, flags) => rt.op.openat(-100, '${path}/' + name, flags, 0o600).then(
      (fd) => { fs.closeSync(fd); return 'opened'; }, ({ code }) => code);
    const all = async () => [
      await open('own', 0), await open('own', ${constants.O_CREAT}),
      await open('group', 0), await open('new', ${constants.O_CREAT | constants.O_WRONLY}),
    ];
    const before = await all();
    fs.unlinkSync('${path}/new');
    process.setgroups([]);
    process.setgid(65534);
    process.setuid(65534);
    process.stdout.write(JSON.stringify([before, await all()]));
    await rt.close();`);
  t.is(code, 0, stderr);
  const [before, after] = JSON.parse(stdout) as string[][];
  t.deepEqual(before, ['opened', 'opened', 'opened', 'opened']);
  t.deepEqual(after, ['EACCES', 'EACCES', 'EACCES', 'EACCES']);
});

/** A FIFO that nobody has open: an open that may create goes to a worker at once and blocks it. */
function fifo(t: ExecutionContext): {
  block: (rt: Runtime, count: number) => Promise<unknown>[];
  release: () => void;
} {
  const path = join(folder(t), 'fifo');
  execFileSync('mkfifo', [path]);
  return {
    block: (rt, count) =>
      Array.from({ length: count }, async () => {
        const { O_CREAT } = constants;
        await rt.op.close(await rt.op.openat(AT_FDCWD, path, O_CREAT, 0o600));
      }),
    release: () => {
      const fd = openSync(path, 'r+');
      t.teardown(() => closeSync(fd));
    },
  };
}

test.serial('max workers keeps the number of worker threads', async (t) => {
  const workers = () => threads(`iou-wrk-${process.pid}`).length;
  const limits: [Options['maxWorkers'], number][] = [
    [[2, 5], 2],
    [{ bounded: 7 }, 7],
    [undefined, 7],
  ];
  for (const [maxWorkers, most] of limits) {
    const { block, release } = fifo(t);
    const rt = await runtime(t, maxWorkers === undefined ? {} : { maxWorkers });
    const opens = block(rt, 20);
    // The defaults, 4, do not replace what was named for this thread.
    let early: unknown = null;
    Promise.race(opens).then(
      () => (early ??= 'an open has ended'),
      (error) => (early ??= error),
    );
    await until(() => early !== null || workers() >= most);
    t.is(early, null, `${early}`);
    await delay(50);
    t.is(workers(), most);
    release();
    await Promise.all(opens);
    await rt.close();
    await until(() => workers() <= 2);
  }
});

test('max workers keeps the number of threads for what may wait for ever', async (t) => {
  const path = folder(t);
  execFileSync('mkfifo', [join(path, 'from'), join(path, 'to')]);
  // Workers belong to the thread: each limit has a process of its own.
  for (const unbounded of [1, 3, 6]) {
    const { code, stdout, stderr } = await child(`
      const fs = process.getBuiltinModule('node:fs');
      const rt = new ringcore.Runtime({ maxWorkers: { bounded: 2, unbounded: ${unbounded} } });
      const [from, to] = ['from', 'to'].map((name) => fs.openSync('${path}/' + name, 'r+'));
      const workers = () => fs.readdirSync('/proc/self/task').filter((task) => {
        try {
          return /^iou-wrk/.test(fs.readFileSync('/proc/self/task/' + task + '/comm', 'utf8'));
        } catch {
          return false;
        }
      }).length;
      // A splice out of an empty pipe waits in its worker, and in one of those for no file.
      const all = Array.from({ length: 12 }, () => {
        return rt.op.splice(from, -1, to, -1, 1).then((count) => count);
      });
      while (workers() < ${unbounded}) await rt.op.timeout(1);
      await rt.op.timeout(50);
      const found = workers();
      fs.writeSync(from, 'x'.repeat(12));
      const moved = await Promise.all(all);
      await rt.close();
      process.stdout.write(JSON.stringify([found, moved.filter((count) => count === 1).length]));`);
    t.is(code, 0, stderr);
    t.deepEqual(JSON.parse(stdout), [unbounded, 12]);
  }
});

test.serial('attached rings together keep to max workers', async (t) => {
  const { block, release } = fifo(t);
  const sqpoll = { idleMs: 20 };
  const first = await runtime(t, { sqpoll, maxWorkers: { bounded: 3, unbounded: 2 } });
  const [poller] = threads(`iou-sqp-${process.pid}`);
  const rts = await Promise.all(
    Array.from({ length: 8 }, () => runtime(t, { sqpoll, attach: first })),
  );
  const opens = rts.flatMap((rt) => block(rt, 4));
  await delay(300);
  const found = threads(`iou-wrk-${poller}`).length;
  t.true(found === 2 || found === 3, `${found} workers`);
  release();
  await Promise.all(opens);
});

test('an operation that is not allowed is refused with its name and the list', async (t) => {
  const rt = await runtime(t, { allow: ['openat', 'acceptMultishot'] });
  t.true(rt.flags.includes('R_DISABLED'));
  t.true(rt.allowed?.includes('accept') && rt.allowed.includes('openat'));
  const fd = await rt.op.openat(AT_FDCWD, '/dev/null', 0);
  const view = new Uint8Array(10).fill(7);
  const error = await failure(rt.op.read(fd, view));
  t.deepEqual([error.code, error.errno, error.syscall], ['EACCES', -13, 'read']);
  t.regex(error.message, /^EACCES: permission denied, read: op\.read is not in .* allow list/);
  t.regex(error.message, /\(.*openat.*\)/);
  t.deepEqual(view, new Uint8Array(10).fill(7));
  t.is((await failure(rt.op.write(fd, view))).code, 'EACCES');
  // In a chain as well, whose other members do not run.
  const [open, read] = [rt.op.openat(AT_FDCWD, '/dev/null', 0), rt.op.read(fd, view)];
  t.is((await failure(rt.op.link(open, read))).code, 'EACCES');
  t.is((await failure(open)).code, 'ECANCELED');
  t.deepEqual(await rt.op.link(rt.op.nop(), rt.op.nop({ result: 2 })), [0, 2]);
  // What the runtime needs for itself is allowed to everybody.
  await rt.op.close(fd);
  await rt.op.timeout(1);
  const timer = rt.op.timeout(60_000);
  timer.begin();
  await rt.op.cancel(timer);
  t.is((await failure(timer)).code, 'ABORT_ERR');
  t.is(rt.stats().inFlight, 0);
  // Two runtimes of one thread have lists of their own.
  const other = await runtime(t);
  t.is(other.allowed, null);
  const own = await other.op.openat(AT_FDCWD, '/dev/null', 0);
  t.is(await other.op.read(own, view), 0);
  await other.op.close(own);
});
