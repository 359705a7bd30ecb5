//! Small files that are in the kernel's caches: a look instead of operations of the ring.
//! Pair: __test__/fscached.spec.ts
mod support;

use ringcore::border::Border;
use ringcore::cqe::*;
use ringcore::fs::cached::Cached;
use ringcore::fs::larger::{Filled, FILL_BYTES};
use ringcore::kernel::{Kernel, Options};
use ringcore::mock::{Faults, Mock};
use ringcore::ring::Ring;
use ringcore::setup::Allow;
use ringcore::world::CACHED_PATTERN;
use ringcore::{fs, spawn, yield_now};
use std::cell::{Cell, RefCell};
use std::ffi::CString;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;
use support::{alone, descriptors, folder, many, runtime, start, text, turns};

const BOUND: Duration = Duration::from_secs(5);
const BYTES: usize = CACHED_BYTES as usize;

/// Bytes that say where they belong.
fn pattern(length: usize) -> Vec<u8> {
  (0..length).map(|i| (i * 31 + (i >> 8)) as u8).collect()
}

fn ring_with(options: &Options) -> Ring {
  let kernel = Kernel::open(options).unwrap();
  let mut ring = Ring::new(Box::new(kernel), usize::MAX).unwrap();
  ring.allow = options.allow;
  ring
}

fn look(ring: &mut Ring, path: &Path, into: &mut [u8]) -> Cached {
  ring.look(&CString::new(path.as_os_str().as_bytes()).unwrap(), into)
}

const SIZES: [usize; 18] = [
  0,
  1,
  511,
  512,
  4095,
  4096,
  4097,
  BYTES - 1,
  BYTES,
  BYTES + 1,
  20_000,
  65_535,
  65_536,
  65_537,
  70_000,
  FILL_BYTES - 1,
  FILL_BYTES,
  FILL_BYTES + 1,
];

/// What a look has found larger, read behind it: whole, or with the descriptor that stays open.
fn fill(ring: &mut Ring, fd: i32, size: usize) -> (Vec<u8>, bool) {
  let mut bytes = Vec::with_capacity(size);
  let Filled { count, ended } = ring.fill_larger(fd, &mut bytes.spare_capacity_mut()[..size]);
  // SAFETY: I1: so many were written.
  unsafe { bytes.set_len(count) };
  (bytes, ended)
}

/// What is left to read of what a look has opened; it is closed.
fn rest(fd: i32) -> Vec<u8> {
  // SAFETY: I3: the look has given it away.
  let mut file = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(fd) });
  let mut bytes = Vec::new();
  file.read_to_end(&mut bytes).unwrap();
  bytes
}

#[test]
fn files_of_every_size_are_whole() {
  let _alone = alone();
  let (rt, directory) = (runtime(), folder());
  let mut ring = ring_with(&Options::default());
  for size in SIZES {
    let (path, bytes) = (directory.0.join(size.to_string()), pattern(size));
    std::fs::write(&path, &bytes).unwrap();
    let mut into = vec![0xee; BYTES];
    match look(&mut ring, &path, &mut into) {
      Cached::Whole(found) if size < BYTES => {
        assert_eq!(found, size);
        assert!(into[..size] == bytes && into[size..].iter().all(|byte| *byte == 0xee), "{size}");
      }
      Cached::Larger(fd, found) if size >= BYTES => {
        assert_eq!(found, size);
        let (found, ended) = fill(&mut ring, fd, size);
        assert_eq!(ended, size <= FILL_BYTES, "{size}");
        assert!(found == bytes[..size.min(FILL_BYTES)], "{size}");
        assert!(ended || rest(fd) == bytes[FILL_BYTES..], "{size}");
      }
      other => panic!("{size}: {other:?}"),
    }
    rt.run(async move { assert!(fs::read(path).await.unwrap() == bytes, "{size}") });
  }
}

#[test]
fn what_is_no_small_file_is_read_all_the_same() {
  let _alone = alone();
  let (rt, directory) = (runtime(), folder());
  let mut ring = ring_with(&Options::default());
  for path in ["/proc/self/status", "/proc/self/maps"] {
    assert!(std::fs::metadata(path).is_ok()); // The name is in the cache now.
    assert_eq!(look(&mut ring, Path::new(path), &mut vec![0; BYTES]), Cached::Unknown);
    let text = rt.run(fs::read_to_string(path)).unwrap();
    assert!(text.ends_with('\n') && text.len() > 100, "{path}");
  }
  assert!(rt.run(fs::read("/proc/filesystems")).unwrap().len() > 100, "never in the cache");
  assert_eq!(rt.run(fs::read("/dev/null")), Ok(Vec::new()));
  let root = directory.0.clone();
  assert_eq!(text(rt.run(fs::read(root))), "EISDIR: is a directory, read");
  let fifo = directory.0.join("fifo");
  assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
  let slowly = "for i in 1 2 3; do echo $i; sleep 0.01; done > \"$0\"";
  let mut writer = Command::new("sh").args(["-c", slowly]).arg(&fifo).spawn().unwrap();
  assert_eq!(rt.run(fs::read(fifo)), Ok(b"1\n2\n3\n".to_vec()));
  assert!(writer.wait().unwrap().success());
}

#[test]
fn a_larger_file_that_changes_behind_the_look_is_what_it_is_by_then() {
  let _alone = alone();
  let directory = folder();
  let (path, other) = (directory.0.join("file"), directory.0.join("file2"));
  let mut ring = ring_with(&Options::default());
  let before = descriptors();
  let whole = pattern(100_000);
  let cut = |length| {
    std::fs::File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
  };
  let more = |bytes: &[u8]| {
    let file = std::fs::File::options().append(true).open(&path);
    std::io::Write::write_all(&mut file.unwrap(), bytes).unwrap();
  };
  type Case<'a> = (&'a str, &'a dyn Fn(), Vec<u8>);
  let cases: [Case; 7] = [
    ("shrunk", &|| cut(65_536), whole[..65_536].to_vec()),
    ("cut to a small one", &|| cut(5), whole[..5].to_vec()),
    ("empty", &|| cut(0), Vec::new()),
    ("grown", &|| more(b"more"), [&whole[..], b"more"].concat()),
    ("grown by much", &|| more(&whole), [&whole[..], &whole].concat()),
    ("replaced", &|| std::fs::rename(&other, &path).unwrap(), whole.clone()),
    ("gone", &|| std::fs::remove_file(&path).unwrap(), whole.clone()),
  ];
  for (name, change, expected) in cases {
    std::fs::write(&path, &whole).unwrap();
    std::fs::write(&other, "another one").unwrap();
    let Cached::Larger(fd, size) = look(&mut ring, &path, &mut vec![0; BYTES]) else {
      panic!("{name}");
    };
    change();
    let (mut found, ended) = fill(&mut ring, fd, size);
    assert_eq!(ended, !name.starts_with("grown"), "{name}");
    if !ended {
      found.extend(rest(fd));
    }
    assert!(found == expected, "{name}: {}", found.len());
    assert_eq!(descriptors(), before, "{name}");
  }
}

#[test]
fn what_is_not_cached_of_a_larger_file_is_read_by_the_ring() {
  let _alone = alone();
  let (rt, directory) = (runtime(), folder());
  let path = directory.0.join("file");
  let mut ring = ring_with(&Options::default());
  let before = descriptors();
  let whole = pattern(3 * FILL_BYTES);
  for size in [100_000, FILL_BYTES, whole.len()] {
    for from in [0, 64 << 10, size - 4096] {
      let expected = whole[..size].to_vec();
      std::fs::write(&path, &expected).unwrap();
      let forget = || {
        let file = std::fs::File::open(&path).unwrap();
        file.sync_all().unwrap();
        let advice = libc::POSIX_FADV_DONTNEED;
        // SAFETY: I1: no memory is named.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), from as i64, 0, advice) };
      };
      forget();
      let Cached::Larger(fd, found) = look(&mut ring, &path, &mut vec![0; BYTES]) else {
        panic!("{size}");
      };
      let (mut bytes, ended) = fill(&mut ring, fd, found);
      if !ended {
        bytes.extend(rest(fd));
      }
      assert!(bytes == expected, "{size} from {from}");
      forget();
      let path = path.clone();
      rt.run(async move { assert!(fs::read(path).await.unwrap() == expected) });
      rt.run(async move {
        while descriptors() > before {
          turns(1).await;
        }
      });
    }
  }
}

#[test]
fn a_larger_file_that_finds_no_memory_is_closed_by_the_next_look() {
  let _alone = alone();
  let directory = folder();
  let path = directory.0.join("file");
  std::fs::write(&path, pattern(100_000)).unwrap();
  let mut border = border();
  let name = CString::new(path.as_os_str().as_bytes()).unwrap();
  write_input(&mut border, name.as_bytes_with_nul());
  let len = name.as_bytes_with_nul().len() as u32;
  let before = descriptors();
  let mut last = -1;
  for _ in 0..3 {
    let (size, fd) = look_through(&mut border, 0, len);
    assert!(size == 100_000 && fd >= 0);
    assert_eq!(descriptors(), before + 1);
    last = fd;
  }
  let open = || std::fs::read_link(format!("/proc/self/fd/{last}")).is_ok();
  assert!(open());
  assert!(border.close(BOUND));
  border.abandon_completions();
  assert!(!open());
}

#[test]
fn a_look_fails_with_the_errors_of_open() {
  let _alone = alone();
  let (rt, directory) = (runtime(), folder());
  let at = |name: &str| directory.0.join(name);
  std::fs::write(at("file"), "x").unwrap();
  std::os::unix::fs::symlink("loop", at("loop")).unwrap();
  std::os::unix::fs::symlink("gone", at("broken")).unwrap();
  let codes = [("none", "ENOENT"), ("broken", "ENOENT"), ("file/x", "ENOTDIR"), ("loop", "ELOOP")];
  for (name, code) in codes {
    for _ in 0..2 {
      let message = text(rt.run(fs::read(at(name))));
      let end = format!(", open '{}'", at(name).display());
      assert!(message.starts_with(code) && message.ends_with(&end), "{message}");
    }
  }
  assert!(text(rt.run(fs::read(at(&"x".repeat(256))))).starts_with("ENAMETOOLONG"));
  let mut ring = ring_with(&Options::default());
  assert!(std::fs::metadata(at("none")).is_err());
  assert_eq!(look(&mut ring, &at("none"), &mut [0; 8]), Cached::Absent);
  assert_eq!(look(&mut ring, &at("loop"), &mut [0; 8]), Cached::Unknown);
}

#[test]
fn reads_that_never_wait_let_others_run() {
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
      assert_eq!(fs::read(&path).await.unwrap(), b"x");
    }
  });
}

#[test]
fn a_file_that_was_opened_is_closed_whatever_ends_its_reading() {
  let _alone = alone();
  let outside = descriptors();
  let (rt, directory) = (runtime(), folder());
  let fifo = directory.0.join("fifo");
  assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
  let writer = std::fs::File::options().read(true).write(true).open(&fifo).unwrap();
  let before = descriptors();
  let kept = Rc::new(RefCell::new(Vec::new()));
  let keep = kept.clone();
  rt.run(async move {
    for dropped in [true, false] {
      let reads = [(); 5].map(|()| Box::pin(fs::read(fifo.clone())));
      let mut waiting = Vec::new();
      for read in reads {
        waiting.push(start(read).await);
      }
      assert_eq!(descriptors(), before + 5);
      if dropped {
        drop(waiting);
        while descriptors() > before {
          turns(1).await;
        }
      } else {
        keep.borrow_mut().extend(waiting); // The ring ends before they do.
      }
    }
  });
  drop(rt);
  drop(kept);
  drop(writer);
  assert_eq!(descriptors(), outside);
}

#[test]
fn a_ring_that_may_not_read_or_has_ended_does_not_look() {
  let _alone = alone();
  let directory = folder();
  let path = directory.0.join("file");
  std::fs::write(&path, "x").unwrap();
  let mut ring = ring_with(&Options::default());
  assert_eq!(look(&mut ring, &path, &mut [0; 8]), Cached::Whole(1));
  assert!(ring.close(BOUND, &mut Vec::new()));
  assert_eq!(look(&mut ring, &path, &mut [0; 8]), Cached::Unknown);
  let allow = Some(Allow::of(&["nop", "openat", "close"]).unwrap());
  let mut ring = ring_with(&Options { allow, ..Options::default() });
  assert_eq!(look(&mut ring, &path, &mut [0; 8]), Cached::Unknown);
  assert!(ring.close(BOUND, &mut Vec::new()));
}

#[test]
fn on_a_kernel_that_makes_faults_every_file_ends_once_and_nothing_stays_open() {
  let _alone = alone();
  let mut whole = 0;
  for seed in 0..many(100) as u32 {
    let (mock, world) = Mock::new(seed, 8, 16, Faults::default());
    let mut ring = Ring::new(Box::new(mock), usize::MAX).unwrap();
    for _ in 0..40 {
      let mut into = vec![0; BYTES];
      match look(&mut ring, Path::new("some/path"), &mut into) {
        Cached::Whole(bytes) => {
          assert!(into[..bytes].iter().all(|byte| *byte == CACHED_PATTERN));
          assert!(into[bytes..].iter().all(|byte| *byte == 0));
          whole += 1;
        }
        Cached::Larger(fd, size) => {
          let (bytes, ended) = fill(&mut ring, fd, size);
          assert!(bytes.iter().all(|byte| *byte == CACHED_PATTERN));
          assert_eq!(bytes.len(), if ended { size } else { 0 });
          if !ended {
            ring.close_fd(fd);
          }
        }
        Cached::Open(fd) => ring.close_fd(fd),
        Cached::Absent | Cached::Unknown => {}
      }
    }
    assert!(ring.close(BOUND, &mut Vec::new()));
    let world = world.borrow();
    assert_eq!((world.bad_closes, world.open.len()), (0, 0), "seed {seed}");
  }
  assert!(whole > 100, "{whole}");
}

fn border() -> Border {
  let ring = ring_with(&Options::default());
  Border::new(ring, -1).unwrap()
}

fn write_input(border: &mut Border, bytes: &[u8]) {
  for (index, word) in bytes.chunks(4).enumerate() {
    let mut four = [0; 4];
    four[..word.len()].copy_from_slice(word);
    border.set_word(BORDER_INPUTS / 4 + index as u32, u32::from_ne_bytes(four));
  }
}

fn look_through(border: &mut Border, from: u32, len: u32) -> (i32, i32) {
  border.set(H_CACHED, from);
  border.set(H_CACHED_PATH, len);
  border.look();
  (border.get(H_CACHED) as i32, border.get(H_CACHED_FD) as i32 - 1)
}

// PAIR: only-rust -- TypeScript writes these words itself
#[test]
fn words_that_are_no_path_lead_to_no_file() {
  let _alone = alone();
  let mut border = border();
  write_input(&mut border, b"/dev/null\0/x\0");
  assert!(std::fs::metadata("/x").is_err()); // Its absence is in the cache now.
  let nothing = (-libc::EAGAIN, -1);
  for (from, len) in [
    (0, 0),
    (0, 9),
    (0, 13),
    (INPUTS_BYTES - 1, 2),
    (u32::MAX, 2),
    (2, u32::MAX),
    (0x8000_0000, 0x8000_0000),
  ] {
    assert_eq!(look_through(&mut border, from, len), nothing, "{from} {len}");
  }
  let (res, fd) = look_through(&mut border, 0, 10);
  assert!(res == -libc::EAGAIN && fd >= 0, "a device stays open");
  assert_eq!(rest(fd), []);
  assert_eq!(look_through(&mut border, 10, 3), (-libc::ENOENT, -1));
  border.set(H_CACHED_FD, 0);
  assert!(border.close(BOUND));
  assert_eq!(look_through(&mut border, 0, 10), nothing);
}

// PAIR: only-rust -- in TypeScript only the end of a thread finds it untaken
#[test]
fn what_a_look_has_opened_and_nobody_took_is_closed_once() {
  let _alone = alone();
  let before = descriptors();
  for kept in [false, true] {
    let mut border = border();
    write_input(&mut border, b"/dev/null\0");
    let (_, fd) = look_through(&mut border, 0, 10);
    assert_eq!(std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap(), Path::new("/dev/null"));
    if kept {
      border.set_word(BORDER_KEPT / 4 + 7, fd as u32 + 1); // TypeScript was about to take it.
    }
    assert!(border.close(BOUND));
    border.abandon_completions();
    assert!(std::fs::read_link(format!("/proc/self/fd/{fd}")).is_err());
    // The number is another's by now: nobody closes it once more.
    // SAFETY: I3: the number was free just now, and this test is alone.
    let other = unsafe { OwnedFd::from_raw_fd(libc::fcntl(1, libc::F_DUPFD_CLOEXEC, fd)) };
    assert_eq!(other.as_raw_fd(), fd);
    border.abandon_completions();
    assert!(std::fs::read_link(format!("/proc/self/fd/{fd}")).is_ok());
    drop(other);
    drop(border);
    assert_eq!(descriptors(), before);
  }
}
