// Stats and BigIntStats of node:fs out of struct statx.

import type { BigIntStats, Stats } from 'node:fs';
import type { Statx, Timestamp } from '../statx.ts';
import { nodeFs } from './builtin.ts';

type Make<T> = new (...fields: unknown[]) => T;

// The constructor itself, not the deprecated one of the module's surface, which warns (DEP0180).
const makeStats = nodeFs.Stats.prototype.constructor as unknown as Make<Stats>;
/** From Node 26 on a time is two arguments, seconds and nanoseconds; before, milliseconds. */
const times: (time: Timestamp) => number[] =
  makeStats.length > 14 ? ({ sec, nsec }) => [sec, nsec] : (time) => [ms(time)];
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
