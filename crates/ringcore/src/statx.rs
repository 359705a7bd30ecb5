//! What statx(2) tells of a file.
//! Pair: src/statx.ts

use crate::sqe::STATX_BYTES;

// PAIR: Timestamp
/// A point in time since 1970. `nsec` is below 1 000 000 000 and counts forward, also before 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
  pub sec: i64,
  pub nsec: u32,
}

// PAIR: Statx
/// struct statx with the kernel's names, less their `stx_`. `mask` says which fields are filled in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statx {
  pub mask: u32,
  /// Bytes of a good transfer.
  pub blksize: u32,
  /// STATX_ATTR_*, of those in `attributes_mask`.
  pub attributes: u64,
  pub nlink: u32,
  pub uid: u32,
  pub gid: u32,
  /// Type and permissions.
  pub mode: u16,
  pub ino: u64,
  /// Bytes.
  pub size: u64,
  /// Blocks of 512 bytes that it takes.
  pub blocks: u64,
  pub attributes_mask: u64,
  pub atime: Timestamp,
  pub btime: Timestamp,
  pub ctime: Timestamp,
  pub mtime: Timestamp,
  /// Of a device file.
  pub rdev_major: u32,
  pub rdev_minor: u32,
  /// The device that holds it.
  pub dev_major: u32,
  pub dev_minor: u32,
  pub mnt_id: u64,
  /// Alignment of memory for O_DIRECT; 0: there is no O_DIRECT.
  pub dio_mem_align: u32,
  pub dio_offset_align: u32,
  pub subvol: u64,
  pub atomic_write_unit_min: u32,
  pub atomic_write_unit_max: u32,
  pub atomic_write_segments_max: u32,
  pub dio_read_offset_align: u32,
}

// PAIR: decode
/// The fields of a struct statx, which the kernel wrote.
pub fn decode(bytes: &[u8]) -> Statx {
  assert_eq!(bytes.len(), STATX_BYTES as usize);
  let u16_at = |at: usize| u16::from_ne_bytes(bytes[at..at + 2].try_into().expect("2"));
  let u32_at = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("4"));
  let u64_at = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("8"));
  let time_at = |at: usize| Timestamp { sec: u64_at(at) as i64, nsec: u32_at(at + 8) };
  Statx {
    mask: u32_at(0x00),
    blksize: u32_at(0x04),
    attributes: u64_at(0x08),
    nlink: u32_at(0x10),
    uid: u32_at(0x14),
    gid: u32_at(0x18),
    mode: u16_at(0x1c),
    ino: u64_at(0x20),
    size: u64_at(0x28),
    blocks: u64_at(0x30),
    attributes_mask: u64_at(0x38),
    atime: time_at(0x40),
    btime: time_at(0x50),
    ctime: time_at(0x60),
    mtime: time_at(0x70),
    rdev_major: u32_at(0x80),
    rdev_minor: u32_at(0x84),
    dev_major: u32_at(0x88),
    dev_minor: u32_at(0x8c),
    mnt_id: u64_at(0x90),
    dio_mem_align: u32_at(0x98),
    dio_offset_align: u32_at(0x9c),
    subvol: u64_at(0xa0),
    atomic_write_unit_min: u32_at(0xa8),
    atomic_write_unit_max: u32_at(0xac),
    atomic_write_segments_max: u32_at(0xb0),
    dio_read_offset_align: u32_at(0xb4),
  }
}

/// The places above are those of the C library, where it knows them.
const _: () = {
  use std::mem::{offset_of, size_of};
  assert!(size_of::<libc::statx>() == STATX_BYTES as usize);
  assert!(offset_of!(libc::statx, stx_attributes) == 0x08);
  assert!(offset_of!(libc::statx, stx_mode) == 0x1c);
  assert!(offset_of!(libc::statx, stx_ino) == 0x20);
  assert!(offset_of!(libc::statx, stx_attributes_mask) == 0x38);
  assert!(offset_of!(libc::statx, stx_atime) == 0x40);
  assert!(offset_of!(libc::statx, stx_btime) == 0x50);
  assert!(offset_of!(libc::statx, stx_ctime) == 0x60);
  assert!(offset_of!(libc::statx, stx_mtime) == 0x70);
  assert!(offset_of!(libc::statx, stx_rdev_major) == 0x80);
  assert!(offset_of!(libc::statx, stx_dev_minor) == 0x8c);
  assert!(offset_of!(libc::statx, stx_mnt_id) == 0x90);
  assert!(offset_of!(libc::statx, stx_dio_offset_align) == 0x9c);
};
