//! The wake-ups that cross threads, every interleaving of them: src/wake.rs on loom's atomics.
// PAIR: only-rust loom.rs -- wake.rs has no twin, JavaScript wakes on one thread only
//!
//! A lost wake-up leaves the owner asleep, which loom reports as a deadlock. Each right order has
//! its wrong ones beside it, which must deadlock: they show that the model can see such a loss.
//! loom treats a SeqCst access as AcqRel, which is weaker than the language; fences it knows.

// The file under test, and what stands in the place of `crate::sync`.
#[allow(dead_code)]
#[path = "../src/wake.rs"]
mod wake;

mod sync {
  pub use loom::sync::atomic::{fence, AtomicBool, Ordering};
  use loom::sync::Condvar;
  pub use loom::sync::Mutex;
  use std::sync::Arc;

  /// An eventfd: a counter that is read as a whole, by one who waits until it is not 0.
  #[derive(Clone)]
  pub struct Bell(Arc<(Mutex<u32>, Condvar)>);

  impl Bell {
    pub fn new() -> Bell {
      Bell(Arc::new((Mutex::new(0), Condvar::new())))
    }

    pub fn ring(&self) {
      *self.0 .0.lock().unwrap() += 1;
      self.0 .1.notify_one();
    }

    pub fn wait(&self) {
      let mut count = self.0 .0.lock().unwrap();
      while *count == 0 {
        count = self.0 .1.wait(count).unwrap();
      }
      *count = 0;
    }
  }
}

use loom::sync::atomic::{AtomicUsize, Ordering::*};
use loom::thread;
// Not loom's: dropping one of those while a deadlock unwinds is a second panic.
use std::sync::Arc;
use sync::{fence, AtomicBool, Bell};
use wake::{Queued, Ready, Token};

/// Every interleaving with at most so many preemptions; a stress run allows one more.
fn explore(model: impl Fn() + Send + Sync + 'static) {
  let mut builder = loom::model::Builder::new();
  let stress = std::env::var("RINGCORE_STRESS").is_ok_and(|value| value == "1");
  builder.preemption_bound = Some(if stress { 4 } else { 3 });
  builder.check(model);
}

// --- the ready queue ----------------------------------------------------------------------------

/// Two threads wake a task each; the owner sleeps until both came. `may_sleep` is step 4.
fn two_wakers(may_sleep: impl Fn(&Ready) -> bool + Copy + Send + Sync + 'static) {
  explore(move || {
    let bell = Bell::new();
    let ready = Arc::new(Ready::new(bell.clone()));
    let wakers = [1, 2].map(|task| {
      let ready = ready.clone();
      thread::spawn(move || ready.push(task, 0))
    });
    let mut seen = 0;
    while seen < 2 {
      while ready.pop().is_some() {
        seen += 1;
      }
      if seen < 2 {
        if may_sleep(&ready) {
          bell.wait();
        }
        ready.unpark();
      }
    }
    assert!(ready.pop().is_none(), "a wake came twice");
    wakers.into_iter().for_each(|waker| waker.join().unwrap());
  });
}

#[test]
fn a_push_from_another_thread_ends_the_owners_sleep() {
  two_wakers(Ready::park);
}

#[test]
#[should_panic(expected = "deadlock")]
fn looking_before_saying_that_one_sleeps_loses_a_push() {
  two_wakers(|ready| {
    let empty = ready.is_empty();
    ready.park();
    empty
  });
}

#[test]
#[should_panic(expected = "deadlock")]
fn sleeping_without_looking_again_loses_a_push() {
  two_wakers(|ready| {
    ready.park();
    true
  });
}

// --- a task's place in the queue ----------------------------------------------------------------

/// A task waits for a flag that another thread sets before it wakes; the flag has no lock that
/// would order it. `leave` is what the owner does between pop and poll.
fn one_task(
  enter: impl Fn(&Queued, &AtomicBool) -> bool + Copy + Send + Sync + 'static,
  leave: impl Fn(&Queued, &AtomicBool) + Copy + Send + Sync + 'static,
) {
  explore(move || {
    let bell = Bell::new();
    let shared = (Ready::new(bell.clone()), Queued::new(), AtomicBool::new(true));
    let shared = Arc::new((shared, AtomicUsize::new(0)));
    shared.0 .0.push(7, 1);
    let waker = thread::spawn({
      let shared = shared.clone();
      move || {
        let ((ready, queued, plain), flag) = &*shared;
        flag.store(1, Release);
        if enter(queued, plain) {
          ready.push(7, 1);
        }
      }
    });
    let ((ready, queued, plain), flag) = &*shared;
    let mut done = false;
    while !done {
      while ready.pop().is_some() {
        leave(queued, plain);
        done |= flag.load(Acquire) == 1; // The poll.
      }
      if !done {
        if ready.park() {
          bell.wait();
        }
        ready.unpark();
      }
    }
    waker.join().unwrap();
  });
}

#[test]
fn a_wake_that_pushes_nothing_is_seen_by_the_poll_that_comes() {
  one_task(|queued, _| queued.enter(), |queued, _| queued.leave());
}

#[test]
#[should_panic(expected = "deadlock")]
fn leaving_the_queue_by_a_plain_store_loses_a_wake() {
  one_task(|_, plain| !plain.swap(true, AcqRel), |_, plain| plain.store(false, Release));
}

#[test]
#[should_panic(expected = "deadlock")]
fn leaving_the_queue_never_loses_a_wake_during_the_poll() {
  one_task(|queued, _| queued.enter(), |_, _| {});
}

// --- the park protocol and the parker's token ---------------------------------------------------

/// What the ring shares with the kernel, and the threads with each other.
struct Parking {
  /// Completions posted.
  cq: AtomicUsize,
  /// IORING_CQ_EVENTFD_DISABLED.
  disabled: AtomicBool,
  eventfd: Bell,
  token: Token,
  /// The threadsafe function's queue.
  call: Bell,
  stop: AtomicBool,
}

impl Parking {
  /// The kernel's end: the completion, a full barrier, then the look at the flag.
  fn complete(&self) {
    self.cq.fetch_add(1, Release);
    fence(SeqCst);
    if !self.disabled.load(Relaxed) {
      self.eventfd.ring();
    }
  }

  /// The parker thread of src/binding/parker.rs.
  fn forward(&self) {
    loop {
      self.eventfd.wait();
      if self.stop.load(SeqCst) {
        break;
      }
      if self.token.take() {
        self.call.ring();
      }
    }
  }

  fn look(&self, seen: usize) -> bool {
    self.cq.load(Acquire) == seen
  }

  /// Kernel::park: on by a read-modify-write, a full fence, then the look.
  fn park(&self, seen: usize) -> bool {
    self.disabled.fetch_and(false, Release);
    fence(SeqCst);
    self.look(seen)
  }
}

/// An owner that takes turns until two completions came. `park` says whether it may sleep.
fn owner(
  first: impl Fn(&Parking) + Copy + Send + Sync + 'static,
  park: impl Fn(&Parking, usize) -> bool + Copy + Send + Sync + 'static,
) {
  explore(move || {
    let parking = Arc::new(Parking {
      cq: AtomicUsize::new(0),
      disabled: AtomicBool::new(true),
      eventfd: Bell::new(),
      token: Token::new(),
      call: Bell::new(),
      stop: AtomicBool::new(false),
    });
    let on_thread = |body: fn(&Parking)| {
      let parking = parking.clone();
      thread::spawn(move || body(&parking))
    };
    let parker = on_thread(Parking::forward);
    let kernel = on_thread(|parking| {
      parking.complete();
      parking.complete();
    });
    let mut seen = 0;
    while seen < 2 {
      first(&parking);
      parking.disabled.store(true, Relaxed);
      seen = parking.cq.load(Acquire);
      if seen < 2 && park(&parking, seen) {
        parking.call.wait();
      }
    }
    // I7: the stop flag, the poke, the join.
    parking.stop.store(true, SeqCst);
    parking.eventfd.ring();
    parker.join().unwrap();
    kernel.join().unwrap();
  });
}

#[test]
fn a_completion_that_races_the_park_is_seen_or_wakes() {
  owner(|parking| parking.token.clear(), Parking::park);
}

#[test]
#[should_panic(expected = "deadlock")]
fn clearing_the_token_after_the_look_loses_a_completion() {
  owner(
    |_| {},
    |parking, seen| {
      let empty = parking.park(seen);
      parking.token.clear();
      empty
    },
  );
}

#[test]
#[should_panic(expected = "deadlock")]
fn never_clearing_the_token_loses_a_completion() {
  owner(|_| {}, Parking::park);
}

#[test]
#[should_panic(expected = "deadlock")]
fn enabling_by_a_plain_store_without_a_fence_loses_a_completion() {
  owner(
    |parking| parking.token.clear(),
    |parking, seen| {
      parking.disabled.store(false, Release);
      parking.look(seen)
    },
  );
}

#[test]
#[should_panic(expected = "deadlock")]
fn enabling_without_a_fence_loses_a_completion() {
  owner(
    |parking| parking.token.clear(),
    |parking, seen| {
      parking.disabled.fetch_and(false, Release);
      parking.look(seen)
    },
  );
}

#[test]
#[should_panic(expected = "deadlock")]
fn looking_before_enabling_loses_a_completion() {
  owner(
    |parking| parking.token.clear(),
    |parking, seen| {
      let empty = parking.look(seen);
      parking.park(seen);
      empty
    },
  );
}

#[test]
#[should_panic(expected = "deadlock")]
fn enabling_without_looking_again_loses_a_completion() {
  owner(
    |parking| parking.token.clear(),
    |parking, seen| {
      parking.park(seen);
      true
    },
  );
}
