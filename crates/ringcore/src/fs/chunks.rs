//! The bytes of a file in pieces.
//! Pair: src/fs/chunks.ts

use super::handle::Handle;
use super::transfer;
use crate::error::{Error, Result};
use crate::future::{Context, Future, Poll};
use crate::sqe::MAX_TRANSFER;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;

// PAIR: ChunksOptions
/// Which pieces, of what.
#[derive(Clone, Copy, Debug)]
pub struct ChunksOptions {
  /// Bytes of a piece at most: 1 to 1 MiB. Default 64 KiB.
  pub size: usize,
  /// The first byte. Without `start` and `end`: the cursor, which moves along.
  pub start: Option<u64>,
  /// The first byte that is not wanted. Default: the end of the file.
  pub end: Option<u64>,
}

impl Default for ChunksOptions {
  fn default() -> ChunksOptions {
    ChunksOptions { size: 64 << 10, start: None, end: None }
  }
}

type Reading = Pin<Box<dyn Future<Output = Result<Vec<u8>>>>>;

/// The read behind the piece that was given last.
enum Ahead {
  Nothing,
  Running(Reading),
  Here(Result<Vec<u8>>),
}

// PAIR: Chunks
/// Pieces of a file. With an offset the next one is read while one is being looked at; at the
/// cursor it is not, so that the cursor stands behind what was given. Dropped, the file stays open.
pub struct Chunks {
  handle: Rc<Handle>,
  size: usize,
  /// `None`: the cursor.
  position: Option<u64>,
  end: u64,
  ahead: Ahead,
  ended: bool,
}

impl Chunks {
  // PAIR: Chunks.new
  /// Nothing is read before the first piece is asked for.
  pub(crate) fn new(handle: Rc<Handle>, options: ChunksOptions) -> Chunks {
    let ChunksOptions { size, start, end } = options;
    let position = start.or(end.map(|_| 0));
    let (end, ahead) = (end.unwrap_or(u64::MAX), Ahead::Nothing);
    Chunks { handle, size, position, end, ahead, ended: false }
  }

  // PAIR: Chunks.next
  /// The next piece; `None` at the end. An error ends it.
  #[allow(clippy::should_implement_trait)] // An iterator's would block.
  pub fn next(&mut self) -> impl Future<Output = Option<Result<Vec<u8>>>> + '_ {
    poll_fn(|cx| self.poll_next(cx))
  }

  /// The same as `next` for hand-written futures.
  pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Vec<u8>>>> {
    if self.ended {
      return Poll::Ready(None);
    }
    let piece = match std::mem::replace(&mut self.ahead, Ahead::Nothing) {
      Ahead::Here(piece) => piece,
      Ahead::Running(mut reading) => match reading.as_mut().poll(cx) {
        Poll::Ready(piece) => piece,
        Poll::Pending => {
          self.ahead = Ahead::Running(reading);
          return Poll::Pending;
        }
      },
      Ahead::Nothing => {
        self.ahead = match self.fetch() {
          Some(reading) => Ahead::Running(reading),
          None => Ahead::Here(Ok(Vec::new())),
        };
        return self.poll_next(cx);
      }
    };
    Poll::Ready(self.given(piece, cx))
  }

  // PAIR: Chunks.fetch
  /// Reads the next piece. `None`: nothing more is wanted.
  fn fetch(&self) -> Option<Reading> {
    let (handle, position) = (self.handle.clone(), self.position);
    let wanted = self.end.saturating_sub(position.unwrap_or(0)).min(self.size as u64) as usize;
    if self.size == 0 || self.size > MAX_TRANSFER as usize {
      let text = format!("size must be 1 to {MAX_TRANSFER}, not {}", self.size);
      return Some(Box::pin(std::future::ready(Err(Error::Invalid(text)))));
    }
    let read = async move {
      let lease = handle.enter(position.is_none(), "read").await?;
      let (count, mut bytes) = transfer::read(&lease, vec![0; wanted], position).await;
      bytes.truncate(count?);
      Ok(bytes)
    };
    (wanted > 0).then(|| Box::pin(read) as Reading)
  }

  /// A piece goes out, and the next one is begun: a short one is the last or waits for somebody.
  fn given(&mut self, piece: Result<Vec<u8>>, cx: &mut Context<'_>) -> Option<Result<Vec<u8>>> {
    let Ok(bytes) = piece else {
      self.ended = true;
      return Some(piece);
    };
    if bytes.is_empty() {
      self.ended = true;
      return None;
    }
    if let Some(position) = self.position {
      self.position = Some(position + bytes.len() as u64);
      if bytes.len() == self.size {
        if let Some(mut reading) = self.fetch() {
          self.ahead = match reading.as_mut().poll(cx) {
            Poll::Ready(piece) => Ahead::Here(piece),
            Poll::Pending => Ahead::Running(reading),
          };
        }
      }
    }
    Some(Ok(bytes))
  }
}
