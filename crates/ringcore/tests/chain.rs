//! Chains: order, sharing, cuts, limits.
//! Pair: __test__/chain.spec.ts

use ringcore::buffer::alloc;
use ringcore::op;
use ringcore::{run, Error};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::time::Duration;

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
