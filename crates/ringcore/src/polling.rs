// PAIR: only-rust polling.rs -- TypeScript says `sqpoll` and knows nothing of the thread
//! The driver where a thread of the kernel takes entries when it likes (SQPOLL).
#![allow(unsafe_code)]

use crate::driver::{Driver, Wait};
use crate::kernel::Kernel;
use crate::setup::errno_of;
use io_uring::types::{SubmitArgs, Timespec};
use io_uring::EnterFlags;
use std::time::{Duration, Instant};

/// How long a pass of cancels waits for the thread, which takes all in one go: for a machine with
/// much else to do. Whatever is left is found by the next pass.
pub(crate) const FIRST_LOOK: Duration = Duration::from_millis(20);
/// The same where there is no next pass.
pub(crate) const LAST_LOOK: Duration = Duration::from_millis(100);

impl Kernel {
  /// Submit for a ring with a polling thread: the tail has moved, so it sees the entries by itself.
  /// An enter is needed only to wake it, to flush an overflow, or to wait.
  ///
  /// ```text
  /// this thread                     polling thread
  /// move the tail                   set SQ_NEED_WAKEUP
  /// ----- full fence -----          ----- full fence -----
  /// look at SQ_NEED_WAKEUP          look at the tail, sleep
  /// ```
  pub(crate) fn submit_polled(&mut self, wait: Wait) -> std::result::Result<usize, i32> {
    let sq = self.ring.submission();
    // The fence is in `need_wakeup`.
    let (asleep, overflow) = (sq.need_wakeup(), sq.cq_overflow());
    drop(sq);
    self.entered = asleep || overflow || wait != Wait::No;
    if self.entered {
      let submitter = self.ring.submitter();
      let mut flags = EnterFlags::empty();
      flags.set(EnterFlags::SQ_WAKEUP, asleep);
      flags.set(EnterFlags::GETEVENTS, overflow || wait != Wait::No);
      let bits = flags.bits();
      let entered = match wait {
        // SAFETY: I1: no argument memory is passed; what the SQEs name is kept by the ring.
        Wait::No => unsafe { submitter.enter::<libc::sigset_t>(0, 0, bits, None) },
        // SAFETY: I1: as above.
        Wait::Forever => unsafe { submitter.enter::<libc::sigset_t>(0, 1, bits, None) },
        // It looks whether the thread sleeps as well.
        Wait::For(limit) => {
          let limit = Timespec::from(limit);
          submitter.submit_with_args(1, &SubmitArgs::new().timespec(&limit))
        }
      };
      entered.map_err(|error| errno_of(&error))?;
    }
    Ok(std::mem::take(&mut self.pushed) + std::mem::take(&mut self.handed))
  }

  /// A cancel finds only what the polling thread has taken. True: there is no such thread any more,
  /// and nobody will take the rest.
  pub(crate) fn wait_until_taken(&mut self, limit: Duration) -> bool {
    let start = Instant::now();
    while self.polled() && self.untaken() > 0 {
      if self.submit(Wait::No) == Err(libc::EOWNERDEAD) {
        return true;
      }
      std::thread::yield_now();
      if start.elapsed() > limit {
        break;
      }
    }
    false
  }
}
