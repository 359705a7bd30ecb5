//! What is known of files whose names are in the kernel's caches: a look instead of operations.
//! Pair: __test__/fsstat.spec.ts
mod support;

use ringcore::border::Border;
use ringcore::cqe::*;
use ringcore::fs::stat::{Place, Told};
use ringcore::fs::{self, File};
use ringcore::kernel::{Kernel, Options};
use ringcore::mock::{Faults, Mock};
use ringcore::op;
use ringcore::ring::Ring;
use ringcore::setup::Allow;
use ringcore::sqe::STATX_BYTES;
use ringcore::statx::{decode, Statx};
use ringcore::{spawn, yield_now};
use std::cell::Cell;
use std::ffi::CString;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{symlink, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;
use support::{alone, descriptors, folder, many, runtime, text, Folder};

const BOUND: Duration = Duration::from_secs(5);
const ROOM: usize = STATX_BYTES as usize;
const MASK: u32 = libc::STATX_BASIC_STATS | libc::STATX_BTIME;

/// Whether a folder is on a file system whose answers are this machine's: statfs(2).
fn is_local(path: &Path) -> bool {
  let name = CString::new(path.as_os_str().as_bytes()).unwrap();
  // SAFETY: I1: plain bytes, filled before the call returns.
  let mut found: libc::statfs = unsafe { std::mem::zeroed() };
  // SAFETY: I1: as above.
  assert_eq!(unsafe { libc::statfs(name.as_ptr(), &mut found) }, 0);
  [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x0102_1994].contains(&(found.f_type as u64))
}

fn ring_with(options: &Options) -> Ring {
  let kernel = Kernel::open(options).unwrap();
  let mut ring = Ring::new(Box::new(kernel), usize::MAX).unwrap();
  ring.allow = options.allow;
  ring
}

fn look(ring: &mut Ring, path: &Path, link: bool) -> (Told, Statx) {
  let path = CString::new(path.as_os_str().as_bytes()).unwrap();
  let mut found = [0xee; ROOM];
  let told = ring.stat(if link { Place::Link(&path) } else { Place::Path(&path) }, &mut found);
  (told, decode(&found))
}

/// One of each kind of name.
fn tree() -> Folder {
  let root = folder();
  let at = |name: &str| root.0.join(name);
  std::fs::write(at("file"), "content").unwrap();
  std::fs::create_dir(at("folder")).unwrap();
  let links = [("link", "file"), ("way", "folder"), ("dangling", "gone"), ("loop", "loop")];
  for (name, to) in links {
    symlink(to, at(name)).unwrap();
  }
  symlink("/proc/self/fd/0", at("magic")).unwrap();
  assert!(Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());
  root
}

const NAMES: [&str; 17] = [
  "file",
  "folder",
  "folder/",
  "folder/..",
  "link",
  "way",
  "way/",
  "dangling",
  "loop",
  "loop/",
  "fifo",
  "none",
  "none/",
  "file/",
  "link/x",
  "dangling/x",
  "magic",
];
/// These are no work for a look, wherever they are.
const RING_ONLY: [&str; 5] = ["loop", "loop/", "file/", "link/x", "magic"];

#[test]
fn a_look_tells_what_the_ring_tells() {
  let _alone = alone();
  let (rt, root) = (runtime(), tree());
  let mut ring = ring_with(&Options::default());
  let others = ["/", "/dev/null", "/dev", "/proc/self/status", "/proc/self", "/proc/self/fd/0"];
  let inside = NAMES.map(|name| format!("{}/{name}", root.0.display()));
  for path in inside.iter().map(String::as_str).chain(others) {
    for link in [false, true] {
      let flags = if link { libc::AT_SYMLINK_NOFOLLOW } else { 0 };
      let asked = PathBuf::from(path);
      let expected = rt.run(async move { op::statx(libc::AT_FDCWD, asked, flags, MASK).await });
      let (told, found) = look(&mut ring, Path::new(path), link);
      match told {
        Told::Known => assert_eq!(Ok(found), expected, "{path}"),
        Told::Absent => assert!(text(expected.clone()).starts_with("ENOENT"), "{path}"),
        Told::Unknown => {}
      }
      let name = path.strip_prefix(root.0.to_str().unwrap()).map_or("magic", |name| &name[1..]);
      if is_local(&root.0) && !RING_ONLY.contains(&name) {
        assert_ne!(told, Told::Unknown, "{path}");
      }
      // Whose answers these are nobody knows.
      assert!(told == Told::Unknown || !path.starts_with("/proc/"), "{path}");
      let asked = PathBuf::from(path);
      let seen = rt.run(async move {
        if link {
          fs::symlink_metadata(asked).await
        } else {
          fs::metadata(asked).await
        }
      });
      assert_eq!(seen, expected, "{path}");
    }
  }
}

#[test]
fn a_look_sees_a_change_at_once() {
  let _alone = alone();
  let (rt, root) = (runtime(), folder());
  let (one, two) = (root.0.join("one"), root.0.join("two"));
  rt.run(async move {
    let size = |path: &Path| {
      let path = path.to_path_buf();
      async move { fs::metadata(path).await.map_or(-1, |found| found.size as i64) }
    };
    assert_eq!(size(&one).await, -1);
    for length in 1..20 {
      std::fs::write(&one, vec![b'x'; length]).unwrap();
      assert_eq!(size(&one).await, length as i64);
      std::fs::write(&one, vec![b'x'; length + 1]).unwrap();
      assert_eq!(size(&one).await, length as i64 + 1);
      std::fs::rename(&one, &two).unwrap();
      assert_eq!((size(&one).await, size(&two).await), (-1, length as i64 + 1));
      std::fs::remove_file(&two).unwrap();
      assert_eq!(size(&two).await, -1);
    }
    std::fs::write(&one, "").unwrap();
    for mode in [0o600, 0o644] {
      std::fs::set_permissions(&one, PermissionsExt::from_mode(mode)).unwrap();
      assert_eq!(u32::from(fs::metadata(&one).await.unwrap().mode) & 0o777, mode);
    }
  });
}

#[test]
fn a_look_leaves_nothing_open() {
  let _alone = alone();
  let root = tree();
  let mut ring = ring_with(&Options::default());
  let before = descriptors();
  for round in 0..many(10_000) / NAMES.len() {
    for name in NAMES {
      look(&mut ring, &root.0.join(name), round % 2 == 0);
    }
    look(&mut ring, Path::new("/proc/self/status"), false);
  }
  assert_eq!(descriptors(), before);
  assert!(ring.stats.looks > 1000 || !is_local(&root.0));
}

#[test]
fn looks_that_never_wait_let_others_run() {
  let _alone = alone();
  let (rt, directory) = (runtime(), folder());
  let path = directory.0.join("file");
  std::fs::write(&path, "x").unwrap();
  rt.run(async move {
    let turns = Rc::new(Cell::new(0));
    let other = turns.clone();
    spawn(async move {
      while other.get() < 20 {
        other.set(other.get() + 1);
        yield_now().await;
      }
    });
    while turns.get() < 20 {
      assert!(fs::exists(&path).await.unwrap());
    }
  });
}

#[test]
fn a_ring_that_may_not_ask_or_has_ended_does_not_look() {
  let _alone = alone();
  let directory = folder();
  let path = directory.0.join("file");
  std::fs::write(&path, "x").unwrap();
  let mut ring = ring_with(&Options::default());
  let (told, found) = look(&mut ring, &path, false);
  assert!(!is_local(&path) || (told, found.size) == (Told::Known, 1));
  assert!(ring.close(BOUND, &mut Vec::new()));
  assert_eq!(look(&mut ring, &path, false).0, Told::Unknown);
  let allow = Some(Allow::of(&["nop", "openat", "close"]).unwrap());
  let mut ring = ring_with(&Options { allow, ..Options::default() });
  assert_eq!(look(&mut ring, &path, false).0, Told::Unknown);
  assert_eq!(ring.stats.looks, 0);
  assert!(ring.close(BOUND, &mut Vec::new()));
}

#[test]
fn an_open_file_is_told_of_in_the_same_way() {
  let _alone = alone();
  let (rt, directory) = (runtime(), folder());
  let path = directory.0.join("file");
  std::fs::write(&path, "content").unwrap();
  let mut ring = ring_with(&Options::default());
  let open = std::fs::File::open(&path).unwrap();
  let mut found = [0; ROOM];
  let told = ring.stat(Place::Open(open.as_raw_fd()), &mut found);
  assert_eq!(told, if is_local(&path) { Told::Known } else { Told::Unknown });
  let fd = open.as_raw_fd();
  let expected = rt.run(async move { op::statx(fd, "", libc::AT_EMPTY_PATH, MASK).await }).unwrap();
  assert!(told == Told::Unknown || decode(&found) == expected);
  for none in [-1, libc::AT_FDCWD, 987_654] {
    assert_eq!(ring.stat(Place::Open(none), &mut found), Told::Unknown);
  }
  let (pipe, _writer) = std::io::pipe().unwrap();
  assert_eq!(ring.stat(Place::Open(pipe.as_raw_fd()), &mut found), Told::Unknown);
  rt.run(async move {
    let file = File::open(&path).await.unwrap();
    assert_eq!(file.stat().await.unwrap(), expected);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(file.stat().await.unwrap().nlink, 0);
    file.close().await.unwrap();
    assert!(text(file.stat().await).starts_with("EBADF"));
  });
}

#[test]
fn on_a_kernel_that_makes_faults_every_question_ends_once() {
  let _alone = alone();
  let (mut known, mut absent) = (0, 0);
  for seed in 0..many(100) as u32 {
    let (mock, _world) = Mock::new(seed, 8, 16, Faults::default());
    let mut ring = Ring::new(Box::new(mock), usize::MAX).unwrap();
    for _ in 0..40 {
      match look(&mut ring, Path::new("some/path"), false) {
        (Told::Known, found) => {
          assert_eq!(found, Statx::default());
          known += 1;
        }
        (Told::Absent, _) => absent += 1,
        (Told::Unknown, _) => {}
      }
    }
    assert!(ring.close(BOUND, &mut Vec::new()));
  }
  assert!(known > 100 && absent > 100, "{known} {absent}");
}

fn look_through(border: &mut Border, at: u32, len: u32) -> i32 {
  border.set(H_STAT, at);
  border.set(H_STAT_PATH, len);
  border.set(H_STAT_KIND, STAT_FILE);
  border.stat();
  border.get(H_STAT) as i32
}

// PAIR: only-rust -- TypeScript writes these words itself
#[test]
fn words_that_are_no_path_lead_to_no_file() {
  let _alone = alone();
  let mut border = Border::new(ring_with(&Options::default()), -1).unwrap();
  let root = folder();
  let path = CString::new(root.0.as_os_str().as_bytes()).unwrap();
  let bytes = path.as_bytes_with_nul();
  for (index, word) in bytes.chunks(4).enumerate() {
    let mut four = [0; 4];
    four[..word.len()].copy_from_slice(word);
    border.set_word(BORDER_INPUTS / 4 + index as u32, u32::from_ne_bytes(four));
  }
  // The name of a folder, but its end lies behind the inputs.
  border.set_word((BORDER_INPUTS + INPUTS_BYTES) / 4 - 1, u32::from_ne_bytes(*b"...."));
  let len = bytes.len() as u32;
  for (at, len) in [
    (0, 2),
    (0, len - 1),
    (INPUTS_BYTES - 1, 2),
    (u32::MAX, 2),
    (2, u32::MAX),
    (0x8000_0000, 0x8000_0000),
    (u32::MAX, 0), // A descriptor, which is none.
    (libc::AT_FDCWD as u32, 0),
  ] {
    assert_eq!(look_through(&mut border, at, len), -libc::EAGAIN, "{at} {len}");
  }
  let seen = if is_local(&root.0) { 0 } else { -libc::EAGAIN };
  assert_eq!(look_through(&mut border, 0, len), seen);
  let open = std::fs::File::open(&root.0).unwrap();
  assert_eq!(look_through(&mut border, open.as_raw_fd() as u32, 0), seen);
  let found: Vec<u32> = (0..ROOM as u32 / 4).map(|i| border.word(BORDER_CACHED / 4 + i)).collect();
  let found: Vec<u8> = found.into_iter().flat_map(u32::to_ne_bytes).collect();
  assert!(seen != 0 || decode(&found).nlink == 2);
  assert!(border.close(BOUND));
  assert_eq!(look_through(&mut border, 0, len), -libc::EAGAIN);
}

// PAIR: only-rust -- a thread has ids of its own by a raw system call only
#[test]
fn whether_there_is_a_name_is_no_question_where_the_real_ids_are_others() {
  let _alone = alone();
  let directory = folder();
  let path = CString::new(directory.0.as_os_str().as_bytes()).unwrap();
  let asked = move || {
    let mut ring = ring_with(&Options::default());
    let told = ring.stat(Place::Name(&path), &mut [0; ROOM]);
    assert!(ring.close(BOUND, &mut Vec::new()));
    told
  };
  let local = if is_local(&directory.0) { Told::Known } else { Told::Unknown };
  assert_eq!(asked(), local);
  // SAFETY: I1: no memory is named.
  if unsafe { libc::getuid() } != 0 {
    return; // Who may not change them cannot have others.
  }
  let (uid, gid) = (libc::SYS_setresuid, libc::SYS_setresgid);
  for (call, real, own) in [(uid, 65_534, 0), (uid, 65_534, 65_533), (gid, 65_534, 0)] {
    let asked = asked.clone();
    let told = std::thread::spawn(move || {
      // SAFETY: I1: no memory is named; the ids are this thread's alone.
      assert_eq!(unsafe { libc::syscall(call, real, own, 0) }, 0);
      asked()
    });
    assert_eq!(told.join().unwrap(), Told::Unknown);
  }
  // access(2) would take this thread's effective capabilities for the permitted ones.
  let told = std::thread::spawn(move || {
    let (head, mut sets) = ([0x2008_0522_u32, 0], [0_u32; 6]);
    // SAFETY: I1: read or written before the calls return; they are this thread's alone.
    unsafe {
      assert_eq!(libc::syscall(libc::SYS_capget, head.as_ptr(), sets.as_mut_ptr()), 0);
      sets[0] &= !6;
      assert_eq!(libc::syscall(libc::SYS_capset, head.as_ptr(), sets.as_ptr()), 0);
    }
    (asked(), sets[1] & 6)
  });
  let (told, permitted) = told.join().unwrap();
  assert_eq!(told, if permitted == 0 { local } else { Told::Unknown });
}
