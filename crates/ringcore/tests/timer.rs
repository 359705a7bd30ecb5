//! Pair: __test__/timer.spec.ts
mod support;

use ringcore::{op, sleep, timeout, Error};
use std::future::ready;
use std::time::{Duration, Instant};
use support::{many, runtime, settle, turns};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn sleep_is_never_early() {
  let rt = runtime();
  let sleeps: Vec<_> = (0..many(300))
    .map(|i| {
      let wanted = Duration::from_micros((i % 40) as u64 * 333);
      rt.spawn(async move {
        let start = Instant::now();
        sleep(wanted).await;
        assert!(start.elapsed() >= wanted, "{wanted:?}");
      })
    })
    .collect();
  for handle in sleeps {
    rt.run(handle).unwrap();
  }
}

#[test]
fn sleep_of_zero_ends() {
  let rt = runtime();
  rt.run(sleep(Duration::ZERO));
  assert_eq!(rt.in_flight(), 0);
}

#[test]
fn timeout_gives_the_value_of_what_ends_in_time_and_leaves_no_timer() {
  let rt = runtime();
  assert_eq!(rt.run(timeout(op::nop_with(3), LONG)), Ok(Ok(3)));
  settle(&rt);
}

#[test]
fn timeout_ends_what_is_late_with_etimedout() {
  let rt = runtime();
  let limited = timeout(op::timeout(LONG), Duration::from_millis(2));
  let error = rt.run(limited).unwrap_err();
  assert_eq!(error, Error::Timeout);
  assert_eq!(error.code(), "ETIMEDOUT");
  settle(&rt);
}

#[test]
fn a_value_that_is_there_at_the_same_instant_wins_over_the_clock() {
  let rt = runtime();
  for _ in 0..many(20) {
    assert_eq!(rt.run(timeout(ready(9), Duration::ZERO)), Ok(9));
    let both = timeout(op::nop_with(9), Duration::ZERO);
    assert_eq!(rt.run(both), Ok(Ok(9)));
  }
  settle(&rt);
}

#[test]
fn a_failure_in_time_is_the_outcome_of_timeout() {
  let rt = runtime();
  let failed = rt.run(timeout(op::nop_with(-libc::ENOSPC), LONG));
  assert_eq!(failed.unwrap().unwrap_err().code(), "ENOSPC");
  settle(&rt);
}

#[test]
fn abort_of_a_task_that_waits_in_timeout_ends_both() {
  let rt = runtime();
  let handle = rt.spawn(timeout(op::timeout(LONG), LONG));
  rt.run(turns(3));
  assert_eq!(rt.in_flight(), 2);
  handle.abort();
  assert!(matches!(rt.run(handle), Err(Error::Abort)));
  settle(&rt);
}
