//! Several futures as one: the first, or all.
//! Pair: src/join.ts

use crate::future::{Context, Future, Poll};
use std::pin::Pin;

// PAIR: race
/// The outcome of the first that ends, in order among those that end together. The others are
/// dropped, which cancels what they wait for.
pub fn race<F: Future + Unpin>(futures: Vec<F>) -> Race<F> {
  Race { futures }
}

/// The future of `race`.
pub struct Race<F> {
  futures: Vec<F>,
}

impl<F: Future + Unpin> Future for Race<F> {
  type Output = F::Output;

  fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
    for i in 0..self.futures.len() {
      if let Poll::Ready(value) = Pin::new(&mut self.futures[i]).poll(cx) {
        self.futures.clear();
        return Poll::Ready(value);
      }
    }
    Poll::Pending
  }
}

// PAIR: all
/// Every outcome, in the order of the arguments.
pub fn all<F: Future + Unpin>(futures: Vec<F>) -> All<F>
where
  F::Output: Unpin,
{
  let left = futures.len();
  All { places: futures.into_iter().map(Place::Running).collect(), left }
}

enum Place<F: Future> {
  Running(F),
  Done(Option<F::Output>),
}

/// The future of `all`.
pub struct All<F: Future> {
  places: Vec<Place<F>>,
  left: usize,
}

impl<F: Future + Unpin> Future for All<F>
where
  F::Output: Unpin,
{
  type Output = Vec<F::Output>;

  fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Vec<F::Output>> {
    let this = &mut *self;
    for place in &mut this.places {
      let Place::Running(future) = place else {
        continue;
      };
      if let Poll::Ready(value) = Pin::new(future).poll(cx) {
        *place = Place::Done(Some(value));
        this.left -= 1;
      }
    }
    if this.left > 0 {
      return Poll::Pending;
    }
    let taken = this.places.iter_mut().map(|place| match place {
      Place::Done(value) => value.take().expect("All is polled once after its end"),
      Place::Running(_) => unreachable!("none is left"),
    });
    Poll::Ready(taken.collect())
  }
}
