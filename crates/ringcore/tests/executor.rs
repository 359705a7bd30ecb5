//! Pair: __test__/executor.spec.ts
mod support;

use ringcore::{op, yield_now, Error, Runtime};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use support::{alone, descriptors, many, mappings, runtime, settle, small, turns};

const LONG: Duration = Duration::from_secs(60);

/// Pending until it was polled so often; wakes itself so many times at each poll.
struct Polled {
  polls: Rc<Cell<usize>>,
  until: usize,
  wakes: usize,
}

impl Future for Polled {
  type Output = usize;

  fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<usize> {
    self.polls.set(self.polls.get() + 1);
    for _ in 0..self.wakes {
      cx.waker().wake_by_ref();
    }
    if self.polls.get() >= self.until {
      Poll::Ready(self.polls.get())
    } else {
      Poll::Pending
    }
  }
}

fn polled(until: usize, wakes: usize) -> (Polled, Rc<Cell<usize>>) {
  let polls = Rc::new(Cell::new(0));
  let future = Polled { polls: polls.clone(), until, wakes };
  (future, polls)
}

#[test]
fn a_task_that_wakes_itself_is_polled_again() {
  let _alone = alone();
  let (future, _) = polled(many(1000), 1);
  assert_eq!(runtime().run(future), many(1000));
}

#[test]
fn spawn_queues_and_does_not_poll() {
  let _alone = alone();
  let rt = runtime();
  let (future, polls) = polled(1, 0);
  let handle = rt.spawn(future);
  assert_eq!(polls.get(), 0);
  assert_eq!(rt.run(handle), Ok(1));
}

#[test]
fn a_task_woken_twice_is_polled_once() {
  let _alone = alone();
  let rt = runtime();
  let (future, polls) = polled(100, 3);
  let handle = rt.spawn(future);
  let seen = polls.clone();
  let rounds = rt.run(async move {
    turns(5).await;
    seen.get()
  });
  assert_eq!(rounds, 6, "one poll a round");
  rt.run(handle).unwrap();
}

#[test]
fn more_than_256_operations_in_one_turn_all_end() {
  let _alone = alone();
  let rt = runtime();
  let nops: Vec<_> = (0..many(1000)).map(|i| rt.spawn(op::nop_with(i as i32))).collect();
  for (i, handle) in nops.into_iter().enumerate() {
    assert_eq!(rt.run(handle), Ok(Ok(i)));
  }
}

#[test]
fn a_ring_of_one_entry_settles_a_thousand_operations_exactly_once() {
  let _alone = alone();
  let rt = small(1, 0);
  let settled = Rc::new(RefCell::new(vec![0; many(1000)]));
  let nops: Vec<_> = (0..many(1000))
    .map(|i| {
      let settled = settled.clone();
      rt.spawn(async move {
        let value = op::nop_with(i as i32).await.unwrap();
        settled.borrow_mut()[value] += 1;
      })
    })
    .collect();
  for handle in nops {
    rt.run(handle).unwrap();
  }
  assert!(settled.borrow().iter().all(|count| *count == 1));
}

#[test]
fn a_completion_queue_of_two_delivers_fifty_nops() {
  let _alone = alone();
  let rt = small(1, 2);
  let nops: Vec<_> = (0..many(50)).map(|i| rt.spawn(op::nop_with(i as i32))).collect();
  for (i, handle) in nops.into_iter().enumerate() {
    assert_eq!(rt.run(handle), Ok(Ok(i)));
  }
}

#[test]
fn run_ends_with_its_own_task_and_others_live_on() {
  let _alone = alone();
  let rt = runtime();
  let steps = Rc::new(Cell::new(0));
  let counted = steps.clone();
  let other = rt.spawn(async move {
    for _ in 0..3 {
      op::timeout(Duration::from_millis(5)).await.unwrap();
      counted.set(counted.get() + 1);
    }
  });
  assert_eq!(rt.run(op::nop_with(1)), Ok(1));
  assert!(!other.finished());
  rt.run(other).unwrap();
  assert_eq!(steps.get(), 3);
}

#[test]
fn yield_now_lets_every_other_ready_task_run() {
  let _alone = alone();
  let rt = runtime();
  let order = Rc::new(RefCell::new(String::new()));
  let tasks = ["a", "b", "c"].map(|name| {
    let order = order.clone();
    rt.spawn(async move {
      for i in 0..3 {
        *order.borrow_mut() += &format!("{name}{i} ");
        yield_now().await;
      }
    })
  });
  for handle in tasks {
    rt.run(handle).unwrap();
  }
  assert_eq!(*order.borrow(), "a0 b0 c0 a1 b1 c1 a2 b2 c2 ");
}

#[test]
fn a_task_that_wakes_itself_for_ever_does_not_stop_completions() {
  let _alone = alone();
  let rt = runtime();
  let spinning = rt.spawn(polled(usize::MAX, 1).0);
  rt.run(async {
    for _ in 0..50 {
      op::nop().await.unwrap();
    }
    op::timeout(Duration::from_millis(2)).await.unwrap();
  });
  assert!(!spinning.finished());
  spinning.abort();
  assert_eq!(rt.run(spinning), Err(Error::Abort));
}

#[test]
fn close_aborts_every_task_also_those_that_wait_for_each_other() {
  let _alone = alone();
  struct Ends(Rc<Cell<u32>>);
  impl Drop for Ends {
    fn drop(&mut self) {
      self.0.set(self.0.get() + 1);
    }
  }
  let rt = runtime();
  let ended = Rc::new(Cell::new(0));
  let waits = || {
    let ends = Ends(ended.clone());
    rt.spawn(async move {
      let _ends = ends;
      op::timeout(LONG).await.unwrap();
    })
  };
  let inner = waits();
  drop(rt.spawn(async move { inner.await.unwrap() }));
  drop([waits(), waits()]);
  rt.run(turns(3));
  assert_eq!(rt.in_flight(), 3);
  assert!(rt.close(), "every completion came");
  assert_eq!(ended.get(), 3);
}

#[test]
fn stats_count_what_was_submitted_and_completed() {
  let _alone = alone();
  let rt = runtime();
  rt.run(op::nop()).unwrap();
  let before = rt.stats();
  rt.run(async {
    for _ in 0..10 {
      op::nop().await.unwrap();
    }
  });
  let after = rt.stats();
  assert_eq!(after.submitted - before.submitted, 10);
  assert_eq!(after.completed - before.completed, 10);
  assert_eq!(after.inline - before.inline, 10);
  assert!(after.turns > before.turns && after.enters > before.enters);
  assert_eq!((after.overflows, after.stale), (0, 0));
}

#[test]
fn rings_that_open_and_close_leave_nothing_behind() {
  let _alone = alone();
  let once = || {
    let rt: Runtime = small(8, 0);
    let _timer = rt.spawn(op::timeout(LONG));
    rt.run(op::nop()).unwrap();
    assert!(rt.close());
  };
  (0..50).for_each(|_| once());
  let before = (descriptors(), mappings());
  (0..many(1000)).for_each(|_| once());
  assert!(descriptors() <= before.0);
  let after = mappings();
  assert!(after <= before.1 + 20, "{after} mappings after {}", before.1);
}

// PAIR: only-rust -- a JavaScript waker never leaves its thread
#[test]
fn a_waker_called_from_another_thread_wakes_the_task() {
  let _alone = alone();
  let rt = runtime();
  let (send, receive) = channel::<Waker>();
  let waking = std::thread::spawn(move || {
    for waker in receive {
      std::thread::sleep(Duration::from_micros(200));
      waker.wake();
    }
  });
  let rounds = many(200);
  let mut left = rounds;
  let woken = rt.run(std::future::poll_fn(move |cx| {
    if left == 0 {
      return Poll::Ready(rounds);
    }
    left -= 1;
    send.send(cx.waker().clone()).unwrap();
    Poll::Pending
  }));
  assert_eq!(woken, rounds);
  waking.join().unwrap();
  settle(&rt);
}
