// A file in pieces, and line by line.
// Pair: crates/ringcore/tests/fslines.rs

import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { ChunksOptions, File, Runtime } from '../src/index.ts';
import { failure, folder, many, runtime, until } from './support.ts';

const TEXTS = [
  '',
  '\n',
  'one',
  'one\n',
  'one\ntwo',
  'one\r\ntwo\r\n',
  '\r\n\r\n',
  'a\rb\n\rc\r',
  'ä\nöß\r\n€\n😀😀\n\n🙂',
  'no end behind the last line\n\n\n x',
];

/** The lines of a text, said in another way. */
function expected(text: string): string[] {
  const lines = text.split('\n');
  const last = lines.pop() as string;
  const whole = lines.map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
  return last === '' ? whole : [...whole, last];
}

async function holding(t: ExecutionContext, rt: Runtime, bytes: string | Buffer): Promise<File> {
  const path = join(folder(t), 'file');
  writeFileSync(path, bytes);
  return rt.File.open(path);
}

async function piecesOf(file: File, options?: ChunksOptions): Promise<string[]> {
  const pieces: string[] = [];
  for await (const piece of file.chunks(options)) pieces.push(piece.toString());
  return pieces;
}

test('a file comes in pieces from its cursor on', async (t) => {
  const file = await holding(t, await runtime(t), '0123456789');
  await file.read(Buffer.alloc(1));
  t.deepEqual(await piecesOf(file, { size: 4 }), ['1234', '5678', '9']);
  t.deepEqual(await piecesOf(file), [], 'the cursor is at the end');
});

test('a file comes in pieces from one offset to another', async (t) => {
  const file = await holding(t, await runtime(t), '0123456789');
  t.deepEqual(await piecesOf(file, { size: 4, start: 0 }), ['0123', '4567', '89']);
  t.deepEqual(await piecesOf(file, { size: 4, end: 8 }), ['0123', '4567']);
  t.deepEqual(await piecesOf(file, { size: 4, start: 3, end: 9 }), ['3456', '78']);
  t.deepEqual(await piecesOf(file, { start: 9, end: 100 }), ['9']);
  t.deepEqual(await piecesOf(file, { start: 10 }), []);
  t.deepEqual(await piecesOf(file, { start: 5, end: 5 }), []);
  t.deepEqual(await piecesOf(file, { start: 6, end: 5 }), []);
  const byte = Buffer.alloc(1);
  t.is(await file.read(byte), 1);
  t.is(`${byte}`, '0', 'the cursor has not moved');
});

test('the next piece of an offset is read ahead and one of the cursor is not', async (t) => {
  const rt = await runtime(t);
  const file = await holding(t, rt, '0123456789');
  const before = rt.stats().submitted;
  const ahead = file.chunks({ size: 4, start: 0 });
  t.is(`${await ahead.next()}`, '0123');
  await until(() => rt.stats().inFlight === 0);
  t.is(rt.stats().submitted - before, 2);
  ahead.close();
  t.is(await ahead.next(), undefined);
  const pieces = file.chunks({ size: 4 });
  t.is(`${await pieces.next()}`, '0123');
  await until(() => rt.stats().inFlight === 0);
  t.is(rt.stats().submitted - before, 3);
  const rest = Buffer.alloc(9);
  t.is(await file.read(rest), 6, 'behind what was given');
});

test('pieces that are not wanted any more leave the file usable', async (t) => {
  const rt = await runtime(t);
  const file = await holding(t, rt, '0123456789');
  for await (const piece of file.chunks({ size: 3, start: 0 })) {
    t.is(`${piece}`, '012');
    break;
  }
  for await (const line of file.lines({ size: 3, start: 0 })) {
    t.is(line, '0123456789');
    break;
  }
  await until(() => rt.stats().inFlight === 0);
  t.is(await file.readToString(), '0123456789');
  await file.close();
});

test('wrong sizes of pieces are errors', async (t) => {
  const file = await holding(t, await runtime(t), '0123456789');
  for (const size of [0, -1, 0.5, 2 ** 20 + 1]) {
    t.throws(() => file.chunks({ size }), { code: 'ERR_OUT_OF_RANGE' });
    t.throws(() => file.lines({ size }), { code: 'ERR_OUT_OF_RANGE' });
  }
  t.throws(() => file.chunks({ start: -1 }), { code: 'ERR_OUT_OF_RANGE' });
  t.throws(() => file.chunks({ end: 2 ** 53 }), { code: 'ERR_OUT_OF_RANGE' });
  t.throws(() => file.chunks(null as never), { code: 'ERR_INVALID_ARG_TYPE' });
  t.throws(() => file.lines({ encoding: 'x' as never }), { code: 'ERR_INVALID_ARG_TYPE' });
  t.is(await file.readToString(), '0123456789');
});

test('an error ends the pieces and the lines', async (t) => {
  const rt = await runtime(t);
  const directory = await rt.File.open(folder(t));
  const pieces = directory.chunks();
  t.is((await failure(pieces.next())).code, 'EISDIR');
  t.is(await pieces.next(), undefined);
  const lines = directory.lines();
  t.is((await failure(lines.next())).code, 'EISDIR');
  t.is(await lines.next(), undefined);
});

test('lines come whole wherever the pieces end', async (t) => {
  const rt = await runtime(t);
  for (const text of TEXTS) {
    const file = await holding(t, rt, text);
    for (let size = 1; size <= Buffer.byteLength(text) + 1; size++) {
      const lines: string[] = [];
      for await (const line of file.lines({ size, start: 0 })) lines.push(line);
      t.deepEqual(lines, expected(text), `${JSON.stringify(text)} in pieces of ${size}`);
    }
    const lines = file.lines({ size: 2 });
    for (const line of expected(text)) t.is(await lines.next(), line);
    t.is(await lines.next(), undefined);
    t.is(await lines.next(), undefined);
    await file.close();
  }
});

test('long lines and many lines come whole', async (t) => {
  const rt = await runtime(t);
  const lines = Array.from({ length: many(3000) }, (_, i) => `${i} ${'ö'.repeat((i * 7) % 50)}`);
  lines.push('€'.repeat(200_000));
  const file = await holding(t, rt, lines.join('\r\n'));
  const got: string[] = [];
  for await (const line of file.lines()) got.push(line);
  t.true(got.length === lines.length && got.every((line, i) => line === lines[i]));
  const asked = file.lines({ start: 0 });
  const several = await Promise.all([asked.next(), asked.next(), asked.next()]);
  t.deepEqual(several, lines.slice(0, 3));
});

test('lines of a pipe come as they are written', async (t) => {
  const rt = await runtime(t);
  const path = join(folder(t), 'pipe');
  execFileSync('mkfifo', [path]);
  const both = openSync(path, constants.O_RDWR);
  const file = await rt.File.open(path);
  const writer = openSync(path, constants.O_WRONLY);
  closeSync(both);
  const lines = file.lines();
  writeSync(writer, 'one\ntw');
  t.is(await lines.next(), 'one');
  const second = lines.next();
  writeSync(writer, 'o\nthree');
  t.is(await second, 'two');
  closeSync(writer);
  t.is(await lines.next(), 'three');
  t.is(await lines.next(), undefined);
  await file.close();
});
