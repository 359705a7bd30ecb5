//! The text of a file, line by line.
//! Pair: src/fs/lines.ts

use super::chunks::Chunks;
use super::file::text;
use crate::error::Result;

// PAIR: Lines
/// Lines without their ends, `\n` or `\r\n`. What stands behind the last end is a line unless it is
/// empty. What is read ahead of the line that was given is gone from the cursor.
pub struct Lines {
  chunks: Chunks,
  /// Bytes that came and were not given.
  bytes: Vec<u8>,
  /// First byte of the next line, and the first one that no end was looked for in.
  from: usize,
  looked: usize,
  ended: bool,
}

impl Lines {
  // PAIR: Lines.new
  /// Nothing is read before the first line is asked for.
  pub(crate) fn new(chunks: Chunks) -> Lines {
    Lines { chunks, bytes: Vec::new(), from: 0, looked: 0, ended: false }
  }

  // PAIR: Lines.next
  /// The next line; `None` at the end. An error ends it, bytes that are no UTF-8 end nothing.
  #[allow(clippy::should_implement_trait)] // An iterator's would block.
  pub async fn next(&mut self) -> Option<Result<String>> {
    loop {
      if let Some(length) = self.bytes[self.looked..].iter().position(|byte| *byte == b'\n') {
        let end = self.looked + length;
        let line = &self.bytes[self.from..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
        (self.from, self.looked) = (end + 1, end + 1);
        return Some(text(line));
      }
      self.looked = self.bytes.len();
      if self.ended {
        let rest = self.bytes.split_off(self.from);
        (self.bytes, self.from, self.looked) = (Vec::new(), 0, 0);
        return (!rest.is_empty()).then(|| text(rest));
      }
      match self.chunks.next().await {
        Some(Ok(bytes)) => self.add(&bytes),
        Some(Err(error)) => {
          (self.bytes, self.from, self.looked, self.ended) = (Vec::new(), 0, 0, true);
          return Some(Err(error));
        }
        None => self.ended = true,
      }
    }
  }

  // PAIR: Lines.add
  /// More bytes; those that were given make room.
  fn add(&mut self, bytes: &[u8]) {
    self.bytes.drain(..self.from);
    self.looked -= self.from;
    self.from = 0;
    self.bytes.extend_from_slice(bytes);
  }
}
