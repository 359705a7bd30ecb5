//! The lane: what runs on threads of its own ends like any operation; copyFile.
//! Pair: __test__/lane.spec.ts

mod support;

use ringcore::mock::{Faults, Mock};
use ringcore::op;
use ringcore::sqe::{COPYFILE_EXCL, COPYFILE_FICLONE, COPYFILE_FICLONE_FORCE, COPYFILE_OWNER};
use ringcore::{all, Allow, Error, Options, Runtime};
use std::ffi::CString;
use std::fs;
use std::os::unix::fs::{symlink, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use support::{
  alone, descriptors, folder, many, polled, runtime, runtime_with, settle, small, start, text,
  threads, until, Folder, POLL,
};

impl Place {
  fn at(&self, name: &str) -> PathBuf {
    self.0 .0.join(name)
  }

  fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
    fs::write(self.at(name), bytes).unwrap();
    self.at(name)
  }

  /// A file that takes seconds to copy and none to make: its blocks are there, never written.
  fn endless(&self) -> PathBuf {
    let path = self.at("endless");
    let file = fs::File::create(&path).unwrap();
    file.set_len(6 << 30).unwrap();
    let rt = runtime();
    use std::os::fd::AsRawFd;
    rt.run(op::fallocate(file.as_raw_fd(), 0, 0, 6 << 30)).unwrap();
    path
  }
}

struct Place(Folder);

fn place() -> Place {
  Place(folder())
}

/// Bytes that tell their place.
fn pattern(len: usize) -> Vec<u8> {
  (0..len).map(|i| (i / 251 + i) as u8).collect()
}

fn copy(rt: &Runtime, from: &Path, to: &Path, flags: u32) -> Result<(), Error> {
  rt.run(op::copy_file(from, to, flags))
}

fn lanes() -> usize {
  threads("ringcore-lane").len()
}

#[test]
fn a_file_is_copied_with_its_content_and_its_permissions() {
  let _alone = alone();
  let (rt, place) = (runtime(), place());
  for (len, mode) in
    [(0, 0o600), (1, 0o644), (4096, 0o4755), (1 << 20, 0o400), ((3 << 20) + 17, 0o666)]
  {
    let bytes = pattern(len);
    let from = place.write(&format!("{len}"), &bytes);
    fs::set_permissions(&from, fs::Permissions::from_mode(mode)).unwrap();
    for flags in [0, COPYFILE_EXCL, COPYFILE_FICLONE] {
      let to = place.at(&format!("{len} {flags}"));
      copy(&rt, &from, &to, flags).unwrap();
      assert_eq!(fs::read(&to).unwrap(), bytes, "{len}");
      assert_eq!(fs::metadata(&to).unwrap().mode() & 0o7777, mode, "{len}");
    }
  }
  assert_eq!(rt.stats().completed, 15);
}

#[test]
fn a_copy_has_the_owner_of_its_source_where_that_is_asked_for() {
  let _alone = alone();
  let (rt, place) = (runtime(), place());
  let from = place.write("from", b"text");
  std::os::unix::fs::chown(&from, Some(1234), Some(2345)).expect("this test has to be root");
  fs::set_permissions(&from, fs::Permissions::from_mode(0o4751)).unwrap();
  for (flags, uid, gid) in
    [(0, 0, 0), (COPYFILE_OWNER, 1234, 2345), (COPYFILE_OWNER | COPYFILE_EXCL, 1234, 2345)]
  {
    let to = place.at(&format!("{flags}"));
    copy(&rt, &from, &to, flags).unwrap();
    let found = fs::metadata(&to).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (uid, gid, 0o4751));
  }
}

#[test]
fn what_is_there_is_written_over() {
  let _alone = alone();
  let (rt, place) = (runtime(), place());
  for (len, before) in [
    (0, 5000),
    (10, 5000),
    (5000, 10),
    (1 << 20, 1 << 20),
    ((2 << 20) + 1, 3 << 20),
    (1 << 20, (1 << 20) - 1),
  ] {
    let from = place.write("from", &pattern(len));
    let to = place.write("to", &vec![0xaa; before]);
    let found = fs::metadata(&to).unwrap().ino();
    for flags in [0, COPYFILE_FICLONE] {
      copy(&rt, &from, &to, flags).unwrap();
      assert_eq!(fs::read(&to).unwrap(), pattern(len), "{len} over {before}");
      assert_eq!(fs::metadata(&to).unwrap().ino(), found, "it is the same file");
    }
  }
  // Nothing over nothing is a change as well.
  let (from, to) = (place.write("from", b""), place.write("to", b""));
  for flags in [0, COPYFILE_FICLONE] {
    let file = fs::File::options().write(true).open(&to).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    copy(&rt, &from, &to, flags).unwrap();
    assert!(fs::metadata(&to).unwrap().mtime() > 1 << 30);
  }
  // Nobody has read the empty one.
  let then = fs::FileTimes::new().set_accessed(std::time::UNIX_EPOCH);
  fs::File::open(&from).unwrap().set_times(then).unwrap();
  copy(&rt, &from, &to, 0).unwrap();
  assert_eq!(fs::metadata(&from).unwrap().atime(), 0);
  // Through a link, whose file is meant.
  symlink("to", place.at("link")).unwrap();
  copy(&rt, &place.write("from", b"new"), &place.at("link"), 0).unwrap();
  assert_eq!(fs::read(place.at("to")).unwrap(), b"new");
  assert!(fs::symlink_metadata(place.at("link")).unwrap().is_symlink());
}

#[test]
fn a_copy_that_fails_says_why_and_leaves_nothing() {
  let _alone = alone();
  let (rt, place) = (runtime(), place());
  let (file, other) = (place.write("file", b"text"), place.write("other", b"other"));
  let directory = place.at("directory");
  fs::create_dir(&directory).unwrap();
  symlink("loop", place.at("loop")).unwrap();
  let new = place.at("new");
  for (from, to, flags, said) in [
    (&place.at("none"), &new, 0, "ENOENT: no such file or directory"),
    (&file, &place.at("none/new"), 0, "ENOENT: no such file or directory"),
    (&place.at("file/x"), &new, 0, "ENOTDIR: not a directory"),
    (&file, &directory, 0, "EISDIR: illegal operation on a directory"),
    (&file, &place.at("other/"), 0, "EISDIR: illegal operation on a directory"),
    (&directory, &new, 0, "EISDIR: illegal operation on a directory"),
    (&file, &other, COPYFILE_EXCL, "EEXIST: file already exists"),
    (&place.at("loop"), &new, 0, "ELOOP: too many symbolic links encountered"),
    (&file, &new, 16, "EINVAL: invalid argument"),
    (&file, &new, u32::MAX, "EINVAL: invalid argument"),
    (&place.at(&"x".repeat(256)), &new, 0, "ENAMETOOLONG: name too long"),
  ] {
    let (said, code) = (said, said.split(':').next().unwrap());
    let error = copy(&rt, from, to, flags).unwrap_err();
    assert_eq!(error.code(), code, "{said}");
    let paths = format!("copyfile '{}' -> '{}'", from.display(), to.display());
    assert!(error.to_string().ends_with(&paths), "{error}");
    assert!(!new.exists(), "{said}");
  }
  assert_eq!(fs::read(&other).unwrap(), b"other");
  // Where nothing can be shared: on this file system, or on none.
  match copy(&rt, &file, &new, COPYFILE_FICLONE_FORCE) {
    Ok(()) => assert_eq!(fs::read(&new).unwrap(), b"text"),
    Err(error) => assert!(matches!(error.code(), "ENOTSUP" | "EOPNOTSUPP"), "{error}"),
  }
  let nul = rt.run(op::copy_file("a\0b", &new, 0));
  assert_eq!(nul.unwrap_err().code(), "ERR_OUT_OF_RANGE");
}

#[test]
fn a_file_that_is_copied_onto_itself_stays_as_it_is() {
  let _alone = alone();
  let (rt, place) = (runtime(), place());
  let file = place.write("file", b"text");
  fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
  symlink("file", place.at("symbolic")).unwrap();
  fs::hard_link(&file, place.at("hard")).unwrap();
  for to in ["file", "symbolic", "hard"] {
    for from in ["file", "symbolic", "hard"] {
      copy(&rt, &place.at(from), &place.at(to), 0).unwrap();
      assert_eq!(fs::read(&file).unwrap(), b"text");
      assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o640);
    }
  }
}

#[test]
fn files_with_holes_of_proc_and_of_another_file_system_come_whole() {
  let _alone = alone();
  let (rt, place) = (runtime(), place());
  let to = place.at("to");
  // Longer than 4 GiB, with three islands of data; over one that is full.
  let from = place.at("holes");
  let file = fs::File::create(&from).unwrap();
  file.set_len((5 << 30) + 3).unwrap();
  use std::os::unix::fs::FileExt;
  for at in [0, 1 << 20, (4 << 30) + 5] {
    file.write_all_at(&pattern(9000), at).unwrap();
  }
  place.write("to", &[0xaa; 100_000]);
  for _ in 0..2 {
    copy(&rt, &from, &to, 0).unwrap();
    let copied = fs::File::open(&to).unwrap();
    let mut bytes = vec![0; 9000];
    for at in [0, 1 << 20, (4u64 << 30) + 5] {
      copied.read_exact_at(&mut bytes, at).unwrap();
      assert_eq!(bytes, pattern(9000), "{at}");
    }
    copied.read_exact_at(&mut bytes, 20_000).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 0));
    let found = copied.metadata().unwrap();
    assert_eq!(found.len(), (5 << 30) + 3);
    assert!(found.blocks() * 512 < 1 << 20, "the holes stay holes");
  }
  // A hole only, and one that ends within a page.
  let file = fs::File::create(place.at("hole")).unwrap();
  file.set_len(10_001).unwrap();
  copy(&rt, &place.at("hole"), &to, 0).unwrap();
  assert_eq!(fs::read(&to).unwrap(), vec![0; 10_001]);
  // They say that they have no bytes, or more than they have.
  copy(&rt, Path::new("/proc/version"), &to, 0).unwrap();
  assert_eq!(fs::read(&to).unwrap(), fs::read("/proc/version").unwrap());
  let kernel = Path::new("/sys/kernel/fscaps");
  if kernel.exists() {
    copy(&rt, kernel, &to, 0).unwrap();
    assert_eq!(fs::read(&to).unwrap(), fs::read(kernel).unwrap());
  }
  // To another file system, within it, and back.
  let name = format!("ringcore-lane-{}", std::process::id());
  let (far, further) =
    (Path::new("/dev/shm").join(&name), Path::new("/dev/shm").join(format!("{name}-2")));
  let bytes = pattern((2 << 20) + 5);
  let from = place.write("from", &bytes);
  copy(&rt, &from, &far, 0).unwrap();
  copy(&rt, &far, &further, 0).unwrap();
  copy(&rt, &further, &to, 0).unwrap();
  let found = [&far, &further, &to].map(|path| fs::read(path).unwrap() == bytes);
  [&far, &further].iter().for_each(|path| fs::remove_file(path).unwrap());
  assert_eq!(found, [true; 3]);
}

#[test]
#[allow(unsafe_code)]
fn what_is_no_regular_file_is_not_waited_for() {
  let _alone = alone();
  let (rt, place) = (runtime(), place());
  let (file, fifo) = (place.write("file", b"text"), place.at("fifo"));
  let path = CString::new(fifo.as_os_str().as_encoded_bytes()).unwrap();
  // SAFETY: I1: the path is alive for the whole call.
  assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
  let _listener = UnixListener::bind(place.at("socket")).unwrap();
  // Nothing of a pipe or of a device is copied.
  for from in [&fifo, &PathBuf::from("/dev/zero"), &PathBuf::from("/dev/null")] {
    copy(&rt, from, &place.at("to"), 0).unwrap();
    assert_eq!(fs::read(place.at("to")).unwrap(), b"");
  }
  let code = |from: &Path, to: &Path| copy(&rt, from, to, 0).err().map(|error| error.code());
  assert_eq!(code(&file, &fifo), Some("ENXIO"));
  assert_eq!(code(&file, &place.at("socket")), Some("ENXIO"));
  assert_eq!(code(&place.at("socket"), &place.at("to")), Some("ENXIO"));
  let reader = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&fifo);
  assert_eq!(code(&file, &fifo), Some("EINVAL"));
  drop(reader);
  assert!(fifo.exists() && place.at("socket").exists(), "what is no file is not removed");
}

#[test]
fn an_aborted_copy_ends_and_removes_what_it_has_written() {
  let _alone = alone();
  let (rt, place) = (runtime(), place());
  let (endless, file) = (place.endless(), place.write("file", b"text"));
  let before = descriptors();
  let targets = ["one", "two"].map(|name| place.at(name));
  let (waits, kept) = (place.at("waits"), place.write("kept", b"kept"));
  let paths = (targets.clone(), waits.clone(), kept.clone());
  rt.run(async move {
    let (targets, waits, kept) = paths;
    let running = targets.map(|to| op::copy_file(&endless, to, 0));
    let [one, two] = running;
    let (one, two) = (start(one).await, start(two).await);
    // Both threads are busy by the time it has written: these wait.
    while lanes() < 2 || !written(&place_of(&waits, "one")) || !written(&place_of(&waits, "two")) {
      op::nop().await.unwrap();
    }
    let third = start(op::copy_file(&file, &waits, 0)).await;
    let fourth = start(op::copy_file(&file, &kept, 0)).await;
    op::nop().await.unwrap();
    op::cancel(third.key()).await.unwrap();
    assert_eq!(third.await.unwrap_err(), Error::Abort);
    op::cancel(one.key()).await.unwrap();
    assert_eq!(one.await.unwrap_err(), Error::Abort);
    drop((two, fourth));
  });
  settle(&rt);
  for path in targets.iter().chain([&waits]) {
    assert!(!path.exists(), "{}", path.display());
  }
  let kept = fs::read(&kept).unwrap();
  assert!(kept == b"kept" || kept == b"text", "it had not begun, or it ran");
  until("threads without work end", || lanes() == 0);
  assert!(descriptors() <= before + 1, "the ring's own copy of its descriptor is left");
}

fn place_of(beside: &Path, name: &str) -> PathBuf {
  beside.with_file_name(name)
}

fn written(path: &Path) -> bool {
  fs::metadata(path).is_ok_and(|found| found.len() > 0)
}

#[test]
fn a_chain_takes_nothing_of_the_lane() {
  let _alone = alone();
  let (rt, place) = (runtime(), place());
  let (from, to) = (place.write("from", b"text"), place.at("to"));
  for last in [true, false] {
    let copy = op::copy_file(&from, &to, 0);
    let ends = if last {
      let (nop, copy) = rt.run(op::link((op::nop(), copy)));
      (copy, nop.map(drop))
    } else {
      let (copy, nop) = rt.run(op::link((copy, op::nop())));
      (copy, nop.map(drop))
    };
    assert_eq!(ends.0.unwrap_err().code(), "EINVAL");
    assert_eq!(ends.1.unwrap_err(), Error::Abort);
    assert!(!to.exists());
  }
  settle(&rt);
}

#[test]
fn an_allow_list_holds_for_the_lane() {
  let _alone = alone();
  let place = place();
  let (from, to) = (place.write("from", b"text"), place.at("to"));
  let allowing = |names: &[&str]| {
    let allow = Some(Allow::of(names).unwrap());
    runtime_with(Options { allow, ..Options::default() })
  };
  let error = copy(&allowing(&["read"]), &from, &to, 0).unwrap_err();
  assert!(matches!(error, Error::NotAllowed { name: "copyFile", .. }), "{error:?}");
  assert!(!to.exists());
  let rt = allowing(&["copyFile"]);
  copy(&rt, &from, &to, 0).unwrap();
  assert_eq!(fs::read(&to).unwrap(), b"text");
}

#[test]
fn two_hundred_copies_at_once_settle_once_each() {
  let _alone = alone();
  let place = place();
  let (from, count) = (place.write("from", &pattern(70_000)), 200);
  // One whose queues are too small, one with a thread of the kernel, one that is restricted.
  let allow = Some(Allow::of(&["copyFile"]).unwrap());
  let polled = Options { sqpoll: Some(POLL), ..polled(4, 0) };
  let restricted = Options { allow, ..Options::default() };
  for rt in [small(1, 2), runtime(), runtime_with(polled), runtime_with(restricted)] {
    let to = |i: usize| place.at(&format!("to{i}"));
    let before = rt.stats();
    let copies = (0..count).map(|i| op::copy_file(&from, to(i), 0)).collect();
    let ends = rt.run(all(copies));
    assert_eq!(ends.iter().filter(|end| end.is_ok()).count(), count);
    assert!(lanes() <= 2);
    for i in 0..count {
      assert_eq!(fs::read(to(i)).unwrap().len(), 70_000, "{i}");
    }
    let stats = rt.stats();
    assert!(stats.submitted - before.submitted >= count as u32);
    assert_eq!(stats.stale, 0);
    settle(&rt);
    assert!(rt.close());
  }
}

#[test]
fn copies_leave_no_descriptor() {
  let _alone = alone();
  let (rt, place) = (runtime(), place());
  let (from, to, none) = (place.write("from", b"text"), place.at("to"), place.at("none"));
  copy(&rt, &from, &to, 0).unwrap();
  let counted = || {
    until("threads without work end", || lanes() == 0);
    descriptors()
  };
  let before = counted();
  for _ in 0..many(500) {
    copy(&rt, &from, &to, 0).unwrap();
    copy(&rt, &none, &to, 0).unwrap_err();
    copy(&rt, &from, &place.at("none/new"), 0).unwrap_err();
    copy(&rt, &place.0 .0, &place.at("directory"), 0).unwrap_err();
  }
  assert_eq!(counted(), before);
}

#[test]
fn a_ring_that_closes_ends_its_copies_and_no_others() {
  let _alone = alone();
  let place = place();
  let (endless, from) = (place.endless(), place.write("from", b"text"));
  let other = runtime();
  until("threads without work end", || lanes() == 0);
  let before = descriptors();
  for round in 0..many(3) {
    let rt = if round % 2 == 0 { runtime() } else { runtime_with(polled(8, 0)) };
    let path = |i: usize| place.at(&format!("to{i}"));
    let copies: Vec<_> = (0..8).map(|i| op::copy_file(&endless, path(i), 0)).collect();
    let started = rt.run(async move {
      let mut started = Vec::new();
      for copy in copies {
        started.push(start(copy).await);
      }
      op::nop().await.unwrap();
      started
    });
    until("it writes", || (0..8).any(|i| written(&path(i))));
    // It waits behind those of the other ring, and is not one of them.
    let waiting = other.spawn(op::copy_file(&from, place.at("mine"), 0));
    other.run(op::nop()).unwrap();
    assert!(rt.close(), "everything has ended within the bound");
    drop(started);
    other.run(waiting).unwrap().unwrap();
    assert_eq!(fs::read(place.at("mine")).unwrap(), b"text");
    for i in 0..8 {
      assert!(!path(i).exists(), "{i}");
    }
  }
  until("threads without work end", || lanes() == 0);
  assert_eq!(descriptors(), before + 1, "the other ring's own copy of its descriptor is left");
}

#[test]
fn a_simulated_kernel_copies_as_well() {
  let _alone = alone();
  for seed in 1..=many(20) as u32 {
    let error = if seed % 2 == 0 { 30 } else { 0 };
    let faults = Faults { late: 50, error, ..Faults::default() };
    let (mock, _world) = Mock::new(seed, 8, 64, faults);
    let rt = Runtime::with_driver(Box::new(mock), Options::default()).unwrap();
    let copies = (0..40).map(|i| op::copy_file(format!("from{i}"), format!("to{i}"), 0));
    let ends = rt.run(all(copies.collect()));
    let failed: Vec<_> = ends.into_iter().filter_map(Result::err).collect();
    assert!(seed % 2 == 0 || failed.is_empty());
    assert!(failed.iter().all(|error| error.code() == "EIO"));
  }
}

// PAIR: only-rust -- a JavaScript engine opens descriptors when it likes
#[test]
#[allow(unsafe_code)]
fn without_a_thread_or_a_ring_for_it_the_operation_is_unsupported() {
  let _alone = alone();
  let (rt, place) = (runtime(), place());
  let (from, to) = (place.write("from", b"text"), place.at("to"));
  until("threads without work end", || lanes() == 0);
  let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
  // SAFETY: I1: the kernel fills a struct of this function's own, or reads one.
  let limit = |to: &libc::rlimit| unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, to) };
  // SAFETY: I1: as above.
  assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limits) }, 0);
  assert_eq!(limit(&libc::rlimit { rlim_cur: 100, ..limits }), 0);
  let null = || fs::File::open("/dev/null");
  let mut fill: Vec<_> = std::iter::from_fn(|| null().ok()).collect();
  for said in ["EMFILE", "ERR_RINGCORE_UNSUPPORTED_OP"] {
    let error = copy(&rt, &from, &to, 0).unwrap_err();
    fill.pop(); // One for the ring's own copy of its descriptor, none for a thread's ring.
    assert_eq!(error.code(), said, "{error}");
    assert!(!to.exists(), "nothing has happened");
  }
  drop(fill);
  assert_eq!(limit(&limits), 0);
  assert!(text(copy(&rt, &place.at("none"), &to, 0)).starts_with("ENOENT"));
  copy(&rt, &from, &to, 0).unwrap();
}
