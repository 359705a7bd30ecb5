//! Timers, polls and cancels beyond their simplest form.
//! Pair: __test__/basic.spec.ts
mod support;

use ringcore::address::Address;
use ringcore::alloc::registered;
use ringcore::{op, spawn, Error};
use std::future::Future;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant, SystemTime};
use support::{many, runtime, settle, small, start, turns, NO_FD};

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
  let ended = runtime().run(op::cancel_fd(NO_FD));
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

#[test]
fn what_waits_for_a_descriptor_that_is_not_open_fails_with_ebadf() {
  let rt = runtime();
  rt.run(async {
    let code = |error: Error| error.code();
    let events = libc::POLLIN as u32;
    assert_eq!(op::poll_add(NO_FD, events).await.map_err(code), Err("EBADF"));
    let mut polls = op::poll_multishot(NO_FD, events);
    assert_eq!(polls.next().await.map(|end| end.map_err(code)), Some(Err("EBADF")));
    assert_eq!(op::cancel_fd(NO_FD).await.map_err(code), Err("EBADF"));
    let written = op::write_fixed(NO_FD, registered(4096).unwrap(), Some(0)).await.0;
    assert_eq!(written.map_err(code), Err("EBADF"));
    let limited = op::with_timeout(op::poll_add(NO_FD, events), Duration::from_secs(10));
    assert_eq!(limited.await.map_err(code), Err("EBADF"));
  });
  assert_eq!(rt.in_flight(), 0, "no limit is left behind");
}

/// Starts it, and drops it some turns later, in flight or at its end.
async fn leave<F: Future + Unpin>(future: F, round: usize) {
  let future = start(future).await;
  turns(round % 3).await;
  drop(future);
}

#[test]
fn whatever_waits_or_asks_is_abandoned_without_a_trace() {
  let rt = runtime();
  let (reader, _writer) = std::io::pipe().unwrap();
  let (_full_reader, full) = std::io::pipe().unwrap();
  let (fd, full) = (reader.as_raw_fd(), full.as_raw_fd());
  let events = libc::POLLIN as u32;
  let long = Duration::from_secs(600);
  rt.run(async move {
    // Until nothing more fits: what is written from here on waits.
    op::write(full, vec![0; 65_536], None).await.0.unwrap();
    let poll = start(op::poll_add(fd, events)).await;
    let timer = start(op::timeout(long)).await;
    let fresh = op::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0).await.unwrap();
    let memory = registered(4096).unwrap();
    for round in 0..many(10) {
      leave(op::poll_add(fd, events), round).await;
      leave(op::read_fixed(fd, memory.clone(), None), round).await;
      leave(op::write_fixed(full, memory.clone(), None), round).await;
      leave(op::with_timeout(op::read(fd, vec![0; 8], None), long), round).await;
      leave(op::timeout_update(timer.key(), long), round).await;
      leave(op::cancel_fd(full), round).await;
      leave(op::shutdown(fresh, libc::SHUT_RDWR), round).await;
      let name = format!("ringcore-basic-{}", std::process::id());
      leave(op::bind(fresh, Address::Abstract(name.into_bytes())), round).await;
      let mut polls = op::poll_multishot(fd, events);
      leave(Box::pin(polls.next()), round).await;
      drop(polls);
      leave(op::poll_remove(timer.key()), round).await;
    }
    op::close(fresh).await.unwrap();
    op::cancel(poll.key()).await.unwrap();
    op::cancel(timer.key()).await.unwrap();
    assert_eq!((poll.await, timer.await), (Err(Error::Abort), Err(Error::Abort)));
  });
  settle(&rt);
  assert_eq!(rt.stats().stale, 0);
}
