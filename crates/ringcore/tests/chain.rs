//! Chains: order, sharing, cuts, limits.
//! Pair: __test__/chain.spec.ts

mod support;

use ringcore::buffer::alloc;
use ringcore::{op, run, spawn, Error, Options, Runtime};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::time::Duration;
use support::{many, settle, small, turns};

fn temporary(name: &str, bytes: &[u8]) -> File {
  let path = std::env::temp_dir().join(format!("ringcore-chain-{}-{name}", std::process::id()));
  let mut file =
    File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
  std::fs::remove_file(&path).unwrap();
  file.write_all(bytes).unwrap();
  file
}

fn contents(file: &File) -> Vec<u8> {
  std::fs::read(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap()
}

#[test]
fn a_read_and_a_write_of_the_same_bytes_copy_a_file() {
  let bytes: Vec<u8> = (0..100_000u32).map(|i| (i * 7) as u8).collect();
  let (from, to) = (temporary("from", &bytes), temporary("to", b""));
  let (a, b) = (from.as_raw_fd(), to.as_raw_fd());
  let results = run(async move {
    let through = alloc(100_000).unwrap();
    let read = op::read(a, through.clone(), Some(0));
    op::link((read, op::write(b, through, Some(0)))).await
  })
  .unwrap();
  assert_eq!((results.0 .0, results.1 .0), (Ok(100_000), Ok(100_000)));
  assert_eq!(contents(&to), bytes);
}

#[test]
fn a_member_that_fails_or_is_short_ends_the_chain_and_nothing_behind_it_runs() {
  let to = temporary("untouched", b"before");
  let (a, b) = (temporary("short", b"abc"), to.as_raw_fd());
  run(async move {
    let through = alloc(10).unwrap();
    let write = op::write(b, through.clone(), Some(0));
    let (read, written) = op::link((op::read(9999, through.clone(), Some(0)), write)).await;
    assert!(matches!(read.0, Err(Error::Os { errno: libc::EBADF, .. })), "{:?}", read.0);
    assert_eq!(written.0, Err(Error::Abort));
    let write = op::write(b, through.clone(), Some(0));
    let read = op::read(a.as_raw_fd(), through, Some(0));
    let (read, written) = op::link((read, write)).await;
    assert_eq!((read.0, written.0), (Ok(3), Err(Error::Abort)));
  })
  .unwrap();
  assert_eq!(contents(&to), b"before");
}

#[test]
fn an_operation_with_a_limit_ends_in_time_or_counts() {
  run(async {
    let slow = op::timeout(Duration::from_secs(60));
    let ended = op::with_timeout(slow, Duration::from_millis(20)).await;
    assert_eq!(ended, Err(Error::Timeout));
    let limited = op::with_timeout(op::nop_with(4), Duration::from_secs(60));
    let ended = op::link((op::nop_with(3), limited, op::nop_with(5))).await;
    assert_eq!(ended, (Ok(3), Ok(4), Ok(5)));
  })
  .unwrap();
}

#[test]
fn behind_a_hard_link_everything_runs_and_shared_bytes_are_what_they_were() {
  let (from, to) = (temporary("hard", b"abc"), temporary("hard-to", b""));
  let (a, b) = (from.as_raw_fd(), to.as_raw_fd());
  run(async move {
    let through = alloc(10).unwrap();
    through.copy_from(b"0123456789");
    let write = op::write(b, through.clone(), Some(0));
    let (read, write) = op::hardlink((op::read(a, through.clone(), Some(0)), write)).await;
    assert_eq!((read.0, write.0), (Ok(3), Ok(10)));
    let write = op::write(b, through.clone(), Some(0));
    let (read, write) = op::hardlink((op::read(9999, through, Some(0)), write)).await;
    assert!(read.0.is_err());
    assert_eq!(write.0, Ok(10));
  })
  .unwrap();
  assert_eq!(contents(&to), b"abc3456789");
}

// PAIR: only-rust -- Rust shares memory by handles, not by what views overlap
#[test]
fn clones_of_one_alloc_are_the_same_bytes() {
  let one = alloc(4).unwrap();
  one.clone().copy_from(b"abcd");
  assert_eq!(one.to_vec(4), b"abcd");
}

#[test]
fn chains_in_a_crowd_stay_whole_and_in_order() {
  // A split chain would run what is behind a failure.
  let rt = small(8, 0);
  let mut handles = Vec::new();
  for number in 0..many(2000) {
    let broken = number % 4;
    let nop = move |place: usize| op::nop_with(if place == broken { -5 } else { place as i32 });
    let chain = op::link((nop(0), nop(1), nop(2)));
    handles.push((broken, rt.spawn(chain)));
  }
  for (broken, handle) in handles {
    let (a, b, c) = rt.run(handle).unwrap();
    for (place, end) in [a, b, c].into_iter().enumerate() {
      match place {
        _ if place < broken => assert_eq!(end, Ok(place)),
        _ if place == broken => assert_eq!(end.unwrap_err().code(), "EIO"),
        _ => assert_eq!(end, Err(Error::Abort)),
      }
    }
  }
}

#[test]
fn a_chain_longer_than_the_ring_is_an_error_and_so_is_what_cannot_be_linked() {
  let rt = small(2, 0);
  assert_eq!(rt.run(op::link((op::nop(), op::nop()))), (Ok(0), Ok(0)));
  let (a, b, c) = rt.run(op::link((op::nop(), op::nop(), op::nop())));
  assert!([a, b, c].into_iter().all(|end| matches!(end, Err(Error::Invalid(_)))));
  assert_eq!(rt.run(op::nop()), Ok(0));
}

#[test]
fn an_aborted_member_ends_the_chain_behind_it() {
  let rt = Runtime::new(Options::default()).unwrap();
  let (reader, _writer) = std::io::pipe().unwrap();
  let fd = reader.as_raw_fd();
  let ended = rt.run(async move {
    let read = op::read(fd, vec![0; 8], None);
    let chain = spawn(op::link((op::nop_with(1), read, op::nop())));
    turns(3).await;
    assert_eq!(op::cancel_fd(fd).await, Ok(1));
    chain.await.unwrap()
  });
  assert_eq!((ended.0, ended.1 .0, ended.2), (Ok(1), Err(Error::Abort), Err(Error::Abort)));
}

#[test]
fn an_abandoned_chain_lets_go_of_its_memory_after_its_last_completion() {
  let rt = Runtime::new(Options::default()).unwrap();
  let (reader, mut writer) = std::io::pipe().unwrap();
  let to = temporary("abandoned", b"before");
  let (a, b) = (reader.as_raw_fd(), to.as_raw_fd());
  for _ in 0..many(50) {
    let through = alloc(64).unwrap();
    let (read, write) = (op::read(a, through.clone(), None), op::write(b, through, Some(0)));
    let chain = rt.spawn(op::link((read, write)));
    rt.run(turns(3));
    assert_eq!(rt.in_flight(), 2);
    chain.abort();
    rt.run(turns(1));
    settle(&rt);
    writer.write_all(&[b'x'; 32]).unwrap();
    assert_eq!(rt.run(op::read(a, vec![0; 64], None)).0, Ok(32), "nobody else took the bytes");
  }
  assert_eq!(contents(&to), b"before");
}

#[test]
fn every_member_settles_when_the_runtime_is_closed() {
  let rt = Runtime::new(Options::default()).unwrap();
  let (reader, _writer) = std::io::pipe().unwrap();
  let fd = reader.as_raw_fd();
  let limited = op::with_timeout(op::read(fd, vec![0; 8], None), Duration::from_secs(60));
  let _chain = rt.spawn(op::link((op::read(fd, vec![0; 8], None), op::nop(), limited)));
  rt.run(turns(3));
  assert_eq!(rt.in_flight(), 4);
  assert!(rt.close(), "everything has ended");
  assert_eq!(rt.in_flight(), 0);
}
