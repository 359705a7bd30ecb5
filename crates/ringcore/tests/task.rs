//! Pair: __test__/task.spec.ts
mod support;

use ringcore::{op, Error};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use support::{runtime, settle, turns};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_handle_gives_the_result_of_its_task() {
  let rt = runtime();
  let handle = rt.spawn(async {
    op::nop().await.unwrap();
    7
  });
  assert_eq!(rt.run(handle), Ok(7));
}

#[test]
fn finished_tells_whether_the_task_has_ended() {
  let rt = runtime();
  let handle = rt.spawn(op::nop());
  assert!(!handle.finished());
  rt.run(turns(5));
  assert!(handle.finished());
  let aborted = rt.spawn(op::nop());
  aborted.abort();
  assert!(aborted.finished());
}

#[test]
fn a_dropped_handle_detaches_its_task() {
  let rt = runtime();
  let ran = Rc::new(Cell::new(false));
  let seen = ran.clone();
  drop(rt.spawn(async move {
    op::timeout(Duration::from_millis(2)).await.unwrap();
    seen.set(true);
  }));
  rt.run(op::timeout(Duration::from_millis(1))).unwrap();
  settle(&rt);
  rt.run(turns(2));
  assert!(ran.get());
}

#[test]
fn a_task_aborted_before_its_first_poll_runs_nothing() {
  let rt = runtime();
  let ran = Rc::new(Cell::new(false));
  let seen = ran.clone();
  let handle = rt.spawn(async move { seen.set(true) });
  handle.abort();
  rt.run(turns(3));
  assert_eq!(rt.run(handle), Err(Error::Abort));
  assert!(!ran.get());
}

#[test]
fn abort_ends_a_waiting_task_and_what_it_waits_for() {
  let rt = runtime();
  let handle = rt.spawn(async {
    op::timeout(LONG).await.unwrap();
    panic!("it went on");
  });
  rt.run(turns(3));
  assert_eq!(rt.in_flight(), 1);
  handle.abort();
  assert!(handle.finished());
  assert_eq!(rt.run(handle), Err::<(), _>(Error::Abort));
  settle(&rt);
}

#[test]
fn a_task_that_aborts_itself_ends_at_its_next_wait() {
  let rt = runtime();
  let seen = Rc::new(RefCell::new(Vec::new()));
  let own: Rc<RefCell<Option<ringcore::JoinHandle<()>>>> = Rc::default();
  let (log, mine) = (seen.clone(), own.clone());
  let handle = rt.spawn(async move {
    op::nop().await.unwrap();
    mine.borrow().as_ref().expect("set below").abort();
    log.borrow_mut().push("goes on");
    op::timeout(LONG).await.unwrap();
    log.borrow_mut().push("never");
  });
  *own.borrow_mut() = Some(handle);
  rt.run(turns(5));
  settle(&rt);
  let handle = own.borrow_mut().take().expect("set above");
  assert_eq!(rt.run(handle), Err(Error::Abort));
  assert_eq!(*seen.borrow(), ["goes on"]);
}

#[test]
fn abort_twice_is_one_abort() {
  struct Ends(Rc<Cell<u32>>);
  impl Drop for Ends {
    fn drop(&mut self) {
      self.0.set(self.0.get() + 1);
    }
  }
  let rt = runtime();
  let ended = Rc::new(Cell::new(0));
  let ends = Ends(ended.clone());
  let handle = rt.spawn(async move {
    let _ends = ends;
    op::timeout(LONG).await.unwrap();
  });
  rt.run(turns(3));
  handle.abort();
  handle.abort();
  assert_eq!(ended.get(), 1);
  assert_eq!(rt.run(handle), Err(Error::Abort));
  settle(&rt);
}

#[test]
fn abort_after_the_end_keeps_the_result() {
  let rt = runtime();
  let handle = rt.spawn(async { 5 });
  rt.run(turns(2));
  handle.abort();
  assert_eq!(rt.run(handle), Ok(5));
}

#[test]
fn abort_of_a_task_that_waits_for_another_one_ends_only_the_first() {
  let rt = runtime();
  let slow = Rc::new(RefCell::new(Some(rt.spawn(op::timeout(LONG)))));
  let shared = slow.clone();
  let waiting = rt.spawn(std::future::poll_fn(move |cx| {
    let mut slow = shared.borrow_mut();
    let handle = slow.as_mut().expect("nobody takes it before the end");
    std::future::Future::poll(std::pin::Pin::new(handle), cx)
  }));
  rt.run(turns(3));
  waiting.abort();
  assert_eq!(rt.run(waiting), Err(Error::Abort));
  let slow = slow.borrow_mut().take().expect("it is still there");
  assert!(!slow.finished());
  slow.abort();
  assert_eq!(rt.run(slow), Err(Error::Abort));
  settle(&rt);
}

// PAIR: only-rust -- in JavaScript any number may wait for one handle and it keeps its outcome
#[test]
fn a_task_may_spawn_and_abort_others_while_it_is_polled() {
  let rt = runtime();
  let outcome = rt.run(async {
    let handles: Vec<_> = (0..10).map(|_| ringcore::spawn(op::timeout(LONG))).collect();
    turns(2).await;
    handles.iter().for_each(|handle| handle.abort());
    let mut aborted = 0;
    for handle in handles {
      aborted += (handle.await == Err(Error::Abort)) as u32;
    }
    aborted
  });
  assert_eq!(outcome, 10);
  settle(&rt);
}
