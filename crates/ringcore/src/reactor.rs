//! The reactor: which completion wakes whom.
//! Pair: src/reactor.ts

use crate::cqe::IORING_CQE_F_MORE;
use crate::ring::{Entry, Event, Input, Ring, Wait};
use crate::slot::{Held, Key, Lifecycle, Owner};
use crate::sqe::Sqe;
use crate::stream::BACKLOG;
use std::task::{Context, Poll};
use std::time::Duration;

// PAIR: Reactor
/// The ring and the wakers of those who wait for it.
pub struct Reactor {
  pub ring: Ring,
  events: Vec<Event>,
}

impl Reactor {
  pub fn new(ring: Ring) -> Reactor {
    Reactor { ring, events: Vec::with_capacity(256) }
  }

  // PAIR: Reactor.start
  /// Hands an operation to the ring.
  pub fn start(&mut self, sqe: Sqe, input: Option<Input>) -> Key {
    self.ring.push(Entry { sqe, input, held: Held::Nothing, owner: Owner::Future })
  }

  // PAIR: only-rust Reactor.poll -- a TypeScript Op keeps its own result, there is no slot to ask
  /// The result of an operation, once; until then its task is woken by the CQE.
  pub fn poll(&mut self, key: Key, cx: &mut Context<'_>) -> Poll<(i32, u32)> {
    let slot = self.ring.slot(key).expect("a future's slot stays until its result is taken");
    match &mut slot.lifecycle {
      Lifecycle::Completed(res, flags) => {
        let result = (*res, *flags);
        self.ring.take(key);
        Poll::Ready(result)
      }
      Lifecycle::Waiting(waker) if waker.will_wake(cx.waker()) => Poll::Pending,
      lifecycle => {
        *lifecycle = Lifecycle::Waiting(cx.waker().clone());
        Poll::Pending
      }
    }
  }

  // PAIR: only-rust Reactor.startShot -- a TypeScript stream queues its results itself
  /// Hands a multishot operation to the ring: its results queue up in its slot.
  pub fn start_shot(&mut self, sqe: Sqe, input: Option<Input>) -> Key {
    let key = self.start(sqe, input);
    self.ring.slot(key).expect("the slot was just made").shot = Some(Box::default());
    key
  }

  // PAIR: only-rust Reactor.pollShot -- a TypeScript stream keeps its own queue
  /// The oldest result of a multishot operation that nobody has taken: result, flags, and whether
  /// it was cancelled for its queue's sake. The one without IORING_CQE_F_MORE is the last and frees
  /// the slot. `None`: the ring ended without its completion.
  pub fn poll_shot(&mut self, key: Key, cx: &mut Context<'_>) -> Poll<Option<(i32, u32, bool)>> {
    let Some(slot) = self.ring.slot(key) else {
      return Poll::Ready(None);
    };
    let shot = slot.shot.as_mut().expect("a stream has a queue");
    if let Some((res, flags)) = shot.queue.pop_front() {
      let paused = shot.paused;
      if flags & IORING_CQE_F_MORE == 0 {
        self.ring.take(key);
      }
      return Poll::Ready(Some((res, flags, paused)));
    }
    slot.lifecycle = Lifecycle::Waiting(cx.waker().clone());
    Poll::Pending
  }

  // PAIR: Reactor.cancel
  /// Asks for the end of an operation; its completion decides how it ends.
  pub fn cancel(&mut self, key: Key) {
    self.ring.cancel(key);
  }

  // PAIR: only-rust Reactor.abandon -- in TypeScript a future has Future.abandon, Rust has Drop
  /// Its future was dropped: memory moves into the slot until the last CQE (I2).
  pub fn abandon(&mut self, key: Key, held: Held) {
    match self.ring.slot(key) {
      Some(slot) if slot.flying => slot.held = held,
      Some(_) => {}
      // The ring ended without this operation's CQE: its memory is never freed (I7).
      None => std::mem::forget(held),
    }
    self.ring.abandon(key);
  }

  // PAIR: Reactor.turn
  /// 2 submit, 3 reap: one enter, its completions delivered. How many.
  pub fn turn(&mut self, wait: Wait) -> usize {
    self.ring.submit(wait);
    self.ring.reap(&mut self.events, 256);
    // Counted at its end: what was pushed since the last one and is reaped here ended inline.
    self.ring.stats.turns = self.ring.stats.turns.wrapping_add(1);
    self.deliver()
  }

  // PAIR: Reactor.deliver
  /// Every event to its slot, and its task into the ready queue.
  fn deliver(&mut self) -> usize {
    let count = self.events.len();
    for event in self.events.drain(..) {
      let Some(slot) = self.ring.slot(event.key) else {
        continue;
      };
      if matches!(slot.lifecycle, Lifecycle::Abandoned) {
        self.ring.take(event.key); // Its future went between the end and the news of it.
        continue;
      }
      let mut next = Lifecycle::Completed(event.res, event.flags);
      let mut crowded = false;
      if let Some(shot) = &mut slot.shot {
        shot.queue.push_back((event.res, event.flags));
        if event.flags & IORING_CQE_F_MORE != 0 {
          next = Lifecycle::Submitted;
          // Descriptors and ticks that nobody takes are bounded; buffers are by their group.
          crowded = !shot.paused && slot.group.is_none() && shot.queue.len() >= BACKLOG;
          shot.paused |= crowded;
        }
      }
      if let Lifecycle::Waiting(waker) = std::mem::replace(&mut slot.lifecycle, next) {
        waker.wake();
      }
      if crowded {
        self.ring.cancel(event.key);
      }
    }
    count
  }

  // PAIR: Reactor.close
  /// I7 for the pure Rust runtime: everything ends, wakers are called, memory is free or leaked.
  pub fn close(&mut self, bound: Duration) -> bool {
    let drained = self.ring.close(bound, &mut self.events);
    self.deliver();
    drained
  }
}
