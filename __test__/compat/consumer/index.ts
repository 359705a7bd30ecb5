// What somebody's own project may write, and what the types forbid: package.spec.ts checks this
// file in an empty folder against the types of the packed package. Nothing here is run.

import {
  AbortError,
  type Accepted,
  type AcceptOptions,
  type Address,
  type AddressLike,
  type AllocOptions,
  type AppendOptions,
  AT_FDCWD,
  type At,
  type Awaitable,
  all,
  type BufferGroup,
  type Buffers,
  type Chain,
  Chunks,
  type ChunksOptions,
  Context,
  constants,
  DetachedError,
  Direct,
  type Fd,
  File,
  type Files,
  Future,
  fromPromise,
  fs,
  future,
  type GroupOptions,
  type InetAddress,
  JoinHandle,
  type Lent,
  type Limited,
  Lines,
  type LinesOptions,
  type Linkable,
  type LinkedValues,
  type MaxWorkers,
  type MessageOptions,
  buffer as memory,
  type NopOptions,
  type Op,
  type OpenHow,
  OpenOptions,
  type OpOptions,
  type Ops,
  type Options,
  op,
  type PathLike,
  PENDING,
  type Poll,
  type Probe,
  probe,
  type Received,
  type ReceiveOptions,
  RingcoreError,
  Runtime,
  race,
  run,
  type SendOptions,
  type SocketOptions,
  type Sqpoll,
  type Stats,
  type Statx,
  type StatxOptions,
  Stream,
  type SystemError,
  sleep,
  spawn,
  type TaskSource,
  TimeoutError,
  type TimeoutOptions,
  Timer,
  type Timestamp,
  type TransferOptions,
  timeout,
  UnavailableError,
  type UnixAddress,
  type Waker,
  yieldNow,
} from 'ringcore';
// @ts-expect-error -- what is not exported cannot be had through a path
import { Slots } from 'ringcore/dist/slot.js';

/** Fails to compile unless both types are the same, `any` included. */
type Same<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : never;
const same = <A, B>(_yes: Same<A, B>): void => {};

// --- tasks and futures --------------------------------------------------------------------------

const buffer = new Uint8Array(16);

export async function tasks(): Promise<void> {
  const fromGenerator = await run(function* () {
    const fd = yield* op.openat(AT_FDCWD, 'file', 0);
    const count = yield* op.read(fd, buffer, 0n);
    same<typeof count, number>(true);
    const nothing = yield* op.close(fd);
    same<typeof nothing, void>(true);
    const text = yield* fromPromise(Promise.resolve('text'));
    same<typeof text, string>(true);
    yield* yieldNow();
    return { count, text };
  });
  same<typeof fromGenerator, { count: number; text: string }>(true);
  const fromAsync = await run(async (signal) => signal.aborted);
  same<typeof fromAsync, boolean>(true);

  const handle: JoinHandle<number> = spawn(function* () {
    yield* sleep(1);
    return 1;
  });
  same<Awaited<typeof handle>, number>(true);
  handle.abort();
  handle.unref().ref();
  same<ReturnType<typeof handle.finished>, boolean>(true);

  const [count, slept, text] = await all([op.nop(), sleep(1), Promise.resolve('text')]);
  same<typeof count, number>(true);
  same<typeof slept, void>(true);
  same<typeof text, string>(true);
  const first = await race([op.nop(), Promise.resolve('text')]);
  same<typeof first, number | string>(true);
  const late = await timeout(op.read(0, buffer), 50);
  same<typeof late, number>(true);
  const made = future(function* () {
    return yield* op.nop({ result: 3 });
  });
  same<typeof made, Future<number>>(true);
  const timer: Timer = sleep(1, { ref: false });
  const waited: Awaitable<void>[] = [timer, Promise.resolve()];
  await all(waited);
  const chained = await made.then((n) => String(n)).finally(() => {});
  same<typeof chained, string>(true);

  // @ts-expect-error -- a task that is no function, generator or future
  run(42);
  // @ts-expect-error -- a promise is not a future; fromPromise brings it into a task
  spawn(Promise.resolve(1));
  run(function* () {
    // @ts-expect-error -- a promise cannot be waited for by yield*
    yield* Promise.resolve(1);
  });
  // @ts-expect-error -- the value is a number
  const wrong: string = await op.nop();
  // @ts-expect-error -- a limit is a number of milliseconds
  await timeout(op.nop(), '50');
  // @ts-expect-error -- a future is not its value
  const length: number = op.read(0, buffer);
  void [wrong, length];
}

// --- operations ---------------------------------------------------------------------------------

export function operations(signal: AbortSignal, maybe: AbortSignal | undefined): Op<number> {
  const options: OpOptions = { signal, ref: false };
  const nop: NopOptions = { ...options, result: -5 };
  const ops: Ops = op;
  const read: Op<number> = ops.read(0, buffer, -1, options);
  op.write(1, new DataView(new ArrayBuffer(8)), 0, { signal: maybe });
  op.openat(AT_FDCWD, new URL('file:///a'), 0, 0o644, options);
  op.pollAdd(0, 1, nop);
  op.timeout(1.5);
  op.cancel(read as Op<unknown>);
  // @ts-expect-error -- a buffer, not text
  op.write(1, 'text');
  // @ts-expect-error -- a descriptor is a number
  op.read('0', buffer);
  // @ts-expect-error -- an option that there is not
  op.nop({ singal: signal });
  // @ts-expect-error -- not an operation
  op.cancel(sleep(1));
  // @ts-expect-error -- an operation is made by its constructor function
  new (op.nop().constructor as typeof Op)();
  return read;
}

export async function files(fd: Fd): Promise<void> {
  const how: OpenHow = { flags: 0, resolve: constants.RESOLVE_BENEATH };
  const opened: number = await op.openat2(AT_FDCWD, 'a', how);
  const big = { bigint: true } as const satisfies StatxOptions;
  const found: Statx = await op.statx(opened, 'a');
  void op.statx(opened, 'a', constants.AT_SYMLINK_NOFOLLOW, constants.STATX_SIZE, big);
  const changed: Timestamp = found.mtime;
  const options: TransferOptions = { rwFlags: constants.RWF_DSYNC };
  await op.write(fd, buffer, 0, options);
  void changed;
}

export async function sockets(fd: Fd, text: Uint8Array): Promise<Address | undefined> {
  const inet: InetAddress = { family: 'IPv4', address: '127.0.0.1', port: 80 };
  const local: UnixAddress = { family: 'unix', path: '/tmp/socket' };
  const to: AddressLike = { address: '::1', port: 80 };
  const made: number = await op.socket(constants.AF_INET, constants.SOCK_STREAM);
  await op.connect(made, inet);
  await op.bind(fd, local);
  const flags: AcceptOptions = { flags: constants.SOCK_NONBLOCK };
  const plain: number = await op.accept(fd);
  const accepted: Accepted = await op.accept(fd, { ...flags, wantAddress: true });
  const direct = op.direct();
  const slot: Direct = await op.socket(constants.AF_UNIX, constants.SOCK_STREAM, 0, { direct });
  const [first] = [await op.accept(slot, { direct: op.direct() })];
  const named: Accepted<Direct> = await op.accept(fd, { direct: first, wantAddress: true });
  void named;
  const send: SendOptions = { to };
  const receive: SocketOptions = { pollFirst: true };
  await op.send(plain, text, 0, send);
  await op.recv(plain, buffer, 0, receive);
  const message: MessageOptions = { descriptors: [plain] };
  await op.sendmsg(made, text, 0, message);
  const room: ReceiveOptions = { control: 64 };
  const got: Received = await op.recvmsg(made, buffer, 0, room);
  // @ts-expect-error -- a port is a number
  op.connect(made, { address: '::1', port: '80' });
  return accepted.address ?? got.address;
}

export async function owned(fd: number): Promise<Stream<number>> {
  const buffers: Buffers = memory;
  const align: AllocOptions = { align: 4096, registered: true };
  const bytes: Uint8Array = buffers.alloc(1 << 21, align);
  await op.readFixed(fd, bytes, 0);
  const sizes: GroupOptions = { count: 8, size: 4096 };
  const group: BufferGroup = buffers.provide(sizes);
  const lent: Lent | undefined = await op.recvMultishot(fd, group, { lend: true }).next();
  lent?.release();
  const direct: Direct = op.direct();
  await op.link(
    op.openat(AT_FDCWD, 'a', 0, 0, { direct }),
    op.read(direct, bytes),
    op.close(direct),
  );
  const connections: Stream<number> = op.acceptMultishot(fd);
  for await (const each of connections) same<typeof each, number>(true);
  return direct instanceof Direct && connections instanceof Stream
    ? connections
    : op.pollMultishot(fd, 1);
}

export async function chains(fd: Fd, path: PathLike): Promise<void> {
  const limited: Limited<number> = op.withTimeout(op.read(fd, buffer), 50);
  const members: [Op<number>, Linkable<number>] = [op.openat(AT_FDCWD, path, 0), limited];
  const chain: Chain<typeof members> = op.link(...members);
  const values: LinkedValues<typeof members> = await chain;
  same<typeof values, [number, number]>(true);
  const absolute: TimeoutOptions = { absolute: 'realtime' };
  await op.hardlink(op.timeout(Date.now(), absolute), op.nop());
  // @ts-expect-error -- a sleep is no operation
  op.link(op.nop(), sleep(1));
}

// --- runtimes -----------------------------------------------------------------------------------

export async function runtimes(entries: number | undefined): Promise<void> {
  const options: Options = { entries: 8, cqEntries: 16, memoryLimit: 1 << 20 };
  Runtime.init(options);
  const rt = new Runtime(options);
  const stats: Stats = rt.stats();
  same<Stats['inFlight'], number>(true);
  const source: TaskSource<string> = async () => 'text';
  const text = await rt.run(source);
  same<typeof text, string>(true);
  await rt.op.nop();
  rt.ref().unref();
  await rt.close();
  await rt[Symbol.asyncDispose]();
  new Runtime({ entries });
  // @ts-expect-error -- an option that there is not
  new Runtime({ depth: 8 });
  // @ts-expect-error -- a runtime keeps its operations
  rt.op = op;
  void stats;
  const sqpoll: Sqpoll = { idleMs: 10 };
  const maxWorkers: MaxWorkers = { bounded: 2 };
  const named = new Runtime({ sqpoll, maxWorkers, allow: ['read'], entries });
  await new Runtime({ attach: named, maxWorkers: [1, 2] }).close();
  await named.close();
  // @ts-expect-error -- an option that there is not
  new Runtime({ sqpol: sqpoll });
}

// --- futures of one's own -----------------------------------------------------------------------

export class Countdown extends Future<'done'> {
  private left = 3;

  override poll(cx: Context): Poll<'done'> {
    const waker: Waker = cx.waker;
    if (this.left-- > 0) {
      waker.wakeByRef();
      return PENDING;
    }
    return 'done';
  }
}

export async function own(): Promise<void> {
  const done = await run(new Countdown());
  same<typeof done, 'done'>(true);
  const context = new Context({ wake() {}, wakeByRef() {} }, new Runtime());
  const polled = new Countdown().poll(context);
  if (polled !== PENDING) same<typeof polled, 'done'>(true);
  // @ts-expect-error -- a future says what polling it does
  class Empty extends Future<void> {}
  // @ts-expect-error -- a handle comes from spawn
  new JoinHandle();
  void [Empty, Timer];
}

// --- files --------------------------------------------------------------------------------------

export async function opened(path: PathLike, bytes: Uint8Array): Promise<void> {
  const file: File = await File.open(path);
  const at: At = { offset: 4n, signal: AbortSignal.timeout(5) };
  same<Awaited<ReturnType<File['read']>>, number>(true);
  const count: number = await file.read(bytes, at);
  const text: string = await file.readToString();
  const durable: AppendOptions = { durable: true };
  await file.append(text, durable);
  const pieces: ChunksOptions = { size: count, start: 0 };
  const lines: LinesOptions = { ...pieces, encoding: 'latin1' };
  for await (const piece of file.chunks(pieces)) same<typeof piece, Buffer>(true);
  for await (const line of file.lines(lines)) same<typeof line, string>(true);
  const options: OpenOptions = File.options().read().append();
  const files: Files = new Runtime().File;
  await run(function* () {
    const size: number = (yield* (yield* files.open(path)).stat()).size;
    const same: bigint = (yield* (yield* options.open(path)).stat(true)).size;
    yield* fs.write(path, `${size} ${same}`);
  });
  // @ts-expect-error -- a descriptor is not to be changed
  file.fd = 7;
  // @ts-expect-error -- bytes, not numbers
  await file.write([1, 2]);
  // @ts-expect-error -- options come from File.options
  new OpenOptions();
  const listed: Chunks | Lines = count > 0 ? file.chunks() : file.lines();
  if (listed instanceof Chunks || listed instanceof Lines) listed.close();
}

// --- what this machine can do, and errors -------------------------------------------------------

export function asked(): string {
  const found: Probe = probe();
  same<Probe['backend'], 'io_uring' | 'node'>(true);
  same<Probe['wake'], 'unproved' | 'ok' | 'failed'>(true);
  const has: boolean | undefined = found.ops.read;
  const limit: number = found.limits.memlock;
  // @ts-expect-error -- the answer is not to be changed
  found.available = true;
  // @ts-expect-error -- the reason is null where there is none
  const reason: string = found.reason;
  return `${has} ${limit} ${reason}`;
}

export function errors(error: unknown): string {
  if (error instanceof UnavailableError) return error.reason + error.advice;
  if (error instanceof DetachedError) return String(error.bytesRead);
  if (error instanceof AbortError || error instanceof TimeoutError) return error.code;
  if (error instanceof RingcoreError) {
    // @ts-expect-error -- a code is stable
    error.code = 'other';
    return error.code;
  }
  const { errno, code, syscall, path } = error as SystemError;
  same<typeof errno, number>(true);
  same<typeof path, string | undefined>(true);
  return code + syscall;
}

export { Slots };
