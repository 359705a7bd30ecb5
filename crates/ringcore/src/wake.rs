// PAIR: only-rust wake.rs -- it is what threads share, and JavaScript wakes on one thread only
//! What crosses threads: the ready queue, a task's place in it, and the parker's token.
//!
//! The orders in here are checked by tests/loom.rs, which builds this very file on loom's atomics:
//! each wrong order is a test of its own there and loses a wake-up.

use crate::sync::{fence, AtomicBool, Bell, Mutex, Ordering};
use std::collections::VecDeque;

/// The ready queue. Wakers push from any thread; only the runtime's own thread pops.
pub struct Ready {
  queue: Mutex<VecDeque<(u32, u64)>>,
  /// The owner is about to block, or blocks, in enter: a push must ring the bell.
  parked: AtomicBool,
  bell: Bell,
}

impl Ready {
  /// An empty queue; its owner is awake.
  pub fn new(bell: Bell) -> Ready {
    Ready { queue: Mutex::new(VecDeque::new()), parked: AtomicBool::new(false), bell }
  }

  /// Queues a task. Two orders are possible with the owner's step 4, and both end well: the owner
  /// sees the push when it looks once more, or this thread sees `parked` and rings.
  pub fn push(&self, task: u32, serial: u64) {
    self.queue.lock().unwrap().push_back((task, serial));
    fence(Ordering::SeqCst);
    if self.parked.swap(false, Ordering::SeqCst) {
      self.bell.ring();
    }
  }

  /// The task that waits longest.
  pub fn pop(&self) -> Option<(u32, u64)> {
    self.queue.lock().unwrap().pop_front()
  }

  /// Tasks that wait.
  pub fn len(&self) -> usize {
    self.queue.lock().unwrap().len()
  }

  /// Whether no task waits.
  pub fn is_empty(&self) -> bool {
    self.len() == 0
  }

  /// Step 4, before blocking: says so first, looks second. False: somebody came, do not block. A
  /// swap, as in `push`: loom keeps no order between a plain store and a swap on another thread,
  /// and beside an enter it costs nothing.
  pub fn park(&self) -> bool {
    self.parked.swap(true, Ordering::SeqCst);
    fence(Ordering::SeqCst);
    self.is_empty()
  }

  /// Step 4 is over, whether it blocked or not.
  pub fn unpark(&self) {
    self.parked.store(false, Ordering::SeqCst);
  }

  /// What is rung when the owner blocks.
  pub fn bell(&self) -> &Bell {
    &self.bell
  }
}

/// Whether a task is in the ready queue, so that more wakes change nothing.
pub struct Queued(AtomicBool);

impl Queued {
  /// A task begins its life in the queue.
  pub fn new() -> Queued {
    Queued(AtomicBool::new(true))
  }

  /// A wake: true for the one that has to push.
  pub fn enter(&self) -> bool {
    !self.0.swap(true, Ordering::AcqRel)
  }

  /// The task was popped and is about to be polled: from here on a wake queues it again. A
  /// read-modify-write, since the poll must see what was written before a wake that came earlier
  /// and pushed nothing; after a plain store it may read older values, on x86 as well.
  pub fn leave(&self) {
    self.0.swap(false, Ordering::AcqRel);
  }
}

impl Default for Queued {
  fn default() -> Queued {
    Queued::new()
  }
}

/// Keeps the queue of the parker's threadsafe function at one call.
#[derive(Default)]
pub struct Token(AtomicBool);

impl Token {
  /// No call is on its way.
  pub fn new() -> Token {
    Token(AtomicBool::new(false))
  }

  /// The parker was signalled: true when it has to call.
  pub fn take(&self) -> bool {
    !self.0.swap(true, Ordering::SeqCst)
  }

  /// The start of a turn, before anything else: from here on a signal means a new call.
  pub fn clear(&self) {
    self.0.store(false, Ordering::SeqCst);
  }
}
