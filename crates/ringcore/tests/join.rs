//! Pair: __test__/join.spec.ts
mod support;

use ringcore::{all, op, race, Error};
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;
use support::{alone, descriptors, many, runtime, settle, turns};

const LONG: Duration = Duration::from_secs(60);

type Part = Pin<Box<dyn Future<Output = Result<usize, Error>>>>;

fn timer() -> Part {
  Box::pin(async { op::timeout(LONG).await.map(|()| 0) })
}

#[test]
fn race_gives_the_first_outcome_and_cancels_the_others() {
  let _alone = alone();
  let rt = runtime();
  let parts = vec![timer(), Box::pin(op::nop_with(2)), timer()];
  assert_eq!(rt.run(race(parts)), Ok(2));
  settle(&rt);
}

#[test]
fn race_gives_the_first_of_those_that_end_together() {
  let _alone = alone();
  let rt = runtime();
  assert_eq!(rt.run(race(vec![op::nop_with(1), op::nop_with(2)])), Ok(1));
}

#[test]
fn a_failure_that_comes_first_is_the_outcome_of_race() {
  let _alone = alone();
  let rt = runtime();
  let parts = vec![timer(), Box::pin(op::nop_with(-libc::ENOSPC))];
  assert_eq!(rt.run(race(parts)).unwrap_err().code(), "ENOSPC");
  settle(&rt);
}

#[test]
fn a_descriptor_that_lost_a_race_is_closed() {
  let _alone = alone();
  let rt = runtime();
  let before = descriptors();
  let open = || op::openat(libc::AT_FDCWD, "/dev/null", 0, 0);
  for _ in 0..many(100) {
    let fd = rt.run(race(vec![open(), open(), open()])).unwrap();
    rt.run(op::close(fd)).unwrap();
  }
  settle(&rt);
  rt.run(turns(5));
  assert!(descriptors() <= before, "{} after {before}", descriptors());
}

#[test]
fn all_gives_every_value_in_the_order_of_the_arguments() {
  let _alone = alone();
  let rt = runtime();
  let late: Part = Box::pin(async {
    op::timeout(Duration::from_millis(2)).await?;
    Ok(7)
  });
  let parts = vec![late, Box::pin(op::nop_with(1)), Box::pin(op::nop_with(2))];
  assert_eq!(rt.run(all(parts)), [Ok(7), Ok(1), Ok(2)]);
}

#[test]
fn all_of_nothing_is_there_at_once() {
  let _alone = alone();
  assert!(runtime().run(all(Vec::<Part>::new())).is_empty());
}

#[test]
fn abort_of_a_task_that_waits_in_race_or_all_ends_every_part() {
  let _alone = alone();
  let rt = runtime();
  let dropped = Rc::new(Cell::new(0));
  for which in ["race", "all"] {
    let seen = dropped.clone();
    let parts = vec![timer(), timer(), timer()];
    let handle = rt.spawn(async move {
      if which == "race" {
        race(parts).await.unwrap();
      } else {
        all(parts).await;
      }
      seen.set(1);
    });
    rt.run(turns(3));
    assert_eq!(rt.in_flight(), 3);
    handle.abort();
    assert_eq!(rt.run(handle), Err(Error::Abort));
    settle(&rt);
  }
  assert_eq!(dropped.get(), 0, "nothing went on");
}
