//! Which mounts are of this machine's own file systems: what is known of their files is in memory.
//! PAIR: only-rust mounts.rs -- TypeScript asks about files, by `Border::stat` and `isLocal`
//!
//! The kernel has no call that names the file system of a descriptor and surely waits for nothing:
//! fstatfs(2) asks the server of NFS, and of FUSE the daemon, which may be this very thread. So
//! statx(2) tells the mount, and /proc its type, once for each mount.
#![allow(unsafe_code)]

use crate::sqe::STATX_BYTES;
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// What is read and written here is in this machine's memory, and so is all that a file is asked
/// for. Not overlay: what lies below may be on a server.
const LOCAL: [&str; 8] = ["ext4", "ext3", "ext2", "xfs", "btrfs", "f2fs", "tmpfs", "devtmpfs"];

/// Mounts to remember; with more it begins anew.
const MOST: usize = 64;
/// How long a number is believed that another mount may get. As long as NFS believes its own.
const BRIEFLY: Duration = Duration::from_secs(1);

/// Linux 6.8: a number that no other mount ever gets. Before, `STATX_MNT_ID`.
const STATX_MNT_ID_UNIQUE: u32 = 0x4000;
const STATX_MNT_ID: u32 = 0x1000;
pub(super) const STATX_MOUNT: u32 = STATX_MNT_ID | STATX_MNT_ID_UNIQUE;

/// Where struct statx has its mask, and the mount.
const MASK: usize = 0;
const MNT_ID: usize = 0x90;

/// struct statx as the kernel fills it.
pub type StatxBytes = [u8; STATX_BYTES as usize];

/// One that was asked about.
struct Mount {
  id: u64,
  /// Its number in /proc, if its file system is local.
  local: Option<u64>,
  until: Option<Instant>,
}

/// Those that this thread has met.
struct Mounts {
  known: Vec<Mount>,
  /// Some of them are not local.
  others: bool,
}

thread_local! {
  static MOUNTS: RefCell<Mounts> =
    const { RefCell::new(Mounts { known: Vec::new(), others: false }) };
}

/// Whether only local ones were met until now.
pub(super) fn all_local() -> bool {
  MOUNTS.with_borrow(|mounts| !mounts.others)
}

/// Whether what `fd` leads to is local, by a statx of it that asked for `STATX_MOUNT` as well. The
/// mount is told then as one is that did not ask.
pub(super) fn is_local(fd: i32, found: &mut StatxBytes) -> bool {
  let mask = u32::from_ne_bytes(four(found, MASK));
  if mask & STATX_MOUNT == 0 {
    return false;
  }
  let unique = mask & STATX_MNT_ID_UNIQUE != 0;
  let id = u64::from_ne_bytes(found[MNT_ID..MNT_ID + 8].try_into().expect("8"));
  let Some(number) = number_of_local(fd, id, unique) else {
    return false;
  };
  let mask = mask & !STATX_MNT_ID_UNIQUE | STATX_MNT_ID;
  found[MASK..MASK + 4].copy_from_slice(&mask.to_ne_bytes());
  found[MNT_ID..MNT_ID + 8].copy_from_slice(&number.to_ne_bytes());
  true
}

fn four(bytes: &StatxBytes, at: usize) -> [u8; 4] {
  bytes[at..at + 4].try_into().expect("4")
}

/// The number in /proc of a mount, if it is local.
fn number_of_local(fd: i32, id: u64, unique: bool) -> Option<u64> {
  MOUNTS.with_borrow_mut(|mounts| {
    let known = &mut mounts.known;
    if let Some(place) = known.iter().position(|mount| mount.id == id) {
      if known[place].until.is_none_or(|until| until > Instant::now()) {
        return known[place].local;
      }
      known.swap_remove(place);
    }
    let found = number(fd).and_then(|number| Some((number, type_of(number)?)));
    let local = found.as_ref().filter(|(_, name)| LOCAL.contains(&name.as_str()));
    let local = local.map(|(number, _)| *number);
    // What could not be read may be there in a while.
    let for_good = unique && found.is_some();
    if known.len() == MOST {
      known.clear();
    }
    let until = (!for_good).then(|| Instant::now() + BRIEFLY);
    known.push(Mount { id, local, until });
    mounts.others |= local.is_none();
    local
  })
}

/// The mount of what is open, as /proc numbers it. While it is open no other mount gets the number.
fn number(fd: i32) -> Option<u64> {
  let mut found = [0; STATX_BYTES as usize];
  if !statx(fd, STATX_MNT_ID, &mut found) {
    return None;
  }
  Some(u64::from_ne_bytes(found[MNT_ID..MNT_ID + 8].try_into().expect("8")))
}

/// The type of the file system of a mount. None: it is not below this process's root.
fn type_of(number: u64) -> Option<String> {
  let mounts = std::fs::read("/proc/thread-self/mountinfo").ok()?;
  type_in(&String::from_utf8_lossy(&mounts), number)
}

/// proc_pid_mountinfo(5): `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw`, blanks
/// in names are escaped.
fn type_in(mounts: &str, number: u64) -> Option<String> {
  let number = number.to_string();
  let line = mounts.lines().find(|line| line.split(' ').next() == Some(&number))?;
  line.split_once(" - ")?.1.split(' ').next().map(String::from)
}

/// statx(2) of what is open, as far as this machine knows: no server is asked.
pub(super) fn statx(fd: i32, mask: u32, into: &mut StatxBytes) -> bool {
  let flags = libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC;
  let (name, into) = (c"".as_ptr(), into.as_mut_ptr());
  // SAFETY: I1: `into` is as long as struct statx, and written before the call returns.
  unsafe { libc::syscall(libc::SYS_statx, fd, name, flags, mask, into) == 0 }
}

#[cfg(test)]
mod tests {
  use super::*;

  const MOUNTS_TEXT: &str = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
270 27 0:50 / /mnt\\040-\\040x rw master:1 shared:7 - fuse.sshfs host:/a - ext4 rw
28 27 0:51 / /x rw - nfs4 host:/b rw";

  #[test]
  fn the_type_of_a_mount_is_read_by_its_number() {
    let name = |number| type_in(MOUNTS_TEXT, number);
    assert_eq!(name(27).as_deref(), Some("ext4"));
    assert_eq!(name(270).as_deref(), Some("fuse.sshfs"));
    assert_eq!(name(28).as_deref(), Some("nfs4"));
    assert_eq!((name(2), name(0), name(1)), (None, None, None));
  }

  #[test]
  fn a_number_that_another_mount_may_get_is_believed_briefly() {
    let file = std::fs::File::open("/proc/self/stat").unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
    let ids = |mounts: &Mounts| mounts.known.iter().map(|mount| mount.id).collect::<Vec<_>>();
    let known = || MOUNTS.with_borrow(ids);
    for (id, unique) in [(1, true), (2, false)] {
      assert_eq!(number_of_local(fd, id, unique), None, "proc is not on the list");
    }
    assert!(!all_local());
    assert_eq!(known(), vec![1, 2]);
    MOUNTS.with_borrow_mut(|mounts| {
      assert_eq!(mounts.known[0].until, None);
      assert!(mounts.known[1].until.is_some());
      mounts.known[1].until = Some(Instant::now() - BRIEFLY);
      mounts.known[1].local = Some(7); // What it was until now.
    });
    assert_eq!(number_of_local(fd, 2, false), None, "asked again");
    for id in 100..100 + 3 * MOST as u64 {
      number_of_local(fd, id, true);
      assert!(known().len() <= MOST);
    }
  }
}
