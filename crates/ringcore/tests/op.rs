//! Pair: __test__/op.spec.ts
mod support;

use ringcore::{op, spawn, Error};
use std::ffi::OsStr;
use std::future::Future;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use support::{folder, many, runtime, settle, start, turns, NO_FD};

fn code<T>(result: Result<T, Error>) -> &'static str {
  result.err().map_or("no error", |error| error.code())
}

#[test]
fn an_operation_does_nothing_before_it_is_polled() {
  let rt = runtime();
  let path = folder();
  let file = path.0.join("new");
  let opening = op::openat(libc::AT_FDCWD, &file, libc::O_CREAT | libc::O_WRONLY, 0o666);
  rt.run(turns(5));
  assert_eq!(rt.in_flight(), 0);
  assert!(!file.exists());
  let fd = rt.run(opening).unwrap();
  assert!(file.exists());
  rt.run(op::close(fd)).unwrap();
}

#[test]
fn a_nop_resolves_to_its_result_or_fails_with_its_errno() {
  let rt = runtime();
  assert_eq!(rt.run(op::nop()), Ok(0));
  assert_eq!(rt.run(op::nop_with(123_456)), Ok(123_456));
  assert_eq!(code(rt.run(op::nop_with(-libc::ENOSPC))), "ENOSPC");
}

#[test]
fn bytes_are_written_and_read_at_an_offset_and_at_the_file_position() {
  let rt = runtime();
  let directory = folder();
  let path = directory.0.join("file");
  let name = path.clone();
  rt.run(async move {
    let flags = libc::O_RDWR | libc::O_CREAT;
    let fd = op::openat(libc::AT_FDCWD, &name, flags, 0o666).await.unwrap();
    assert_eq!(op::write(fd, b"hello ".to_vec(), None).await.0, Ok(6));
    assert_eq!(op::write(fd, b"world".to_vec(), None).await.0, Ok(5));
    assert_eq!(op::write(fd, b"H".to_vec(), Some(0)).await.0, Ok(1));
    let (count, bytes) = op::read(fd, vec![0; 16], Some(6)).await;
    assert_eq!((count, &bytes[..5]), (Ok(5), &b"world"[..]));
    let (count, _) = op::read(fd, vec![0; 16], None).await;
    assert_eq!(count, Ok(0), "the position is the end");
    op::close(fd).await.unwrap();
  });
  assert_eq!(std::fs::read(path).unwrap(), b"Hello world");
}

#[test]
fn opening_what_is_not_there_fails_with_enoent_and_the_path() {
  let rt = runtime();
  let directory = folder();
  let path = directory.0.join("missing");
  let error = rt.run(op::openat(libc::AT_FDCWD, &path, 0, 0)).unwrap_err();
  assert_eq!(error.code(), "ENOENT");
  let text = format!("ENOENT: no such file or directory, open '{}'", path.display());
  assert_eq!(error.to_string(), text);
}

#[test]
fn closing_what_is_not_open_fails_with_ebadf() {
  let rt = runtime();
  assert_eq!(code(rt.run(op::close(NO_FD))), "EBADF");
}

#[test]
fn poll_tells_that_a_pipe_has_bytes() {
  let rt = runtime();
  let (reader, mut writer) = std::io::pipe().unwrap();
  let handle = rt.spawn(op::poll_add(reader.as_raw_fd(), libc::POLLIN as u32));
  rt.run(turns(3));
  assert!(!handle.finished());
  writer.write_all(b"x").unwrap();
  let events = rt.run(handle).unwrap().unwrap();
  assert_eq!(events & libc::POLLIN as u32, libc::POLLIN as u32);
}

#[test]
fn cancel_ends_an_operation_in_flight() {
  let rt = runtime();
  let (reader, _writer) = std::io::pipe().unwrap();
  let fd = reader.as_raw_fd();
  rt.run(async move {
    let timer = start(op::timeout(Duration::from_secs(60))).await;
    op::cancel(timer.key()).await.unwrap();
    assert_eq!(code(timer.await), "ABORT_ERR");
    let poll = start(op::poll_add(fd, libc::POLLIN as u32)).await;
    op::cancel(poll.key()).await.unwrap();
    assert_eq!(code(poll.await), "ABORT_ERR");
    let read = start(op::read(fd, vec![7; 8], None)).await;
    turns(2).await;
    op::cancel(read.key()).await.unwrap();
    let (count, bytes) = read.await;
    assert_eq!(code(count), "ABORT_ERR");
    assert_eq!(bytes, [7; 8], "the buffer comes back as it was");
  });
  settle(&rt);
}

#[test]
fn cancel_of_what_is_not_in_flight_fails_with_enoent() {
  let rt = runtime();
  assert_eq!(code(rt.run(op::cancel(op::nop().key()))), "ENOENT");
  rt.run(async {
    let nop = start(op::nop()).await;
    let key = nop.key();
    nop.await.unwrap();
    assert_eq!(code(op::cancel(key).await), "ENOENT");
  });
}

#[test]
fn an_empty_path_fails_with_enoent_and_a_long_one_with_enametoolong() {
  let rt = runtime();
  let open = |path: &str| code(rt.run(op::openat(libc::AT_FDCWD, path, 0, 0)));
  assert_eq!(open(""), "ENOENT");
  for length in [4096, 5000] {
    let path = format!("/{}", "a/".repeat(length / 2));
    assert_eq!(open(&path[..length]), "ENAMETOOLONG", "{length}");
  }
  assert_eq!(open(&format!("/{}", "a/".repeat(2047))), "ENOENT");
}

#[test]
fn a_path_of_invalid_utf_8_opens_the_file_of_that_name() {
  let rt = runtime();
  let directory = folder();
  let path = directory.0.join(OsStr::from_bytes(&[0xff, 0xfe, 0x41]));
  std::fs::write(&path, "odd").unwrap();
  let count = rt.run(async move {
    let fd = op::openat(libc::AT_FDCWD, &path, 0, 0).await.unwrap();
    let (count, _) = op::read(fd, vec![0; 8], None).await;
    op::close(fd).await.unwrap();
    count
  });
  assert_eq!(count, Ok(3));
}

#[test]
fn a_path_with_a_zero_byte_is_an_error_of_its_own_and_nothing_is_submitted() {
  let rt = runtime();
  let before = rt.stats().submitted;
  let opened = rt.run(op::openat(libc::AT_FDCWD, "a\0b", 0, 0));
  assert!(matches!(opened, Err(Error::Invalid(_))));
  assert_eq!(rt.stats().submitted, before);
}

#[test]
fn an_offset_is_63_bits_wide() {
  let rt = runtime();
  let directory = folder();
  let path = directory.0.join("sparse");
  let file = std::fs::File::options().read(true).write(true).create_new(true).open(path).unwrap();
  let fd = file.as_raw_fd();
  let far = 5 * (1 << 32) + 7;
  let far_write = op::write(fd, b"far".to_vec(), Some(far));
  assert_eq!(rt.run(far_write).0, Ok(3));
  assert_eq!(file.metadata().unwrap().len(), far + 3);
  let (count, bytes) = rt.run(op::read(fd, vec![0; 3], Some(far)));
  assert_eq!((count, &bytes[..]), (Ok(3), &b"far"[..]));
  let (count, _) = rt.run(op::read(fd, vec![0; 3], Some((1 << 53) + 1)));
  assert_eq!(count, Ok(0));
  let beyond = op::write(fd, vec![0; 3], Some(1 << 62));
  assert_eq!(code(rt.run(beyond).0), "EFBIG");
  let (count, bytes) = rt.run(op::read(fd, vec![9; 3], Some(1 << 63)));
  assert!(matches!(count, Err(Error::Invalid(_))));
  assert_eq!(bytes, [9; 3], "the buffer comes back");
}

// PAIR: only-rust -- a JavaScript operation lives on when its caller forgets it
#[test]
fn an_operation_that_is_dropped_in_flight_is_cancelled_and_keeps_its_memory_until_then() {
  let rt = runtime();
  let (reader, mut writer) = std::io::pipe().unwrap();
  let fd = reader.as_raw_fd();
  for _ in 0..many(100) {
    rt.run(async move {
      let read = start(op::read(fd, vec![0; 4096], None)).await;
      turns(1).await;
      drop(read);
    });
    let spray: Vec<Vec<u8>> = (0..16).map(|_| vec![0x55; 4096]).collect();
    settle(&rt);
    assert!(spray.iter().flatten().all(|byte| *byte == 0x55));
  }
  writer.write_all(b"still here").unwrap();
  let (count, bytes) = rt.run(op::read(fd, vec![0; 32], None));
  assert_eq!((count, &bytes[..10]), (Ok(10), &b"still here"[..]));
}

// PAIR: only-rust -- in JavaScript the same is done by an AbortSignal
#[test]
fn a_dropped_open_leaves_no_descriptor() {
  let rt = runtime();
  // Other tests open and close at the same time: only descriptors of this file are counted.
  let directory = folder();
  let path = directory.0.join("opened");
  std::fs::write(&path, b"x").unwrap();
  let opened = {
    let path = path.clone();
    move || {
      let entries = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
      entries.filter(|entry| std::fs::read_link(entry.path()).is_ok_and(|to| to == path)).count()
    }
  };
  let before = rt.run({
    let (path, opened) = (path.clone(), opened.clone());
    async move {
      let fd = op::openat(libc::AT_FDCWD, &path, 0, 0).await.unwrap();
      let found = opened();
      op::close(fd).await.unwrap();
      found
    }
  });
  assert_eq!(before, 1, "it can be counted");
  for _ in 0..many(200) {
    let path = path.clone();
    rt.run(async move {
      drop(start(op::openat(libc::AT_FDCWD, &path, 0, 0)).await);
      let open = start(op::openat(libc::AT_FDCWD, &path, 0, 0)).await;
      turns(1).await;
      drop(open); // Its descriptor is there, and nobody has it.
    });
  }
  settle(&rt);
  drop(rt);
  assert_eq!(opened(), 0);
}

// PAIR: only-rust -- JavaScript operations are awaited on the default runtime
#[test]
fn an_operation_that_no_runtime_polls_is_an_error() {
  let mut nop = op::nop();
  let mut context = std::task::Context::from_waker(std::task::Waker::noop());
  let polled = Pin::new(&mut nop).poll(&mut context);
  assert!(matches!(polled, Poll::Ready(Err(Error::WrongRuntime))));
}

// PAIR: only-rust -- JavaScript tests read this of their own buffers
#[test]
fn a_transfer_of_more_than_one_mebibyte_is_short() {
  let rt = runtime();
  let directory = folder();
  let path = directory.0.join("long");
  std::fs::write(&path, vec![3; 1_500_000]).unwrap();
  let (count, bytes) = rt.run(async move {
    let fd = op::openat(libc::AT_FDCWD, &path, 0, 0).await.unwrap();
    let read = spawn(op::read(fd, vec![0; 1_500_000], Some(0))).await;
    op::close(fd).await.unwrap();
    read.unwrap()
  });
  assert_eq!(count, Ok(1 << 20));
  assert!(bytes[..1 << 20].iter().all(|byte| *byte == 3));
  assert!(bytes[1 << 20..].iter().all(|byte| *byte == 0));
}
