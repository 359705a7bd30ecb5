// What statx(2) tells of a file.
// Pair: crates/ringcore/src/statx.rs

export const LITTLE: boolean = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;
/** Where in 8 bytes the halves are. */
export const LOW: number = LITTLE ? 0 : 4;
export const HIGH: number = 4 - LOW;

// PAIR: Timestamp
/** A point in time since 1970. `nsec` is below 1e9 and counts forward, also before 1970. */
export interface Timestamp<N extends number | bigint = number> {
  sec: N;
  nsec: number;
}

// PAIR: Statx
/**
 * struct statx with the kernel's names, less their `stx_`. `mask` says which fields are filled in.
 * What has 64 bits there is a number, which is exact up to 2 ** 53, or with `{ bigint: true }` a
 * bigint.
 */
export interface Statx<N extends number | bigint = number> {
  mask: number;
  /** Bytes of a good transfer. */
  blksize: number;
  /** STATX_ATTR_*, of those in `attributesMask`. */
  attributes: N;
  nlink: number;
  uid: number;
  gid: number;
  /** Type and permissions. */
  mode: number;
  ino: N;
  /** Bytes. */
  size: N;
  /** Blocks of 512 bytes that it takes. */
  blocks: N;
  attributesMask: N;
  atime: Timestamp<N>;
  btime: Timestamp<N>;
  ctime: Timestamp<N>;
  mtime: Timestamp<N>;
  /** Of a device file. */
  rdevMajor: number;
  rdevMinor: number;
  /** The device that holds it. */
  devMajor: number;
  devMinor: number;
  mntId: N;
  /** Alignment of memory for O_DIRECT; 0: there is no O_DIRECT. */
  dioMemAlign: number;
  dioOffsetAlign: number;
  subvol: N;
  atomicWriteUnitMin: number;
  atomicWriteUnitMax: number;
  atomicWriteSegmentsMax: number;
  dioReadOffsetAlign: number;
}

// PAIR: decode
/** The fields of a struct statx, which the kernel wrote. */
export function decode<N extends number | bigint>(bytes: Uint8Array, bigint: boolean): Statx<N> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const u32 = (at: number) => view.getUint32(at, LITTLE);
  // Two halves: a bigint on the way costs more than both.
  const wide = (high: number, low: number) => (high * 2 ** 32 + low) as N;
  const u64 = (at: number) =>
    bigint ? (view.getBigUint64(at, LITTLE) as N) : wide(u32(at + HIGH), u32(at + LOW));
  const i64 = (at: number) =>
    bigint
      ? (view.getBigInt64(at, LITTLE) as N)
      : wide(view.getInt32(at + HIGH, LITTLE), u32(at + LOW));
  const time = (at: number) => ({ sec: i64(at), nsec: u32(at + 8) });
  return {
    mask: u32(0x00),
    blksize: u32(0x04),
    attributes: u64(0x08),
    nlink: u32(0x10),
    uid: u32(0x14),
    gid: u32(0x18),
    mode: view.getUint16(0x1c, LITTLE),
    ino: u64(0x20),
    size: u64(0x28),
    blocks: u64(0x30),
    attributesMask: u64(0x38),
    atime: time(0x40),
    btime: time(0x50),
    ctime: time(0x60),
    mtime: time(0x70),
    rdevMajor: u32(0x80),
    rdevMinor: u32(0x84),
    devMajor: u32(0x88),
    devMinor: u32(0x8c),
    mntId: u64(0x90),
    dioMemAlign: u32(0x98),
    dioOffsetAlign: u32(0x9c),
    subvol: u64(0xa0),
    atomicWriteUnitMin: u32(0xa8),
    atomicWriteUnitMax: u32(0xac),
    atomicWriteSegmentsMax: u32(0xb0),
    dioReadOffsetAlign: u32(0xb4),
  };
}
