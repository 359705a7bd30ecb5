//! Timers, polls and cancels beyond their simplest form.
//! Pair: __test__/basic.spec.ts
mod support;

use ringcore::{op, spawn, Error};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant, SystemTime};
use support::{runtime, settle, small, start, turns};

#[test]
fn a_cancel_by_descriptor_ends_everything_on_it_and_tells_how_many() {
  // The second ring is so small that most of them wait outside of the kernel.
  for entries in [64, 2] {
    let rt = small(entries, 0);
    let (reader, _writer) = std::io::pipe().unwrap();
    let (other, mut other_writer) = std::io::pipe().unwrap();
    let (fd, other_fd) = (reader.as_raw_fd(), other.as_raw_fd());
    rt.run(async move {
      let reads: Vec<_> = (0..10).map(|_| spawn(op::read(fd, vec![0; 8], None))).collect();
      let survivor = spawn(op::read(other_fd, vec![0; 8], None));
      turns(3).await;
      assert_eq!(op::cancel_fd(fd).await, Ok(10));
      for read in reads {
        assert_eq!(read.await.unwrap().0, Err(Error::Abort));
      }
      assert_eq!(op::cancel_fd(fd).await, Ok(0), "nothing is left");
      other_writer.write_all(b"abc").unwrap();
      assert_eq!(survivor.await.unwrap().0, Ok(3));
    });
    settle(&rt);
  }
}

// PAIR: only-rust -- a descriptor of the wrong type does not compile here
#[test]
fn a_cancel_of_a_descriptor_that_is_not_open_fails_with_ebadf() {
  let ended = runtime().run(op::cancel_fd(support::NO_FD));
  assert_eq!(ended.unwrap_err().code(), "EBADF");
}

#[test]
fn a_poll_that_is_removed_ends_and_another_operation_is_no_poll() {
  let rt = runtime();
  let (reader, _writer) = std::io::pipe().unwrap();
  rt.run(async move {
    let poll = start(op::poll_add(reader.as_raw_fd(), libc::POLLIN as u32)).await;
    let key = poll.key();
    op::poll_remove(key).await.unwrap();
    assert_eq!(poll.await, Err(Error::Abort));
    assert_eq!(op::poll_remove(key).await.unwrap_err().code(), "ENOENT");
    let timer = start(op::timeout(Duration::from_millis(1))).await;
    assert_eq!(op::poll_remove(timer.key()).await.unwrap_err().code(), "ENOENT");
    timer.await.unwrap();
  });
}

#[test]
fn a_timer_that_is_set_anew_ends_at_its_new_time() {
  let rt = runtime();
  rt.run(async {
    let timer = start(op::timeout(Duration::from_secs(600))).await;
    let (key, begin) = (timer.key(), Instant::now());
    op::timeout_update(key, Duration::from_millis(30)).await.unwrap();
    timer.await.unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(30));
    let late = op::timeout_update(key, Duration::from_millis(30)).await;
    assert_eq!(late.unwrap_err().code(), "ENOENT");
  });
}

#[test]
fn a_timer_ends_at_a_moment_of_a_clock() {
  let moment = SystemTime::now() + Duration::from_millis(30);
  runtime().run(async move { op::timeout_at(moment).await }).unwrap();
  assert!(SystemTime::now() >= moment);
}
