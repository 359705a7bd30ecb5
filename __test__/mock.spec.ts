import test, { type ExecutionContext } from 'ava';
import { AT_FDCWD, all, type Future, type Op, Runtime, race, yieldNow } from '../src/index.ts';
import { type Faults, Mock, patternOf, Random } from '../src/mock.ts';
import { Lifecycle } from '../src/slot.ts';

const stress = process.env.RINGCORE_STRESS === '1';
const only = process.env.RINGCORE_SEED;
const SEEDS = only === undefined ? (stress ? 1000 : 100) : 1;
const STEPS = 10_000;
const TASKS = 16;
const SIZES = [0, 1, 7, 511, 512, 513, 4096, 4097, 9000];

test('the same seed gives the same numbers in both languages', (t) => {
  const random = new Random(42);
  const numbers = Array.from({ length: 4 }, () => random.next());
  t.deepEqual(numbers, [3034745910, 1239674372, 2957899445, 3723587320]);
  t.deepEqual([random.below(10), random.below(1000), random.below(0)], [9, 489, 0]);
  t.is(new Random(0).next(), 270369);
});

test('a fault percentage of 0 never strikes and one of 100 always does', (t) => {
  const random = new Random(7);
  for (let i = 0; i < 1000; i++) {
    t.false(random.chance(0));
    t.true(random.chance(100));
  }
});

/** Operations that the steps below do not name. */
const OTHERS: readonly ((op: Runtime['op']) => Op<unknown>)[] = [
  (op) => op.statx(AT_FDCWD, 'some/path'),
  (op) => op.renameat(AT_FDCWD, 'a', AT_FDCWD, 'b'),
  (op) => op.unlinkat(AT_FDCWD, 'a'),
  (op) => op.fsync(3),
  (op) => op.listen(3),
  (op) => op.splice(3, -1, 4, -1, 100),
  (op) => op.readv(3, [new Uint8Array(5), new Uint8Array(700)], 7),
  (op) => op.recv(3, new Uint8Array(100)),
];

/** One seed: tasks with random operations, then checks of what must hold whatever happened. */
class Simulation {
  readonly plan: Random;
  readonly runtime: Runtime;
  readonly ops: { readonly ticket: number; readonly settled: boolean }[] = [];
  mock!: Mock;
  steps = 0;
  settled = 0;
  readonly wrong: string[] = [];
  /** Descriptors that tasks received and have not closed: an abort may end their finally blocks. */
  readonly owned: Set<number> = new Set();
  private readonly limit: number;

  constructor(seed: number, steps: number) {
    const plan = new Random(seed + 77_777);
    this.plan = plan;
    this.limit = steps;
    const faults: Faults = {
      enter: plan.below(20),
      late: plan.below(101),
      error: plan.below(30),
      short: plan.below(60),
      crowded: plan.below(40),
      lostWake: 0,
    };
    this.runtime = new Runtime({}, (_options, wake) => {
      this.mock = new Mock(seed, faults, wake);
      return this.mock;
    });
  }

  keep<T>(op: Op<T>): Op<T> {
    this.ops.push(op);
    return op;
  }

  /** Errors that the mock makes, and no others. */
  expected(error: unknown): void {
    const { code } = error as { code?: string };
    if (['EIO', 'ABORT_ERR', 'ENOENT', 'EALREADY', 'ERR_RINGCORE_CLOSED'].includes(code ?? '')) {
      return;
    }
    this.wrong.push(String((error as Error).stack));
  }

  *read(signal?: AbortSignal): Generator<Future<unknown>, void, unknown> {
    const [fd, offset] = [this.plan.below(100), this.plan.below(1000)];
    const buffer = new Uint8Array(SIZES[this.plan.below(SIZES.length)]).fill(0xee);
    const read = this.runtime.op.read(fd, buffer, offset, { signal });
    const count = yield* this.keep(read);
    const pattern = patternOf(fd, offset);
    const good = buffer.every((byte, i) => byte === (i < count ? pattern : 0xee));
    if (!good) this.wrong.push(`a read of ${buffer.length} brought other bytes than its own`);
  }

  *write(): Generator<Future<unknown>, void, unknown> {
    const [fd, offset] = [this.plan.below(100), this.plan.below(1000)];
    const bytes = new Uint8Array(SIZES[this.plan.below(SIZES.length)]);
    bytes.fill(patternOf(fd, offset));
    const write = this.keep(this.runtime.op.write(fd, bytes, offset));
    write.begin();
    bytes.fill(0); // The bytes were copied at the start.
    yield* write;
  }

  /** Whatever its outcome, the number is nobody's any more. */
  *close(mine: Set<number>, fd: number): Generator<Future<unknown>, void, unknown> {
    mine.delete(fd);
    this.owned.delete(fd);
    yield* this.keep(this.runtime.op.close(fd));
  }

  *open(mine: Set<number>): Generator<Future<unknown>, void, unknown> {
    const { op } = this.runtime;
    // Whoever wins: a descriptor that nobody received is closed by the runtime.
    const way = this.plan.below(3);
    const opened = this.keep(op.openat(AT_FDCWD, 'some/path', 0));
    const rival = this.keep(way === 1 ? op.nop({ result: -5 }) : op.openat(-100, 'other/path', 0));
    const fd = yield* way === 0 ? opened : race([opened, rival]);
    mine.add(fd);
    this.owned.add(fd);
  }

  *cancel(): Generator<Future<unknown>, void, unknown> {
    const target = this.keep(this.runtime.op.read(3, new Uint8Array(100), 0));
    target.begin();
    target.catch(() => {});
    if (this.plan.chance(50)) yield* yieldNow();
    const cancelled = this.keep(this.runtime.op.cancel(target));
    yield* cancelled;
    if (!target.settled) yield* target; // 0 says that it ends, its completion may come later.
  }

  *abort(mine: Set<number>): Generator<Future<unknown>, void, unknown> {
    const child = this.runtime.spawn(() => this.body(3));
    const controller = new AbortController();
    const late = this.plan.below(3);
    if (late === 0) controller.abort();
    else if (late === 1) setImmediate(() => controller.abort());
    else queueMicrotask(() => controller.abort());
    try {
      yield* this.read(controller.signal);
      if (this.plan.chance(50)) yield* this.open(mine);
    } finally {
      child.abort();
    }
    yield* child;
  }

  /** One of the others. */
  *others(mine: Set<number>): Generator<Future<unknown>, void, unknown> {
    const { op } = this.runtime;
    const kind = this.plan.below(OTHERS.length + 4);
    const other = OTHERS[kind];
    if (other !== undefined) {
      yield* this.keep(other(op));
      return;
    }
    if (kind < OTHERS.length + 2) {
      const polls = kind === OTHERS.length;
      const [poll, timer] = [op.pollAdd(0, 4), op.timeout(9)];
      const target = this.keep<unknown>(polls ? poll : timer);
      target.begin();
      target.catch(() => {});
      yield* this.keep(polls ? op.pollRemove(poll) : op.timeoutUpdate(timer, 1));
      return;
    }
    const opened = this.keep(kind % 2 === 0 ? op.socket(1, 1) : op.accept(3));
    const fd = yield* opened;
    mine.add(fd);
    this.owned.add(fd);
  }

  *step(mine: Set<number>): Generator<Future<unknown>, void, unknown> {
    const { op } = this.runtime;
    const kind = this.plan.below(100);
    if (kind < 30) yield* this.read();
    else if (kind < 45) yield* this.write();
    else if (kind < 57) yield* this.open(mine);
    else if (kind < 70) {
      const [fd] = mine;
      if (fd !== undefined) yield* this.close(mine, fd);
    } else if (kind < 75) yield* this.keep(op.timeout(this.plan.below(50)));
    else if (kind < 80) {
      yield* race([this.keep(op.read(1, new Uint8Array(9))), this.keep(op.pollAdd(1, 1))]);
    } else if (kind < 85) yield* this.abort(mine);
    else if (kind < 90) yield* this.cancel();
    else if (kind < 91) yield* this.others(mine);
    else if (kind < 92) yield* yieldNow();
    else if (kind < 94) {
      yield* all(Array.from({ length: 30 }, () => this.keep(op.pollAdd(0, 1))));
    } else yield* this.keep(op.nop());
  }

  *body(steps: number): Generator<Future<unknown>, void, unknown> {
    const mine = new Set<number>();
    try {
      for (let i = 0; i < steps && this.steps < this.limit; i++) {
        this.steps++;
        try {
          yield* this.step(mine);
        } catch (error) {
          this.expected(error);
        }
      }
    } finally {
      for (const fd of mine) yield* this.close(mine, fd);
    }
  }

  async run(): Promise<string[]> {
    const { runtime, wrong } = this;
    const handles = Array.from({ length: TASKS }, () => runtime.spawn(() => this.body(this.limit)));
    const ends = handles.map((handle) =>
      handle.then(
        () => this.settled++,
        (error) => {
          this.settled++;
          this.expected(error);
        },
      ),
    );
    // Half of the seeds are closed in the middle, with everything in flight.
    if (this.plan.chance(50)) {
      while (this.steps < this.limit / 2) await new Promise((resolve) => setImmediate(resolve));
    } else {
      await Promise.all(ends);
    }
    const { regions } = runtime.executor.reactor.ring;
    await runtime.close();
    await Promise.all(ends);
    const { mock } = this;
    // One that nobody polled is still Fresh: it was only described.
    const begun = this.ops.filter((op) => Reflect.get(op, 'lifecycle') !== Lifecycle.Fresh);
    const open = begun.filter((op) => op.ticket >= 0 || !op.settled).length;
    const lost = [...mock.world.open].filter((fd) => !this.owned.has(fd));
    const gone = [...this.owned].filter((fd) => !mock.world.open.has(fd));
    const checks: Record<string, number> = {
      'tasks did not settle': TASKS - this.settled,
      'operations did not settle': open,
      'operations are in flight after close': mock.inFlight,
      'regions are held by the kernel': mock.busyRegions,
      'regions are held by operations': regions.held,
      'descriptors are open that nobody owns': lost.length,
      'descriptors of tasks were closed': gone.length,
      'descriptors were closed twice': mock.world.badCloses,
      'writes brought bytes of others': mock.world.badWrites,
    };
    for (const [text, count] of Object.entries(checks)) {
      if (count !== 0) wrong.push(`${count} ${text}`);
    }
    if (!mock.freed) wrong.push('the memory was not let go');
    return wrong;
  }
}

test('every operation region and descriptor ends exactly once whatever the kernel does', everyEnd);

async function everyEnd(t: ExecutionContext): Promise<void> {
  t.timeout(stress ? 1_800_000 : 110_000);
  let steps = 0;
  for (let i = 0; i < SEEDS; i++) {
    const seed = only === undefined ? i + 1 : Number(only);
    const simulation = new Simulation(seed, STEPS);
    const wrong = await simulation.run();
    steps += simulation.steps;
    if (wrong.length > 0) {
      t.fail(`RINGCORE_SEED=${seed} after ${simulation.steps} steps: ${wrong.slice(0, 5)}`);
      return;
    }
  }
  t.true(steps > (SEEDS * STEPS) / 3, `${steps} steps were taken`);
}
