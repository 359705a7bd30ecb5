// Random operations on a folder, the same for both sides: what is drawn is drawn once, when the
// step is made; each side makes its own arguments from it.

import { constants, type Dir, type Dirent, type WriteStream } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { inspect } from 'node:util';
import type { Random } from '../src/mock.ts';
import { type Outcome, outcome, pattern, type Side, shape, theirs } from './fs-sides.ts';
import { takesBigInts } from './fs-values.ts';

/** Makes an argument for a side; `place` is its folder, or a name for it in a text. */
type Arg = (place: string) => unknown;

export interface Step {
  readonly text: () => string;
  readonly run: (side: Side) => Promise<unknown>;
}

type Loose = Record<string, (...args: unknown[]) => unknown>;

const show = (args: readonly Arg[]) =>
  args.map((arg) => inspect(arg('ROOT'), { breakLength: Number.POSITIVE_INFINITY })).join(', ');

/** What a call left in the views that it was given. */
const left = (args: unknown[], root: string) =>
  args.flatMap((arg) => {
    if (ArrayBuffer.isView(arg)) return [shape(arg, root)];
    if (Array.isArray(arg)) return arg.filter(ArrayBuffer.isView).map((each) => shape(each, root));
    const inner = (arg as { buffer?: unknown } | null | undefined)?.buffer;
    return ArrayBuffer.isView(inner) ? [shape(inner, root)] : [];
  });

/** A call of the module; `after` turns its value into one that can be compared. */
function call(name: string, args: Arg[], after?: (value: never, side: Side) => unknown): Step {
  return {
    text: () => `fs.${name}(${show(args)})`,
    run: async (side) => {
      const own = args.map((arg) => arg(side.root));
      const ended = await outcome(side, async () => {
        const value = await (side.fs as unknown as Loose)[name]?.(...own);
        return after === undefined ? value : after(value as never, side);
      });
      return [ended, left(own, side.root)];
    },
  };
}

/** A call of a FileHandle's method. */
function method(
  slot: number,
  name: string,
  args: Arg[],
  after?: (value: never, side: Side, args: unknown[]) => unknown,
): Step {
  return {
    text: () => `handle${slot}.${name}(${show(args)})`,
    run: async (side) => {
      const handle = side.handles.get(slot);
      if (handle === undefined) return 'no handle';
      const own = args.map((arg) => arg(side.root));
      const ended: Outcome = await outcome(side, async () => {
        const value = await (handle as unknown as Loose)[name]?.(...own);
        return after === undefined ? value : after(value as never, side, own);
      });
      return [ended, left(own, side.root)];
    },
  };
}

const pick = <T>(random: Random, from: readonly T[]): T => from[random.below(from.length)] as T;
const constant = (value: unknown): Arg => {
  return () => value;
};

const NAMES = [
  'a',
  'a',
  'b',
  'c',
  'd',
  'd/x',
  'd/e',
  'l',
  'dl',
  'dl/x',
  'broken',
  'loop',
  'n',
  'n',
];
const MORE = [
  'd/n',
  'd/e/n',
  'n/n',
  'a/x',
  'none/deep',
  'ü',
  'sp ace%',
  'a/',
  'd/',
  'n/',
  './a',
  'l/',
];
const ODD = ['a\0b', 'x'.repeat(256), 'y/'.repeat(2100), 'd/../a', 'd/e/../../d'];
/** What no path is; '' is the working directory to some functions. */
const WRONG = [undefined, null, 1, Number.NaN, {}, [], true, '', Symbol.iterator, 1n];

/** A path below the side's folder (or `lane` in it): string, Buffer, URL, or a wrong thing. */
function path(random: Random, lane: string): Arg {
  if (random.chance(1)) return constant(pick(random, WRONG));
  const where = random.below(100);
  const name = lane + pick(random, where < 75 ? NAMES : where < 96 ? MORE : ODD);
  const form = random.below(100);
  if (form < 10) return constant(name); // The working directory is the side's folder.
  if (form < 70) return (root) => `${root}/${name}`;
  if (form < 82) return (root) => Buffer.from(`${root}/${name}`);
  if (form < 84) return (root) => new Uint8Array(Buffer.from(`${root}/${name}`));
  if (form < 88) return (root) => Buffer.from(`${root}/${lane}\xff\xfe`, 'latin1');
  return (root) => new URL(`file://${root.startsWith('/') ? root : `/${root}`}/${encodeURI(name)}`);
}

const LENGTHS = [0, 1, 2, 5, 12, 100, 511, 512, 4096, 5000, 16384];
const length = (random: Random) =>
  random.chance(3) ? pick(random, [65_536, 70_001, 300_000, 600_000]) : pick(random, LENGTHS);

/** Bytes or text to write, in every form that the functions for whole files take. */
function data(random: Random): Arg {
  const [size, from] = [length(random), random.below(89)];
  const bytes = () => pattern(size, from);
  const even = () => pattern(size & ~7, from);
  switch (random.below(22)) {
    case 0:
      return () => new Uint16Array(new Uint8Array(even()).buffer);
    case 1:
      return () => new DataView(new Uint8Array(bytes()).buffer);
    case 2:
      return () => new Float64Array(new Uint8Array(even()).buffer);
    case 3:
      return () => ['one', 'two', bytes(), ''];
    case 4:
      return () => Readable.from([bytes(), Buffer.from('end')]);
    case 5:
      return async function* () {
        yield 'begin';
        yield bytes();
      };
    case 6:
      return () => `é€𝄞${bytes().toString('latin1')}`;
    case 7:
      return constant(pick(random, [undefined, null, 7, {}, true, 1n, [1], [['a']], new Date(0)]));
    case 8:
      return constant('68656c6c6f');
    case 9:
    case 10:
    case 11:
    case 12:
      return bytes;
    default:
      return () => bytes().toString('latin1');
  }
}

const FLAGS: unknown[] = [
  'r',
  'r',
  'r+',
  'r+',
  'w',
  'w+',
  'wx',
  'a',
  'a+',
  'ax',
  'as',
  'rs+',
  'xa',
  'wx+',
  'sr',
  'as+',
  'ax+',
  constants.O_RDONLY,
  constants.O_RDWR | constants.O_CREAT,
  constants.O_WRONLY | constants.O_APPEND,
  constants.O_RDWR | constants.O_CREAT | constants.O_EXCL,
  constants.O_RDONLY | constants.O_DIRECTORY,
  constants.O_RDONLY | constants.O_NOFOLLOW,
  constants.O_WRONLY | constants.O_TRUNC,
  undefined,
  null,
];
const WRONG_FLAGS: unknown[] = ['zz', '', {}, 1.5, -1, 2 ** 33, true];
const flag = (random: Random) => pick(random, random.chance(4) ? WRONG_FLAGS : FLAGS);

const MODES: unknown[] = [0o600, 0o644, 0o755, 0o777, 0o400, '644', '0600', undefined];
const WRONG_MODES: unknown[] = ['abc', -1, 2 ** 32, 1.5, {}, null, ''];
const mode = (random: Random) => pick(random, random.chance(4) ? WRONG_MODES : MODES);

const ENCODINGS: unknown[] = ['utf8', 'utf-8', 'UTF8', 'latin1', 'hex', 'base64', 'utf16le', null];
const WRONG_ENCODINGS: unknown[] = ['nope', 5, {}, '', true];
const encoding = (random: Random) =>
  pick(random, random.chance(4) ? WRONG_ENCODINGS : [...ENCODINGS, undefined, 'buffer']);

const aborted = (random: Random): unknown =>
  pick(random, [
    AbortSignal.abort(),
    AbortSignal.abort(new Error('why')),
    AbortSignal.abort('text'),
    new AbortController().signal,
    undefined,
    {},
    'signal',
  ]);

type Fields = Record<string, (random: Random) => unknown>;

/**
 * An options object with some of the fields; now and then something that is none. A function
 * is left out: Node's opendir takes it for a callback, and its promise never ends.
 */
function options(random: Random, fields: Fields): Arg {
  if (random.chance(2)) return constant(pick(random, [null, 7, 'nope', true, []]));
  const found: Record<string, unknown> = {};
  for (const [key, draw] of Object.entries(fields)) {
    const likely = key === 'signal' ? 4 : 45;
    if (random.chance(likely)) found[key] = draw(random);
  }
  return () => ({ ...found });
}

const bool = (random: Random) =>
  random.chance(3) ? pick(random, [null, 1, 'yes', {}]) : random.chance(50);

/** With the first `n` arguments, and sometimes only some of the rest. */
const some = (random: Random, first: Arg[], ...rest: Arg[]): Arg[] => [
  ...first,
  ...rest.slice(0, random.below(rest.length + 1)),
];

async function entries(dir: Dir): Promise<unknown> {
  const found: Dirent[] = [];
  for await (const each of dir) found.push(each);
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The order in a folder is the filesystem's own affair. */
const sorted = (names: unknown) =>
  Array.isArray(names)
    ? names.sort((a, b) => {
        const [one, two] = [a, b].map((each) => {
          const name = typeof each === 'object' && 'name' in each ? each.name : each;
          const parent = each?.parentPath ?? '';
          return `${parent}/${Buffer.from(name as string).toString('latin1')}`;
        }) as [string, string];
        return one < two ? -1 : 1;
      })
    : names;

const TIMES: unknown[] = [0, 1, 1e9, 1e9 + 0.25, '1000000000', new Date(1e12), -1];
const WRONG_TIMES: unknown[] = ['soon', Number.NaN, {}, undefined, null];
const time = (random: Random) => pick(random, random.chance(4) ? WRONG_TIMES : TIMES);

const SIZES: unknown[] = [0, 1, 5, 100, 4096, 200_000, undefined, null];
const WRONG_SIZES: unknown[] = [-1, 1.5, Number.NaN, '5', 5n, {}];
const size = (random: Random) => pick(random, random.chance(6) ? WRONG_SIZES : SIZES);

const whole: Fields = { encoding, mode, flag, flush: bool, signal: aborted };
const reading: Fields = { encoding, flag, signal: aborted };

/** A path that does not lead through what it removes: Node then takes what is left for removed. */
function straight(random: Random, lane: string): Arg {
  for (;;) {
    const drawn = path(random, lane);
    const value = drawn('');
    const text = ArrayBuffer.isView(value) ? Buffer.from(value as Uint8Array) : inspect(value);
    if (!text.includes('..')) return drawn;
  }
}

type Make = (random: Random, lane: string) => Step;
const at = path;

/** How a path function is called, and how often among the others. */
const FUNCTIONS: [number, Make][] = [
  [
    10,
    (r, lane) =>
      call(
        'readFile',
        some(r, [at(r, lane)], r.chance(30) ? arg(r, encoding) : options(r, reading)),
      ),
  ],
  [
    10,
    (r, lane) =>
      call(
        'writeFile',
        some(r, [at(r, lane), data(r)], r.chance(30) ? arg(r, encoding) : options(r, whole)),
      ),
  ],
  [
    5,
    (r, lane) =>
      call(
        'appendFile',
        some(r, [at(r, lane), data(r)], r.chance(30) ? arg(r, encoding) : options(r, whole)),
      ),
  ],
  [6, (r, lane) => call('stat', some(r, [at(r, lane)], options(r, { bigint: bool })))],
  [5, (r, lane) => call('lstat', some(r, [at(r, lane)], options(r, { bigint: bool })))],
  [
    6,
    (r, lane) =>
      call(
        'mkdir',
        some(r, [at(r, lane)], r.chance(30) ? arg(r, mode) : options(r, { recursive: bool, mode })),
      ),
  ],
  [3, (r, lane) => call('rmdir', [at(r, lane)])],
  [5, (r, lane) => call('unlink', [at(r, lane)])],
  [6, (r, lane) => call('rename', [at(r, lane), at(r, lane)])],
  [4, (r, lane) => call('link', [at(r, lane), at(r, lane)])],
  [
    4,
    (r, lane) =>
      call(
        'symlink',
        some(
          r,
          [r.chance(70) ? constant(pick(r, NAMES)) : at(r, lane), at(r, lane)],
          arg(r, linkType),
        ),
      ),
  ],
  [5, (r, lane) => call('truncate', some(r, [at(r, lane)], arg(r, size)))],
  [3, (r, lane) => call('access', some(r, [at(r, lane)], arg(r, accessMode)))],
  [3, (r, lane) => call('chmod', [at(r, lane), arg(r, mode)])],
  [1, (r, lane) => call('chown', [at(r, lane), arg(r, id), arg(r, id)])],
  [1, (r, lane) => call('lchown', [at(r, lane), arg(r, id), arg(r, id)])],
  [3, (r, lane) => call('copyFile', some(r, [at(r, lane), at(r, lane)], arg(r, copyMode)))],
  [2, (r, lane) => copy(some(r, [at(r, lane), at(r, lane)], options(r, copying)))],
  [3, (r, lane) => copy([at(r, lane), at(r, lane), options(r, { ...copying, ...plain })])],
  [2, (r, lane) => call('readdir', [at(r, lane), constant(pick(r, TREES))])],
  [3, (r, lane) => call('rm', [straight(r, lane), constant(pick(r, TREES))])],
  [3, (r, lane) => call('readdir', some(r, [at(r, lane)], options(r, listingFields)), sorted)],
  [1, (r, lane) => call('opendir', some(r, [at(r, lane)], options(r, { bufferSize })), entries)],
  [3, (r, lane) => call('readlink', some(r, [at(r, lane)], options(r, { encoding })))],
  [3, (r, lane) => call('realpath', some(r, [at(r, lane)], options(r, { encoding })))],
  [
    2,
    (r, lane) =>
      call('rm', some(r, [straight(r, lane)], options(r, { force: bool, recursive: bool }))),
  ],
  [2, (r, lane) => call('utimes', [at(r, lane), arg(r, time), arg(r, time)])],
  [1, (r, lane) => call('lutimes', [at(r, lane), arg(r, time), arg(r, time)])],
  [1, (r, lane) => temporary(at(r, lane))],
  [1, (r, lane) => call('statfs', some(r, [at(r, lane)], options(r, { bigint: bool })), keysOf)],
];

function arg(random: Random, draw: (random: Random) => unknown): Arg {
  return constant(draw(random));
}

const linkType = (random: Random) => pick(random, ['file', 'dir', undefined, null, 'other', 7]);
const accessMode = (random: Random) => pick(random, [0, 1, 2, 4, 7, undefined, 8, -1, '1', null]);
const id = (random: Random) => pick(random, [0, 0, 0, 65534, -1, -2, 1.5, '0', undefined]);
const copyMode = (random: Random) => pick(random, [0, 1, 2, undefined, 8, -1, 'x', null]);
/** A wrong one is an uncaught exception in Node 20. */
const bufferSize = (random: Random) => pick(random, [1, 32]);
const copying: Fields = {
  recursive: () => true,
  force: bool,
  errorOnExist: bool,
  dereference: bool,
  preserveTimestamps: (random) => random.chance(10),
  verbatimSymlinks: bool,
};
/** Of these a copy of a tree is made by many operations at once. */
const plain: Fields = {
  force: () => true,
  dereference: () => false,
  preserveTimestamps: () => false,
};
const TREES: unknown[] = [
  { recursive: true },
  { recursive: true, withFileTypes: true },
  { recursive: true, force: true },
];
/** Node 20 goes on for ever in the folders of a recursive listing whose names are utf16le. */
const nameEncoding = (random: Random) => {
  const drawn = encoding(random);
  return drawn === 'utf16le' ? 'latin1' : drawn;
};
const listingFields: Fields = { encoding: nameEncoding, withFileTypes: bool, recursive: bool };

/** Node asks for both paths at once: which of two errors it gives is a race. */
function copy(args: Arg[]): Step {
  const step = call('cp', args);
  return {
    text: step.text,
    run: async (side) => {
      const [ended] = (await step.run(side)) as [Outcome];
      return 'rejected' in ended ? 'it failed' : ended;
    },
  };
}

/** The random end of the name is dropped, also out of errors, and the folder with it. */
function temporary(prefix: Arg): Step {
  return {
    text: () => `fs.mkdtemp(${show([prefix])})`,
    run: (side) =>
      outcome(side, async () => {
        try {
          const given = prefix(side.root) as string;
          // Node 20 writes behind the buffer of a long name that is bytes: the heap is corrupted.
          if (String(given).length > 900) return 'too long for Node';
          const name = await side.fs.mkdtemp(given, 'buffer');
          await theirs.rmdir(name);
          return name.subarray(0, -6);
        } catch (caught) {
          const error = caught as NodeJS.ErrnoException;
          if (error.path === undefined) throw error;
          const path = error.path.slice(0, -6);
          return [error.code, error.syscall, path, error.message.replace(error.path, path)];
        }
      }),
  };
}

/** The filesystem is shared with everybody: its numbers are not those of a moment ago. */
const keysOf = (value: object) => [value.constructor.name, Object.keys(value)];

/** Opens a file into a slot; what was in the slot is closed first. */
function open(random: Random, lane: string, slot: number): Step {
  const args = some(random, [path(random, lane)], arg(random, flag), arg(random, mode));
  const step = call('open', args, (handle: FileHandle, side) => {
    side.handles.set(slot, handle);
    return handle;
  });
  return {
    text: () => `handle${slot} = ${step.text()}`,
    run: async (side) => {
      await side.handles.get(slot)?.close();
      side.handles.delete(slot);
      return await step.run(side);
    },
  };
}

const POSITIONS: unknown[] = [null, null, -1, undefined, 0, 1, 5, 11, 4096, 99_990, -1n];
const WRONG_POSITIONS: unknown[] = ['1', 1.5, Number.NaN, -2, -2n, {}, 2 ** 53, 2n ** 64n];
const position = (random: Random) => {
  if (takesBigInts() && random.chance(5)) return 10n;
  return pick(random, random.chance(5) ? WRONG_POSITIONS : POSITIONS);
};
const OFFSETS: unknown[] = [0, 0, 1, 3, 8, undefined, null];
const WRONG_OFFSETS: unknown[] = [-1, 1.5, 99_999_999, '1', 1n, Number.NaN, {}];
const offset = (random: Random) => pick(random, random.chance(4) ? WRONG_OFFSETS : OFFSETS);
/** Others than whole numbers end the process in Node 20, in an assertion. */
const counts = (random: Random) =>
  pick(random, random.chance(4) ? [-1, 99_999_999] : [0, 1, 2, 5, 8, undefined, null]);

/** A view to read into or to write from, with bytes around it that nobody may touch. */
function view(random: Random): Arg {
  if (random.chance(3)) return constant(pick(random, WRONG));
  const [bytes, before, from] = [length(random) & ~7, 8 * random.below(3), random.below(80)];
  const room = () => new Uint8Array(pattern(before + bytes + 8, from)).buffer;
  switch (random.below(8)) {
    case 0:
      return () => new DataView(room(), before, bytes);
    case 1:
      return () => new Uint32Array(room(), before, bytes / 4);
    case 2:
      return () => new Float64Array(room(), before, bytes / 8);
    case 3:
      return () => new Uint8Array(room(), before, bytes);
    default:
      return () => Buffer.from(room(), before, bytes);
  }
}

const views = (random: Random): Arg => {
  if (random.chance(4))
    return constant(pick(random, [null, {}, ['a'], [new ArrayBuffer(1)], 'text']));
  const several = Array.from({ length: random.below(5) }, () => view(random));
  return (place) => several.map((each) => each(place));
};

/** A read's result, whose buffer is the caller's own or one that was made for it. */
function received(
  value: { bytesRead?: number; bytesWritten?: number; buffer?: unknown; buffers?: unknown },
  _: Side,
  args: unknown[],
): unknown {
  const buffer = value.buffer ?? value.buffers;
  const given = args[0] === buffer || (args[0] as { buffer?: unknown } | null)?.buffer === buffer;
  const keys = Object.keys(value);
  const count = value.bytesRead ?? value.bytesWritten;
  return given || !ArrayBuffer.isView(buffer) ? [keys, count, given] : [keys, count, buffer];
}

const place: Fields = { offset, length: counts, position };

function withView(random: Random, fields: Fields): Arg {
  const [rest, buffer, has] = [options(random, fields), view(random), random.chance(85)];
  return (at) => {
    const found = rest(at);
    if (typeof found !== 'object' || found === null || Array.isArray(found) || !has) return found;
    return { ...found, buffer: buffer(at) };
  };
}

function read(random: Random, slot: number): Step {
  const positional = [arg(random, offset), arg(random, counts), arg(random, position)];
  const args = (() => {
    switch (random.below(6)) {
      case 0:
        return [];
      case 1:
        return [withView(random, place)];
      case 2:
        return [view(random), options(random, place)];
      default:
        return some(random, [view(random)], ...positional);
    }
  })();
  return method(slot, 'read', args, received);
}

function write(random: Random, slot: number): Step {
  // Node 20 takes null for options.
  const from = offset(random) ?? 0;
  const positional = [constant(from), arg(random, counts), arg(random, position)];
  const args = (() => {
    switch (random.below(5)) {
      case 0:
        return [view(random), options(random, place)];
      case 1:
      case 2: {
        const content = constant(pick(random, ['', 'text', 'é€', 'ff00', 'abc'.repeat(3000)]));
        return some(random, [content], arg(random, position), arg(random, encoding));
      }
      default:
        return some(random, [view(random)], ...positional);
    }
  })();
  return method(slot, 'write', args, received);
}

async function chunks(stream: AsyncIterable<unknown>): Promise<unknown> {
  const found: unknown[] = [];
  for await (const chunk of stream) found.push(chunk);
  return found;
}

/**
 * Only options that a stream takes: of one that could not be made, Node's handle stays open.
 * A write stream closes its handle: without, Node's handle.close() waits for it for ever.
 */
function streaming(random: Random, autoClose = false): Arg {
  const found = {
    encoding: pick(random, ['utf8', 'latin1', undefined]),
    start: pick(random, [0, 1, 5, 20, undefined]),
    ...(random.chance(50) ? { end: pick(random, [20, 30, 4096, 200_000]) } : {}),
    highWaterMark: pick(random, [1000, 16_384, 65_536]),
    autoClose,
  };
  return () => ({ ...found });
}

/** How a method is called, and how often among the others. */
const METHODS: [number, (random: Random, slot: number) => Step][] = [
  [10, read],
  [10, write],
  [4, (r, slot) => method(slot, 'readv', some(r, [views(r)], arg(r, position)), received)],
  [4, (r, slot) => method(slot, 'writev', some(r, [views(r)], arg(r, position)), received)],
  [
    4,
    (r, slot) =>
      method(slot, 'readFile', some(r, [], r.chance(40) ? arg(r, encoding) : options(r, reading))),
  ],
  [
    3,
    (r, slot) =>
      method(
        slot,
        'writeFile',
        some(r, [data(r)], r.chance(40) ? arg(r, encoding) : options(r, whole)),
      ),
  ],
  [
    3,
    (r, slot) =>
      method(
        slot,
        'appendFile',
        some(r, [data(r)], r.chance(40) ? arg(r, encoding) : options(r, whole)),
      ),
  ],
  [4, (r, slot) => method(slot, 'stat', some(r, [], options(r, { bigint: bool })))],
  [3, (r, slot) => method(slot, 'truncate', some(r, [], arg(r, size)))],
  [1, (r, slot) => method(slot, 'utimes', [arg(r, time), arg(r, time)])],
  [1, (r, slot) => method(slot, 'chmod', [arg(r, mode)])],
  [1, (r, slot) => method(slot, 'chown', [arg(r, id), arg(r, id)])],
  [1, (_, slot) => method(slot, 'sync', [])],
  [1, (_, slot) => method(slot, 'datasync', [])],
  [3, (_, slot) => method(slot, 'close', [])],
  [1, (r, slot) => method(slot, 'createReadStream', [streaming(r)], chunks)],
  [1, (r, slot) => method(slot, 'readLines', [streaming(r)], chunks)],
  [1, (r, slot) => method(slot, 'createWriteStream', [streaming(r, true)], written)],
];

/** It is awaited until its handle is closed: what comes after it finds it closed on both sides. */
async function written(stream: WriteStream): Promise<unknown> {
  let failed: unknown = null;
  stream.on('error', (error) => {
    failed = error;
  });
  stream.write('some ');
  stream.end('more');
  await new Promise((resolve) => stream.on('close', resolve));
  if (failed !== null) throw failed;
  return stream.bytesWritten;
}

function weighted<T>(random: Random, from: readonly [number, T][]): T {
  let left = random.below(from.reduce((sum, [weight]) => sum + weight, 0));
  for (const [weight, value] of from) {
    left -= weight;
    if (left < 0) return value;
  }
  throw new Error('the weights do not add up');
}

/** Functions that take a FileHandle where others take a path. */
function onHandle(random: Random, slot: number): Step {
  const name = pick(random, ['readFile', 'writeFile', 'appendFile']);
  const rest = name === 'readFile' ? [] : [data(random)];
  const settings = options(random, name === 'readFile' ? reading : whole);
  const extra = random.chance(50) ? [] : [settings];
  return {
    text: () => `fs.${name}(handle${slot}, ${show([...rest, ...extra])})`,
    run: async (side) => {
      const handle = side.handles.get(slot);
      if (handle === undefined) return 'no handle';
      const own = [...rest, ...extra].map((each) => each(side.root));
      return await outcome(side, () => (side.fs as unknown as Loose)[name]?.(handle, ...own));
    },
  };
}

/** Several at once, each in a folder of its own, or all reading the same handle. */
function together(random: Random, slots: number): Step {
  const steps: Step[] = [];
  if (random.chance(50)) {
    for (const lane of ['g0/', 'g1/', 'g2/', 'g3/']) {
      steps.push(weighted(random, FUNCTIONS)(random, lane));
    }
  } else {
    const slot = random.below(slots);
    const count = 1 + random.below(12);
    for (let i = 0; i < count; i++) {
      // A cursor has one order on the ring and none in Node: only positions can be compared.
      const args = [view(random), constant(0), arg(random, counts), constant(random.below(200))];
      steps.push(method(slot, 'read', args, received));
    }
    if (random.chance(30)) steps.push(method(slot, 'close', []));
  }
  return {
    text: () => `Promise.all([\n    ${steps.map((step) => step.text()).join(',\n    ')}])`,
    run: (side) => Promise.all(steps.map((step) => step.run(side))),
  };
}

const SLOTS = 3;

/** One step of a sequence. */
export function nextStep(random: Random): Step {
  const kind = random.below(100);
  const slot = random.below(SLOTS);
  if (kind < 45) return weighted(random, FUNCTIONS)(random, '');
  if (kind < 55) return open(random, '', slot);
  if (kind < 88) return weighted(random, METHODS)(random, slot);
  if (kind < 92) return onHandle(random, slot);
  return together(random, SLOTS);
}
