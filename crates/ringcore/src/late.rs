// PAIR: only-rust late.rs -- in TypeScript the end of a ring is one call
//! What a ring still has to close at its end. close(2) may wait for a file system (FUSE, NFS), also
//! for ever: a thread of its own does it, when the ring is gone, and is waited for briefly only.
#![allow(unsafe_code)]

use crate::ring::close_now;
use std::collections::VecDeque;
use std::sync::{mpsc, Arc};
use std::time::Duration;

/// What waits for no server is closed by then, and whoever has closed the ring finds it closed.
const BRIEFLY: Duration = Duration::from_millis(100);

/// The descriptors that the end of a ring leaves, and how far that end is.
#[derive(Default)]
pub(crate) struct Late {
  /// The ring is being closed.
  pub ending: bool,
  /// It has cancelled everything. Before, a close that answers ECANCELED has run: the kernel had
  /// taken the number out of the table when the file system said that, and it may be another's.
  pub swept: bool,
  fds: VecDeque<i32>,
}

impl Late {
  /// A descriptor that nobody received.
  pub fn came(&mut self, fd: i32) {
    self.fds.push_front(fd);
  }

  /// Its close was cancelled before it ran: behind the others, which its file system may not delay.
  pub fn cancelled(&mut self, fd: i32) {
    // SAFETY: I3: the number is the ring's, or nobody's: F_GETFD changes nothing and waits for
    // nothing. EBADF: the close has run after all.
    if unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0 {
      self.fds.push_back(fd);
    }
  }

  /// The ring is gone. Where no thread is to be had this one closes.
  pub fn close(&mut self) {
    self.ending = false;
    let fds: Arc<[i32]> = std::mem::take(&mut self.fds).into_iter().collect();
    if fds.is_empty() {
      return;
    }
    let theirs = fds.clone();
    let (over, ended) = mpsc::channel::<()>();
    let close = move || {
      theirs.iter().copied().for_each(close_now);
      drop(over);
    };
    let builder = std::thread::Builder::new().name("ringcore-close".into()).stack_size(128 << 10);
    if crate::lane::unsignalled(|| builder.spawn(close)).is_err() {
      fds.iter().copied().for_each(close_now);
    }
    // It says nothing, but hangs up.
    let _ = ended.recv_timeout(BRIEFLY);
  }
}
