//! Which mounts are of this machine's own file systems: what is known of their files is in memory.
//! PAIR: only-rust mounts.rs -- TypeScript asks about files, by `Border::stat` and `isLocal`
//!
//! The kernel has no call that names the file system of a descriptor and surely waits for nothing:
//! fstatfs(2) asks the server of NFS, and of FUSE the daemon, which may be this very thread. So
//! statx(2) tells the mount, and statmount(2) its type, which is in memory. Before Linux 6.8 that
//! is in /proc, whose table is long where there are many mounts: all of it is remembered.
#![allow(unsafe_code)]

use crate::sqe::STATX_BYTES;
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// What is read and written here is in this machine's memory, and so is all that a file is asked
/// for. Not overlay: what lies below may be on a server.
const LOCAL: [&str; 8] = ["ext4", "ext3", "ext2", "xfs", "btrfs", "f2fs", "tmpfs", "devtmpfs"];

/// Mounts to remember; with more, one makes room.
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
    let local = if unique {
      if known.len() >= MOST {
        known.remove(0);
      }
      let mount = ask(fd, id);
      let local = mount.local;
      known.push(mount);
      local
    } else {
      read_all(known, id)
    };
    mounts.others |= local.is_none();
    local
  })
}

/// Asks about a mount whose number no other one gets.
fn ask(fd: i32, id: u64) -> Mount {
  let number = number(fd);
  let name = number.and_then(|number| type_told(id).or_else(|| type_of(number)));
  let local = name.as_deref().and_then(|name| number.filter(|_| LOCAL.contains(&name)));
  // What could not be read may be there in a while.
  Mount { id, local, until: name.is_none().then(|| Instant::now() + BRIEFLY) }
}

/// Remembers the whole table of /proc for a while, and says the same of one mount in it.
fn read_all(known: &mut Vec<Mount>, id: u64) -> Option<u64> {
  let text = mountinfo().unwrap_or_default();
  let until = Some(Instant::now() + BRIEFLY);
  *known = mounts_in(&text)
    .map(|(id, name)| Mount { id, local: LOCAL.contains(&name).then_some(id), until })
    .collect();
  if let Some(mount) = known.iter().find(|mount| mount.id == id) {
    return mount.local;
  }
  known.push(Mount { id, local: None, until });
  None
}

/// The mount of what is open, as /proc numbers it. While it is open no other mount gets the number.
fn number(fd: i32) -> Option<u64> {
  let mut found = [0; STATX_BYTES as usize];
  if !statx(fd, STATX_MNT_ID, &mut found) {
    return None;
  }
  Some(u64::from_ne_bytes(found[MNT_ID..MNT_ID + 8].try_into().expect("8")))
}

/// The same on every architecture; libc names it on few.
const SYS_STATMOUNT: libc::c_long = 457;
const STATMOUNT_FS_TYPE: u64 = 0x20;
/// Where struct statmount has its mask, the place of the type, and the texts that places are in.
const TOLD: usize = 8;
const TYPE: usize = 36;
const TEXTS: usize = 512;

/// The first version of struct mnt_id_req.
#[repr(C)]
struct MountRequest {
  size: u32,
  spare: u32,
  id: u64,
  param: u64,
}

/// The type of the file system of a mount, by statmount(2): it is in the kernel's memory, no
/// file system is asked. None: the kernel has no such call, or does not tell.
fn type_told(id: u64) -> Option<String> {
  let size = std::mem::size_of::<MountRequest>() as u32;
  let request = MountRequest { size, spare: 0, id, param: STATMOUNT_FS_TYPE };
  let mut told = [0u8; TEXTS + 256];
  let (into, len, flags) = (told.as_mut_ptr(), told.len(), 0);
  // SAFETY: I1: `told` is as long as said, both are used before the call returns.
  if unsafe { libc::syscall(SYS_STATMOUNT, &request, into, len, flags) } != 0 {
    return None;
  }
  let mask = u64::from_ne_bytes(told[TOLD..TOLD + 8].try_into().expect("8"));
  let place = u32::from_ne_bytes(told[TYPE..TYPE + 4].try_into().expect("4")) as usize;
  let text = told.get(TEXTS.checked_add(place)?..)?;
  let name = std::ffi::CStr::from_bytes_until_nul(text).ok()?;
  (mask & STATMOUNT_FS_TYPE != 0).then(|| name.to_string_lossy().into_owned())
}

fn mountinfo() -> Option<String> {
  let mounts = std::fs::read("/proc/thread-self/mountinfo").ok()?;
  Some(String::from_utf8_lossy(&mounts).into_owned())
}

/// The type of the file system of a mount. None: it is not below this process's root.
fn type_of(number: u64) -> Option<String> {
  let text = mountinfo()?;
  let found = mounts_in(&text).find(|(each, _)| *each == number);
  found.map(|(_, name)| name.into())
}

/// The mounts and their types. proc_pid_mountinfo(5): `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 -
/// ext3 /dev/root rw`, blanks in names are escaped.
fn mounts_in(text: &str) -> impl Iterator<Item = (u64, &str)> {
  text.lines().filter_map(|line| {
    let number = line.split(' ').next()?.parse().ok()?;
    Some((number, line.split_once(" - ")?.1.split(' ').next()?))
  })
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
    let all = [(22, "proc"), (27, "ext4"), (270, "fuse.sshfs"), (28, "nfs4")];
    assert_eq!(mounts_in(MOUNTS_TEXT).collect::<Vec<_>>(), all);
  }

  fn opened(path: &str) -> (std::fs::File, i32) {
    let file = std::fs::File::open(path).unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
    (file, fd)
  }

  #[test]
  fn a_mount_is_asked_about_once_and_one_makes_room() {
    let (_file, fd) = opened("/proc/self/stat");
    let known =
      || MOUNTS.with_borrow(|mounts| mounts.known.iter().map(|m| m.id).collect::<Vec<_>>());
    // No mount has these: what is open tells.
    for id in 1..=MOST as u64 {
      assert_eq!(number_of_local(fd, id, true), None, "proc is not on the list");
    }
    assert!(!all_local());
    MOUNTS.with_borrow_mut(|mounts| {
      assert!(mounts.known.iter().all(|mount| mount.until.is_none()));
      mounts.known[1].local = Some(7);
    });
    assert_eq!(number_of_local(fd, 2, true), Some(7), "not asked again");
    assert_eq!(number_of_local(fd, 100, true), None);
    let others = (2..=MOST as u64).chain([100]);
    assert_eq!(known(), others.collect::<Vec<_>>(), "one is gone");
  }

  #[test]
  fn a_number_that_another_mount_may_get_is_believed_briefly() {
    let (_file, fd) = opened("/proc/self/stat");
    let id = number(fd).unwrap();
    assert_eq!(number_of_local(fd, id, false), None, "proc is not on the list");
    let all = mounts_in(&mountinfo().unwrap()).count();
    let none = u64::MAX;
    MOUNTS.with_borrow_mut(|mounts| {
      assert_eq!(mounts.known.len(), all, "from one read");
      for mount in &mut mounts.known {
        assert!(mount.until.is_some());
        mount.local = Some(7); // What it was until now.
      }
    });
    assert_eq!(number_of_local(fd, id, false), Some(7), "not asked again");
    MOUNTS.with_borrow_mut(|mounts| {
      for mount in &mut mounts.known {
        mount.until = Some(Instant::now() - BRIEFLY);
      }
    });
    assert_eq!(number_of_local(fd, id, false), None, "asked again");
    assert_eq!(number_of_local(fd, none, false), None, "not in the table");
    MOUNTS.with_borrow(|mounts| {
      assert_eq!(mounts.known.len(), all + 1, "it is not asked about each time");
    });
  }

  #[test]
  fn statmount_and_proc_agree() {
    for path in ["/", "/proc", "/dev/shm"] {
      let (_file, fd) = opened(path);
      let mut found = [0; STATX_BYTES as usize];
      assert!(statx(fd, STATX_MNT_ID_UNIQUE, &mut found));
      let id = u64::from_ne_bytes(found[MNT_ID..MNT_ID + 8].try_into().expect("8"));
      let told = type_told(id);
      if told.is_none() {
        eprintln!("skipped: {path}: statmount(2) does not tell here (Linux 6.8 has it)");
        continue;
      }
      // Where /proc says more (`fuse.sshfs`), that is the daemon's word.
      let listed = number(fd).and_then(type_of);
      let listed = listed.map(|name| name.split('.').next().expect("one").to_string());
      assert_eq!(told, listed, "{path}");
      assert!(path != "/proc" || told.as_deref() == Some("proc"));
    }
  }
}
