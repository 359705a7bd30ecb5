// Stats and BigIntStats of node:fs out of struct statx.

import type { BigIntStats, Stats } from 'node:fs';
import { HIGH, LITTLE, LOW, type Statx, type Timestamp } from '../statx.ts';
import { nodeFs } from './builtin.ts';

type Make<T> = new (...fields: unknown[]) => T;

// The constructor itself, not the deprecated one of the module's surface, which warns (DEP0180).
const makeStats = nodeFs.Stats.prototype.constructor as unknown as Make<Stats>;
/** From Node 26 on a time is two arguments, seconds and nanoseconds; before, milliseconds. */
const TWO = makeStats.length > 14;
const times = (time: Timestamp): number[] => (TWO ? [time.sec, time.nsec] : [ms(time)]);
/** It has no name in the module; the first use looks at one. */
let makeBigInt: Make<BigIntStats> | null = null;

/** dev_t as glibc packs it. */
function device(major: number, minor: number): bigint {
  const [hi, lo] = [BigInt(major), BigInt(minor)];
  const high = ((hi & 0xfffff000n) << 32n) | ((lo & 0xffffff00n) << 12n);
  return high | ((hi & 0xfffn) << 8n) | (lo & 0xffn);
}

/** Most devices have small numbers, and need no bigint. */
function deviceNumber(major: number, minor: number): number {
  return minor < 256 && major < 4096 ? major * 256 + minor : Number(device(major, minor));
}

const ms = ({ sec, nsec }: Timestamp): number => sec * 1000 + nsec / 1e6;
const ns = ({ sec, nsec }: Timestamp<bigint>): bigint => sec * 1_000_000_000n + BigInt(nsec);

/** What `stat` resolves to. */
export function statsOf(x: Statx): Stats {
  return new makeStats(
    deviceNumber(x.devMajor, x.devMinor),
    x.mode,
    x.nlink,
    x.uid,
    x.gid,
    deviceNumber(x.rdevMajor, x.rdevMinor),
    x.blksize,
    x.ino,
    x.size,
    x.blocks,
    ...times(x.atime),
    ...times(x.mtime),
    ...times(x.ctime),
    ...times(x.btime),
  );
}

/**
 * The same of a struct statx in words of 32 bits, from index `at` on: without a `Statx` in between,
 * which costs seven times as much.
 */
export function statsIn(words: Int32Array, at: number): Stats {
  const u32 = (place: number) => (words[at + place] as number) >>> 0;
  const u64 = (place: number) => u32(place + HIGH / 4) * 2 ** 32 + u32(place + LOW / 4);
  const sec = (place: number) =>
    (words[at + place + HIGH / 4] as number) * 2 ** 32 + u32(place + LOW / 4);
  const first = (place: number) => (TWO ? sec(place) : sec(place) * 1000 + u32(place + 2) / 1e6);
  const mode = LITTLE ? u32(7) & 0xffff : u32(7) >>> 16;
  const dev = deviceNumber(u32(34), u32(35));
  const rdev = deviceNumber(u32(32), u32(33));
  const [nlink, uid, gid, blksize] = [u32(4), u32(5), u32(6), u32(1)];
  const [ino, size, blocks] = [u64(8), u64(10), u64(12)];
  const [atime, mtime, ctime, btime] = [first(16), first(28), first(24), first(20)];
  return TWO
    ? new makeStats(
        dev,
        mode,
        nlink,
        uid,
        gid,
        rdev,
        blksize,
        ino,
        size,
        blocks,
        atime,
        u32(18),
        mtime,
        u32(30),
        ctime,
        u32(26),
        btime,
        u32(22),
      )
    : new makeStats(
        dev,
        mode,
        nlink,
        uid,
        gid,
        rdev,
        blksize,
        ino,
        size,
        blocks,
        atime,
        mtime,
        ctime,
        btime,
      );
}

/** What `stat` with `{ bigint: true }` resolves to. */
export function bigIntStatsOf(x: Statx<bigint>): BigIntStats {
  makeBigInt ??= nodeFs.statSync('/', { bigint: true }).constructor as Make<BigIntStats>;
  return new makeBigInt(
    device(x.devMajor, x.devMinor),
    BigInt(x.mode),
    BigInt(x.nlink),
    BigInt(x.uid),
    BigInt(x.gid),
    device(x.rdevMajor, x.rdevMinor),
    BigInt(x.blksize),
    x.ino,
    x.size,
    x.blocks,
    ns(x.atime),
    ns(x.mtime),
    ns(x.ctime),
    ns(x.btime),
  );
}
