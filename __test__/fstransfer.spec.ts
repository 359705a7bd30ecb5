// Transfers of open files: at offsets, long, short, vectored, appended, without a size.
// Pair: crates/ringcore/tests/fstransfer.rs

import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  readFileSync,
  readSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import * as C from '../src/cqe.ts';
import { File, Runtime, constants as ring, spawn } from '../src/index.ts';
import { Kernel } from '../src/kernel.ts';
import * as S from '../src/sqe.ts';
import { listener } from './sockets.ts';
import { child, failure, folder, many, runtime } from './support.ts';

const MIB = 1 << 20;

/** Bytes that say where they belong. */
function pattern(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let i = 0; i < length; i++) bytes[i] = i * 31 + (i >> 8) + (i >> 16);
  return bytes;
}

/** What the kernel got: how many bytes each write asked for, and the syncs. */
interface Seen {
  writes: number[];
  syncs: number;
  polls: number;
}

const MOVES = [S.IORING_OP_READ, S.IORING_OP_WRITE, S.IORING_OP_READV, S.IORING_OP_WRITEV];

/**
 * A runtime on the kernel whose transfers are cut to `most` bytes. With `nowait` those that would
 * have to wait answer EAGAIN, as O_NONBLOCK makes them on older kernels.
 */
function watched(
  t: ExecutionContext,
  most = Number.MAX_SAFE_INTEGER,
  nowait = false,
): [Runtime, Seen] {
  const seen: Seen = { writes: [], syncs: 0, polls: 0 };
  const rt = new Runtime({}, (options, wake) => {
    const kernel = Kernel.open(options, wake);
    const words = new Int32Array(kernel.memory);
    const push = kernel.push.bind(kernel);
    kernel.push = (count) => {
      for (let i = 0; i < count; i++) {
        const at = (C.BORDER_DESCRIPTORS >> 2) + i * S.DESCRIPTOR_WORDS;
        const opcode = words[at + S.D_OPCODE];
        if (opcode === S.IORING_OP_FSYNC) seen.syncs++;
        if (opcode === S.IORING_OP_POLL_ADD) seen.polls++;
        if (nowait && MOVES.includes(opcode as number)) {
          words[at + S.D_WORD0] = (words[at + S.D_WORD0] as number) | ring.RWF_NOWAIT;
        }
        if (opcode !== S.IORING_OP_READ && opcode !== S.IORING_OP_WRITE) continue;
        const length = Math.min(words[at + S.D_LENGTH] as number, most);
        words[at + S.D_LENGTH] = length;
        if (opcode === S.IORING_OP_WRITE) seen.writes.push(length);
      }
      push(count);
    };
    return kernel;
  });
  t.teardown(() => rt.close());
  return [rt, seen];
}

const both = (rt: Runtime, path: string) => rt.File.options().read().write().create().open(path);

/** A connection: a file at one end, which it closes, and the other end as it is. */
async function connected(t: ExecutionContext, rt: Runtime): Promise<[file: File, other: number]> {
  const [listening, where] = await listener(t, rt);
  const other = await rt.op.socket(ring.AF_UNIX, ring.SOCK_STREAM | ring.SOCK_NONBLOCK);
  const accepts = rt.op.accept(listening, { flags: ring.SOCK_NONBLOCK }).then((fd) => fd);
  await rt.op.connect(other, where);
  return [rt.File.fromFd(await accepts), other];
}

/** Reads so many bytes from a pipe, bit by bit. */
async function drained(reader: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  for (let done = 0; done < length; ) {
    try {
      done += readSync(reader, bytes, done, Math.min(10_000, length - done), null);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return bytes;
}

test('transfers at an offset leave the cursor where it is', async (t) => {
  const file = await both(await runtime(t), join(folder(t), 'file'));
  await file.writeAll('0123456789');
  const bytes = Buffer.alloc(10);
  t.is(await file.readAt(bytes.subarray(0, 3), 2), 3);
  t.is(bytes.toString('latin1', 0, 3), '234');
  t.is(await file.writeAt('ab', 4), 2);
  await file.readExactAt(bytes.subarray(0, 4), 3);
  t.is(bytes.toString('latin1', 0, 4), '3ab6');
  await file.writeAllAt('yz', 8);
  const room = [Buffer.alloc(1), Buffer.alloc(0), Buffer.alloc(2)];
  t.is(await file.readvAt(room, 0), 3);
  t.is(Buffer.concat(room).toString(), '012');
  t.is(await file.writevAt([Buffer.from('w'), Buffer.from('x')], 6), 2);
  t.is(await file.read(bytes), 0, 'the cursor is still at the end');
  t.is(await file.read(bytes, { offset: 0 }), 10);
  t.is(bytes.toString(), '0123abwxyz');
});

test('an exact read fills the buffer or says how far it came', async (t) => {
  const path = join(folder(t), 'file');
  writeFileSync(path, 'abcdef');
  const file = await (await runtime(t)).File.open(path);
  const bytes = Buffer.alloc(4);
  t.is(await file.readExact(bytes), undefined);
  t.is(bytes.toString(), 'abcd');
  t.is(await file.readExact(Buffer.alloc(0)), undefined);
  const error = await failure(file.readExact(bytes.fill(0)));
  t.is(error.code, 'ERR_RINGCORE_UNEXPECTED_END');
  t.is((error as unknown as { bytesRead: number }).bytesRead, 2);
  t.is(bytes.toString(), 'ef\0\0');
  const far = await failure(file.readExactAt(Buffer.alloc(7), 0));
  t.is(far.message, 'The file ended after 6 bytes');
  t.is((await failure(file.readExactAt(bytes, 2 ** 40))).message, 'The file ended after 0 bytes');
});

test('long transfers go on at the right offset', async (t) => {
  const rt = await runtime(t);
  const path = join(folder(t), 'file');
  const bytes = pattern(3 * MIB + 333);
  let file = await both(rt, path);
  t.is(await file.write(bytes), MIB, 'one write is at most 1 MiB');
  await file.writeAllAt(bytes, 5);
  const back = Buffer.alloc(bytes.length);
  await file.readExactAt(back, 5);
  t.true(back.equals(bytes));
  await file.truncate(0);
  file = await both(rt, path);
  await file.writeAll(bytes);
  t.true(readFileSync(path).equals(bytes));
  file = await rt.File.open(path);
  t.is(await file.read(Buffer.alloc(2 * MIB)), MIB);
  t.true((await file.readToEnd()).equals(bytes.subarray(MIB)));
  file = await rt.File.open(path);
  await file.readExact(back.fill(0));
  t.true(back.equals(bytes));
});

test('short reads and writes go on at the right offset', async (t) => {
  for (const most of [1, 7, 4096, 99_999]) {
    const [rt] = watched(t, most);
    const path = join(folder(t), 'file');
    const bytes = pattern(Math.min(most * 50, 500_000) + 3);
    let file = await both(rt, path);
    t.is(await file.write(bytes), most);
    await file.writeAllAt(bytes, 2);
    t.true(readFileSync(path).subarray(2).equals(bytes));
    file = await both(rt, path);
    await file.writeAll(bytes);
    await file.append(bytes);
    await file.append(bytes, { durable: true });
    const all = Buffer.concat([bytes, bytes.subarray(-2), bytes, bytes]);
    t.true(readFileSync(path).equals(all));
    const back = Buffer.alloc(all.length);
    await file.readExactAt(back, 0);
    t.true(back.equals(all));
    file = await rt.File.open(path);
    await file.readExact(back.fill(0).subarray(0, 5));
    t.true(back.subarray(0, 5).equals(all.subarray(0, 5)));
    t.true((await file.readToEnd()).equals(all.subarray(5)));
  }
});

test('a write that moves nothing is an error and no endless loop', async (t) => {
  const [rt] = watched(t, 0);
  const file = await both(rt, join(folder(t), 'file'));
  const bytes = Buffer.alloc(9, 1);
  t.is((await failure(file.writeAll(bytes))).message, 'EIO: i/o error, write');
  t.is((await failure(file.writeAllAt(bytes, 0))).code, 'EIO');
  t.is((await failure(file.append(bytes))).code, 'EIO');
  t.is((await failure(file.append(bytes, { durable: true }))).code, 'EIO');
  t.is(await file.write(bytes), 0, 'one write says what there was');
  t.is(await file.writeAll(''), undefined, 'nothing is all there is to write');
});

test('several buffers go in and come back in order', async (t) => {
  const rt = await runtime(t);
  const path = join(folder(t), 'file');
  let file = await both(rt, path);
  t.is(await file.writev([Buffer.from('one '), Buffer.alloc(0), Buffer.from('two')]), 7);
  t.is(await file.writev([Buffer.from('!')]), 1);
  file = await rt.File.open(path);
  const room = [Buffer.alloc(3), Buffer.alloc(2)];
  t.is(await file.readv(room), 5);
  t.deepEqual(room.map(String), ['one', ' t']);
  t.is(await file.readv([Buffer.alloc(9)]), 3);
  t.is(await file.readv([]), 0);
});

test('bytes are appended at the end wherever the cursor is', async (t) => {
  const path = join(folder(t), 'file');
  writeFileSync(path, '0123');
  const file = await both(await runtime(t), path);
  const byte = Buffer.alloc(1);
  t.is(await file.read(byte), 1);
  await file.append('ab');
  t.is(await file.read(byte), 0, 'the cursor is behind what was appended');
  await file.writeAllAt('X', 0);
  await file.append('c');
  await file.append('d', { durable: true });
  t.is(readFileSync(path, 'utf8'), 'X123abcd');
});

test('two writers that append lose nothing', async (t) => {
  const path = join(folder(t), 'file');
  const rounds = many(40);
  const writer = async (name: string) => {
    const file = await File.options().append().create().open(path);
    for (let round = 0; round < rounds; round++) {
      const line = `${name} ${round} ${'-'.repeat((round * 97) % 3000)}\n`;
      await (round % 2 === 0 ? file.append(line) : file.writeAll(line));
    }
    await file.close();
  };
  await Promise.all(['a', 'b'].map((name) => spawn(() => writer(name))));
  const lines = readFileSync(path, 'utf8').split('\n');
  t.is(lines.pop(), '');
  for (const name of ['a', 'b']) {
    const own = lines.map((line) => line.split(' ')).filter(([first]) => first === name);
    t.is(own.length, rounds);
    own.forEach(([, round, rest], i) => {
      t.is(Number(round), i);
      t.is(rest?.length, (i * 97) % 3000);
    });
  }
});

test('a durable append is a write and a sync in one submission', async (t) => {
  const [rt, seen] = watched(t);
  const path = join(folder(t), 'file');
  const file = await both(rt, path);
  await file.append('log', { durable: true });
  t.deepEqual(seen, { writes: [3], syncs: 1, polls: 0 });
  await file.append(pattern(2 * MIB + 5), { durable: true });
  t.deepEqual(seen.writes.slice(1), [MIB, MIB, 5], 'windows of 1 MiB');
  t.is(seen.syncs, 2, 'one sync, behind the last of them');
  await file.append('.');
  t.is(seen.syncs, 2, 'not durable');
  await file.append('', { durable: true });
  t.is(seen.syncs, 3, 'what was written before is on the disk as well');
  t.is(statSync(path).size, 2 * MIB + 9);
});

test('a durable append that fails says so', async (t) => {
  const rt = await runtime(t);
  const writing = () => rt.File.options().write();
  const full = await writing().open('/dev/full');
  const text = 'ENOSPC: no space left on device, write';
  t.is((await failure(full.append('log', { durable: true }))).message, text);
  t.is((await failure(full.append('log'))).code, 'ENOSPC');
  t.is((await failure(full.writeAll('log'))).code, 'ENOSPC');
  // /dev/null takes every byte and has no disk: the sync's own result is looked at.
  const none = await writing().open('/dev/null');
  const unsynced = await failure(none.append('log', { durable: true }));
  t.is(unsynced.message, 'EINVAL: invalid argument, fdatasync');
  t.is(await none.append('log'), undefined);
  const file = await rt.File.open('/proc/self/exe');
  t.is((await failure(file.append('log', { durable: true }))).code, 'EBADF', 'only to be read');
});

test('a durable append that is cut short goes on', async (t) => {
  const [rt, seen] = watched(t, undefined, true);
  const [file, reader] = await connected(t, rt);
  const bytes = pattern(500_000);
  const appended = failure(file.append(bytes, { durable: true }));
  t.true((await drained(reader, bytes.length)).equals(bytes));
  // All bytes are out, and then a socket cannot be synced.
  t.is((await appended).message, 'EINVAL: invalid argument, fdatasync');
  t.true(seen.writes.length > 1 && seen.polls > 0);
  await file.close();
  closeSync(reader);
});

test('what has no size is read to its end', async (t) => {
  const rt = await runtime(t);
  const fifo = join(folder(t), 'fifo');
  execFileSync('mkfifo', [fifo]);
  const fed = child(`
    const fs = await import('node:fs');
    const fd = fs.openSync(${JSON.stringify(fifo)}, 'w');
    const byte = (_, i) => i * 31 + (i >> 8) + (i >> 16);
    const bytes = Buffer.from(Array.from({ length: 200_000 }, byte));
    for (let at = 0; at < bytes.length; ) {
      at += fs.writeSync(fd, bytes, at, Math.min(7777, bytes.length - at));
    }
  `);
  const file = await rt.File.open(fifo);
  t.true((await file.readToEnd()).equals(pattern(200_000)));
  t.is((await fed).code, 0);
  const maps = await (await rt.File.open('/proc/self/maps')).readToString();
  t.true(maps.endsWith('\n') && maps.split('\n').length > 20);
  t.true(maps.includes('[stack]') && maps.includes('[vdso]'), 'from the first to the last');
  t.is((await (await rt.File.open('/dev/null')).readToEnd()).length, 0);
});

test('a descriptor that must not wait is polled and keeps its flags', async (t) => {
  const [rt, seen] = watched(t, undefined, true);
  const [file, other] = await connected(t, rt);
  const bytes = Buffer.alloc(9);
  const reads = file.read(bytes);
  setTimeout(() => writeSync(other, 'late'), 30);
  t.is(await reads, 4);
  t.is(bytes.toString('latin1', 0, 4), 'late');
  t.is(seen.polls, 1);
  const written = file.writeAll(pattern(500_000));
  t.true((await drained(other, 500_000)).equals(pattern(500_000)));
  t.is(await written, undefined);
  const exact = file.readExact(bytes.subarray(0, 4));
  setTimeout(() => writeSync(other, 'ab'), 10);
  setTimeout(() => writeSync(other, 'cd'), 30);
  await exact;
  t.is(bytes.toString('latin1', 0, 4), 'abcd');
  const flags = /flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${file.fd}`, 'utf8'));
  t.not(Number.parseInt(flags?.[1] as string, 8) & constants.O_NONBLOCK, 0);
  t.true(seen.polls >= 4);
  const { polls } = seen;
  const last = file.readv([bytes]);
  setTimeout(() => writeSync(other, 'vector'), 10);
  t.is(await last, 6);
  t.is(seen.polls, polls + 1);
  const stopped = new AbortController();
  const never = failure(file.read(bytes, { signal: stopped.signal }));
  setTimeout(() => stopped.abort(), 10);
  t.is((await never).name, 'AbortError');
  const ended = file.readv([bytes]);
  setTimeout(() => closeSync(other), 10);
  t.is(await ended, 0, 'nobody writes any more');
  await file.close();
});
