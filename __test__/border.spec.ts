// Pair: crates/ringcore/tests/border.rs
import { closeSync, readdirSync, readlinkSync } from 'node:fs';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { Border } from '../src/border.ts';
import * as C from '../src/cqe.ts';
import { checkOptions, Kernel } from '../src/kernel.ts';
import * as S from '../src/sqe.ts';
import { descriptors, many, pipe } from './support.ts';

const [ENOENT, EBADF, EINVAL, ECANCELED] = [-2, -9, -22, -125];
const AT_FDCWD = -100;
/** No descriptor of this process. */
const UNUSED = 0x3fffffff;

type Words = Record<number, number>;
type Descriptor = number[];
type Completion = [ticket: number, res: number];

const descriptor = (opcode: number, ticket: number, words: Words = {}): Descriptor => {
  const list = new Array(S.DESCRIPTOR_WORDS).fill(0);
  list[S.D_OPCODE] = opcode;
  list[S.D_FD] = -1;
  list[S.D_REGION] = S.NO_REGION;
  list[S.D_TICKET] = ticket;
  for (const [word, value] of Object.entries(words)) list[Number(word)] = value;
  return list;
};
const nop = (ticket: number, words?: Words) => descriptor(S.IORING_OP_NOP, ticket, words);
/** A timer that outlives every test. */
const timer = (ticket: number) =>
  descriptor(S.IORING_OP_TIMEOUT, ticket, { [S.D_OFFSET_LO]: 3600 });
const cancel = (ticket: number, target: number) =>
  descriptor(S.IORING_OP_ASYNC_CANCEL, ticket, { [S.D_REGION]: target });

/**
 * The kernel's ring and its border. Tests are synchronous, so that descriptors of the process can
 * be counted and no wake-up is needed.
 */
class Bench {
  readonly kernel: Kernel;
  readonly border: Border;

  constructor(entries = 256) {
    this.kernel = Kernel.open(checkOptions({ entries }), () => {});
    this.border = new Border(this.kernel);
  }

  word(index: number): number {
    return this.border.words[index] as number;
  }

  /** Writes the descriptors and takes one turn; nothing is delivered. */
  turn(list: Descriptor[], mode: number): void {
    const { border } = this;
    for (const [index, words] of list.entries()) {
      border.words.set(words, (C.BORDER_DESCRIPTORS >> 2) + index * S.DESCRIPTOR_WORDS);
    }
    border.count = list.length;
    border.turn(mode);
  }

  taken(): Completion[] {
    const got: Completion[] = [];
    let more = 0;
    const count = this.border.deliver((ticket, res, flags) => {
      // One with F_MORE is not the last of its operation (send_zc).
      if ((flags & C.IORING_CQE_F_MORE) !== 0) {
        more++;
        return 0;
      }
      got.push([ticket, res]);
      return 0; // No bytes were copied: nothing stops the delivery.
    });
    if (count !== got.length + more) throw new Error(`${count} were announced, ${got.length} came`);
    return got;
  }

  /** Takes turns until so many completions came and nothing is left to do. */
  turns(list: Descriptor[], wanted: number): Completion[] {
    const watchdog = performance.now() + 20_000;
    this.turn(list, C.TURN_ENTER);
    const got = this.taken();
    while (got.length < wanted || !this.kernel.park()) {
      if (performance.now() > watchdog) throw new Error(`${got.length} of ${wanted} came`);
      this.turn([], C.TURN_ENTER);
      got.push(...this.taken());
    }
    return got;
  }

  one(words: Descriptor): Completion {
    const got = this.turns([words], 1);
    if (got.length !== 1) throw new Error(`${got.length} completions`);
    return got[0] as Completion;
  }

  /** Closes the ring; what came at its end. */
  end(t: ExecutionContext): Completion[] {
    t.true(this.border.close());
    const got = this.taken();
    while (!this.kernel.park()) {
      this.turn([], 0);
      got.push(...this.taken());
    }
    this.kernel.free();
    return got;
  }

  /** Puts text into the inputs area. */
  input(from: number, text: string): void {
    const area = new Uint8Array(this.kernel.memory, C.BORDER_INPUTS, C.INPUTS_BYTES);
    area.set(Buffer.from(text), from);
  }
}

const sorted = (got: Completion[]) => [...got].sort(([a], [b]) => a - b);

const anyWord = fc.oneof(fc.integer(), fc.nat(63), fc.constant(0), fc.constant(-1));
const anyWords = fc.array(anyWord, {
  minLength: S.DESCRIPTOR_WORDS,
  maxLength: S.DESCRIPTOR_WORDS,
});

/** A descriptor that touches nothing of this process. */
function harmless(words: Descriptor, ticket: number): Descriptor {
  const list = [...words];
  list[S.D_FD] = UNUSED;
  list[S.D_TICKET] = ticket;
  // Any words at all are almost always refused at once: half of them get a good start.
  if ((words[15] as number) % 2 === 0) {
    list[S.D_OPCODE] = ((words[S.D_OPCODE] as number) >>> 0) % 60;
    list[S.D_IOPRIO] = (words[S.D_IOPRIO] as number) & 7;
    list[S.D_SQE_FLAGS] =
      (words[S.D_SQE_FLAGS] as number) & (S.IOSQE_ASYNC | S.IOSQE_FIXED_FILE | S.IOSQE_IO_LINK);
  }
  return list;
}

test('any words give one completion and the ring goes on', (t) => {
  const property = fc.property(fc.array(anyWords, { minLength: 1, maxLength: 20 }), (all) => {
    const before = descriptors();
    const bench = new Bench();
    bench.kernel.grow(1);
    const list = all.map(harmless);
    const timers = list.filter((words) => words[S.D_OPCODE] === S.IORING_OP_TIMEOUT).length;
    const got = bench.turns(list, list.length - timers);
    got.push(...bench.turns([nop(1000)], 1));
    const alive = got.some(([ticket, res]) => ticket === 1000 && res === 0);
    got.push(...bench.end(t)); // A timer may last for years.
    const tickets = sorted(got).map(([ticket]) => ticket);
    const expected = [...list.keys(), 1000];
    return alive && String(tickets) === String(expected) && descriptors() === before;
  });
  t.notThrows(() => fc.assert(property, { numRuns: many(200) }));
});

test('each invalid word alone is EINVAL', (t) => {
  const bench = new Bench();
  const list: Descriptor[] = [];
  // 256 would be a nop in the 8 bits that the kernel's entry has, 1 << 8 no flag at all.
  for (const opcode of [8, 20, 25, 29, 50, 63, 64, 255, 256, 256 + 14, 256 + 19, -1]) {
    list.push(descriptor(opcode, 0));
  }
  const nopFlags = S.IORING_NOP_INJECT_RESULT | S.IORING_NOP_TW;
  // A link flag alone is a chain without its end.
  const known = S.IOSQE_FIXED_FILE | S.IOSQE_ASYNC | S.IOSQE_BUFFER_SELECT | 0b1100;
  for (let bit = 0; bit < 32; bit++) {
    if (((1 << bit) & known) === 0) list.push(nop(0, { [S.D_SQE_FLAGS]: 1 << bit }));
    if (((1 << bit) & nopFlags) === 0) list.push(nop(0, { [S.D_WORD0]: 1 << bit }));
  }
  for (const words of [
    { [S.D_OFFSET_LO]: 3600, [S.D_WORD1]: 1_000_000_000 },
    { [S.D_OFFSET_LO]: 3600, [S.D_WORD1]: -1 },
    { [S.D_OFFSET_HI]: 1 << 31, [S.D_OFFSET_LO]: 0 },
    { [S.D_OFFSET_HI]: -1, [S.D_OFFSET_LO]: -1 },
  ]) {
    list.push(descriptor(S.IORING_OP_TIMEOUT, 0, words));
  }
  for (const [ticket, words] of list.entries()) words[S.D_TICKET] = ticket;
  for (const ticket of [1 << 24, -2]) list.push(nop(ticket));
  t.deepEqual(
    bench.turns(list, list.length),
    list.map((words) => [words[S.D_TICKET], EINVAL] as Completion),
  );
  // At the bounds they are good.
  const last = (1 << 24) - 1;
  const good = { [S.D_OFFSET_HI]: 0x7fffffff, [S.D_OFFSET_LO]: -1, [S.D_WORD1]: 999_999_999 };
  const longest = descriptor(S.IORING_OP_TIMEOUT, 0, good);
  t.deepEqual(bench.turns([nop(last), longest, timer(1)], 1), [[last, 0]]);
  // A ticket in use is refused without a change to whom it belongs.
  t.deepEqual(bench.one(nop(1)), [1, EINVAL]);
  t.deepEqual(bench.one(nop(1)), [1, EINVAL]);
  t.deepEqual(sorted(bench.turns([cancel(2, 1)], 2)), [
    [1, ECANCELED],
    [2, 0],
  ]);
  t.deepEqual(bench.one(nop(1)), [1, 0]);
  t.deepEqual(bench.end(t), [[0, ECANCELED]]);
});

test('a region that is unknown, too short or in use is EINVAL', (t) => {
  const fd = pipe(t);
  const bench = new Bench();
  const growth = bench.kernel.grow(1);
  if (growth === null) throw new Error('no memory');
  const id = growth.first;
  const transfer = (op: number, ticket: number, region: number, from: number, length: number) =>
    descriptor(op, ticket, {
      [S.D_FD]: fd,
      [S.D_REGION]: region,
      [S.D_REGION_OFFSET]: from,
      [S.D_LENGTH]: length,
      [S.D_OFFSET_LO]: -1,
      [S.D_OFFSET_HI]: -1,
    });
  for (const opcode of [S.IORING_OP_READ, S.IORING_OP_WRITE]) {
    for (const [region, from, length] of [
      [id + growth.count, 0, 1],
      [S.NO_REGION, 0, 1],
      [S.NO_REGION - 1, 0, 0],
      [id, 0, 513],
      [id, 512, 1],
      [id, 1, 512],
      [id, 0xffffffff, 1],
      [id, 0xffffffff - 510, 511],
      [id, 1, 0xffffffff],
      [id, 0, S.MAX_TRANSFER + 1],
    ] as const) {
      const got = bench.one(transfer(opcode, 7, region, from, length));
      t.deepEqual(got, [7, EINVAL], `${region} ${from} ${length}`);
    }
  }
  // The read waits for the pipe; its region is the kernel's until then (I2).
  const [read, write] = [S.IORING_OP_READ, S.IORING_OP_WRITE];
  const list = [transfer(read, 1, id, 0, 512), transfer(write, 2, id, 0, 1)];
  t.deepEqual(bench.turns(list, 1), [[2, EINVAL]]);
  t.deepEqual(sorted(bench.turns([transfer(write, 2, id + 1, 505, 7)], 2)), [
    [1, 7],
    [2, 7],
  ]);
  t.deepEqual(bench.one(transfer(write, 3, id, 0, 512)), [3, 512]);
  t.deepEqual(bench.end(t), []);
});

test('a path outside of the inputs or without its one NUL is EINVAL', (t) => {
  const bench = new Bench();
  const before = descriptors();
  bench.input(0, '/dev/null\0\0/dev\0null\0');
  bench.input(C.INPUTS_BYTES - 10, '/dev/null\0');
  const open = (from: number, length: number) =>
    descriptor(S.IORING_OP_OPENAT, 3, {
      [S.D_FD]: AT_FDCWD,
      [S.D_INPUT]: from,
      [S.D_INPUT_LENGTH]: length,
    });
  for (const [from, length] of [
    [0, 0],
    [0, 9],
    [0, 11],
    [11, 10],
    [C.INPUTS_BYTES - 10, 9],
    [C.INPUTS_BYTES - 10, 11],
    [C.INPUTS_BYTES, 1],
    [0xffffffff, 2],
    [0xfffffffe, 1],
    [9, 0xffffffff],
  ] as const) {
    t.deepEqual(bench.one(open(from, length)), [3, EINVAL], `${from} ${length}`);
  }
  t.is(descriptors(), before, 'nothing was opened');
  for (const from of [0, C.INPUTS_BYTES - 10]) {
    const [, fd] = bench.one(open(from, 10));
    t.true(fd >= 0, `${fd}`);
    t.deepEqual(bench.one(descriptor(S.IORING_OP_CLOSE, 4, { [S.D_FD]: fd })), [4, 0]);
  }
  t.deepEqual(bench.end(t), []);
});

/** Six thousand descriptors, every other one invalid: what each ends with. */
function crowd(bench: Bench): Completion[] {
  const ends: Completion[] = [];
  for (let ticket = 0; ticket < 6000; ticket++) {
    ends.push([ticket, ticket % 2 === 0 ? ticket : EINVAL]);
  }
  for (let from = 0; from < 6000; from += C.MAX_DESCRIPTORS) {
    const part = ends.slice(from, from + C.MAX_DESCRIPTORS).map(([ticket]) => {
      const result = { [S.D_WORD0]: S.IORING_NOP_INJECT_RESULT, [S.D_LENGTH]: ticket };
      return nop(ticket, ticket % 2 === 0 ? result : { [S.D_SQE_FLAGS]: 1 << 8 });
    });
    bench.turn(part, 0);
  }
  return ends;
}

test('more completions than the list holds come with further turns', (t) => {
  const bench = new Bench();
  const expected = crowd(bench);
  for (let i = 0; i < 100; i++) {
    bench.turn([], C.TURN_ENTER | C.TURN_PARK);
    if (bench.kernel.park()) t.fail('it must not sleep on what has no room');
  }
  t.is(bench.kernel.reap(), C.MAX_COMPLETIONS, 'it is full');
  const got = bench.taken();
  got.push(...bench.turns([], 6000 - C.MAX_COMPLETIONS));
  t.deepEqual(sorted(got), expected, 'none lost, none twice');
  t.is(bench.word(C.H_STALE), 0);
  t.deepEqual(bench.end(t), []);
});

test('a close brings more completions than the list holds', (t) => {
  const bench = new Bench();
  const expected = crowd(bench);
  const got = sorted(bench.end(t));
  t.is(got.length, 6000, 'none lost, none twice');
  let cancelled = 0;
  const wrong = got.filter(([ticket, res], i) => {
    // What the kernel never saw ends without it.
    const waited = ticket % 2 === 0 && res === ECANCELED;
    if (waited) cancelled++;
    return ticket !== i || !(waited || res === expected[i]?.[1]);
  });
  t.deepEqual(wrong, []);
  t.true(cancelled >= 2000, `only ${cancelled} waited`);
});

test('the rings own eventfd cannot be closed', (t) => {
  const eventfds = () => {
    const all = readdirSync('/proc/self/fd').map(Number);
    return all.filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`) === 'anon_inode:[eventfd]';
      } catch {
        return false; // The listing's own descriptor.
      }
    });
  };
  const others = eventfds();
  const bench = new Bench();
  const mine = eventfds().filter((fd) => !others.includes(fd));
  t.is(mine.length, 1);
  const before = descriptors();
  const close = (ticket: number) =>
    descriptor(S.IORING_OP_CLOSE, ticket, { [S.D_FD]: mine[0] as number });
  t.deepEqual(bench.turns([close(1), close(S.NO_TICKET)], 1), [[1, EBADF]]);
  t.deepEqual(bench.one(nop(2)), [2, 0]);
  t.is(descriptors(), before);
  t.deepEqual(bench.end(t), []);
});

test('a cancel finds its target in the backlog and in flight and no other', (t) => {
  const bench = new Bench(1);
  // The first fills the submission queue, the second waits behind it.
  t.deepEqual(bench.turns([timer(1), timer(2), cancel(3, 2)], 2), [
    [2, ECANCELED],
    [3, 0],
  ]);
  t.is(bench.word(C.H_SUBMITTED), 1, 'the kernel never saw it');
  for (const target of [0, 2, 3, 99, 1 << 24, S.NO_TICKET]) {
    const got = bench.one(cancel(4, target));
    t.deepEqual(got, [4, ENOENT], `${target} is not there, or has ended`);
  }
  t.deepEqual(bench.one(cancel(4, 4)), [4, ENOENT], 'itself');
  t.deepEqual(sorted(bench.turns([cancel(5, 1)], 2)), [
    [1, ECANCELED],
    [5, 0],
  ]);
  // The runtime's own cancels ask for no answer.
  bench.turns([timer(6)], 0);
  const list = [cancel(S.NO_TICKET, 6), cancel(S.NO_TICKET, 99)];
  t.deepEqual(bench.turns(list, 1), [[6, ECANCELED]]);
  t.deepEqual(bench.end(t), []);
});

test('a hundred deferred completions come in one turn', (t) => {
  const bench = new Bench();
  const list = Array.from({ length: 100 }, (_, i) => nop(i, { [S.D_WORD0]: S.IORING_NOP_TW }));
  bench.turn(list, C.TURN_ENTER);
  t.is(bench.taken().length, 100, 'one enter posts twenty at most');
  t.deepEqual(bench.end(t), []);
});

// PAIR: only-typescript -- the Rust test reads the list itself
test('completions that come while others are delivered are delivered as well, once', (t) => {
  const bench = new Bench();
  bench.turn([nop(0)], C.TURN_ENTER);
  const got: Completion[] = [];
  const count = bench.border.deliver((ticket, res, _flags, opened) => {
    got.push([ticket, res]);
    t.false(opened);
    t.is(bench.word(C.H_TAKEN), got.length);
    if (ticket < 5) bench.turn([nop(ticket + 1)], C.TURN_ENTER);
    return 0;
  });
  t.deepEqual(
    got,
    [0, 1, 2, 3, 4, 5].map((ticket) => [ticket, 0] as Completion),
  );
  t.is(count, 6);
  t.deepEqual(bench.taken(), [], 'the list is empty');
  t.is(bench.word(C.H_TAKEN), 0);
  // A new descriptor is marked as one, whoever takes it.
  bench.input(0, '/dev/null\0');
  bench.turn([descriptor(S.IORING_OP_OPENAT, 9, { [S.D_INPUT_LENGTH]: 10 })], C.TURN_ENTER);
  const opened: number[] = [];
  bench.border.deliver((_ticket, res, _flags, opens) => {
    if (opens) opened.push(res);
    return 0;
  });
  t.is(opened.length, 1);
  for (const fd of opened) closeSync(fd);
  t.deepEqual(bench.end(t), []);
});
