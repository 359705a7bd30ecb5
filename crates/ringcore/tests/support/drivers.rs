// Drivers of tests: the kernel's with something done on the way, and one that does what it is told.

use ringcore::cqe::Cqe;
use ringcore::driver::{Driver, Wait};
use ringcore::kernel::Kernel;
use ringcore::sqe::{Sqe, IORING_OP_OPENAT};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// What a test does between the ring and the kernel.
pub trait Between {
  fn push(&mut self, kernel: &mut Kernel, sqes: &[Sqe]) -> usize {
    kernel.push(sqes)
  }

  fn submit(&mut self, kernel: &mut Kernel, wait: Wait) -> Result<usize, i32> {
    kernel.submit(wait)
  }
}

/// The kernel, and what is between.
pub struct Passing<B: Between> {
  pub kernel: Kernel,
  pub between: B,
}

impl<B: Between> Driver for Passing<B> {
  fn push(&mut self, sqes: &[Sqe]) -> usize {
    self.between.push(&mut self.kernel, sqes)
  }

  fn submit(&mut self, wait: Wait) -> Result<usize, i32> {
    self.between.submit(&mut self.kernel, wait)
  }

  fn reap(&mut self, out: &mut [Cqe]) -> usize {
    self.kernel.reap(out)
  }

  fn park(&mut self) -> bool {
    self.kernel.park()
  }

  fn unpark(&mut self) {
    self.kernel.unpark();
  }

  fn room(&self) -> usize {
    self.kernel.room()
  }

  fn capacity(&self) -> usize {
    self.kernel.capacity()
  }

  fn queued(&self) -> usize {
    self.kernel.queued()
  }

  fn untaken(&self) -> usize {
    self.kernel.untaken()
  }

  fn end(&mut self) -> usize {
    self.kernel.end()
  }

  fn collect(&mut self) {
    self.kernel.collect();
  }

  fn polled(&self) -> bool {
    self.kernel.polled()
  }

  fn pending(&mut self) -> bool {
    self.kernel.pending()
  }

  fn overflowed(&self) -> bool {
    self.kernel.overflowed()
  }

  fn cancel_all(&mut self) -> bool {
    self.kernel.cancel_all()
  }
}

/// What a scripted kernel saw and what it will say.
#[derive(Default)]
pub struct Script {
  /// SQ_TASKRUN is set, and there is no task work.
  pub stale: bool,
  pub sq: Vec<Sqe>,
  /// Everything that was taken, in order, with the path it named.
  pub taken: Vec<(Sqe, Option<String>)>,
  /// How many entries each enter took.
  pub rounds: Vec<usize>,
  pub cq: VecDeque<Cqe>,
  /// What completes when everything is cancelled.
  pub swept: VecDeque<Cqe>,
  pub enters: VecDeque<i32>,
}

impl Script {
  pub fn complete(&mut self, user_data: u64, res: i32) {
    self.cq.push_back(Cqe { user_data, res, flags: 0 });
  }

  pub fn taken(&self, opcode: u32) -> Vec<Sqe> {
    let all = self.taken.iter().map(|(sqe, _)| *sqe);
    all.filter(|sqe| sqe.opcode as u32 == opcode).collect()
  }
}

/// A kernel that takes entries and completes nothing by itself.
pub struct Scripted {
  pub script: Rc<RefCell<Script>>,
  pub entries: usize,
}

impl Driver for Scripted {
  fn push(&mut self, sqes: &[Sqe]) -> usize {
    assert!(self.room() >= sqes.len(), "pushed into a full SQ");
    self.script.borrow_mut().sq.extend(sqes);
    sqes.len()
  }

  fn submit(&mut self, _wait: Wait) -> Result<usize, i32> {
    let mut script = self.script.borrow_mut();
    if let Some(errno) = script.enters.pop_front() {
      return Err(errno);
    }
    let sq = std::mem::take(&mut script.sq);
    script.rounds.push(sq.len());
    for sqe in &sq {
      let path = (sqe.opcode as u32 == IORING_OP_OPENAT).then(|| path_of(sqe.addr));
      script.taken.push((*sqe, path));
    }
    Ok(sq.len())
  }

  fn reap(&mut self, out: &mut [Cqe]) -> usize {
    let mut script = self.script.borrow_mut();
    let count = out.len().min(script.cq.len());
    out[..count].fill_with(|| script.cq.pop_front().expect("counted"));
    count
  }

  fn park(&mut self) -> bool {
    self.script.borrow().cq.is_empty()
  }

  fn unpark(&mut self) {}

  fn room(&self) -> usize {
    self.entries - self.queued()
  }

  fn capacity(&self) -> usize {
    self.entries
  }

  fn queued(&self) -> usize {
    self.script.borrow().sq.len()
  }

  fn pending(&mut self) -> bool {
    let script = self.script.borrow();
    script.stale || !script.cq.is_empty()
  }

  fn overflowed(&self) -> bool {
    false
  }

  fn cancel_all(&mut self) -> bool {
    let script = &mut *self.script.borrow_mut();
    script.cq.append(&mut script.swept);
    true
  }
}

#[allow(unsafe_code)]
fn path_of(address: u64) -> String {
  // SAFETY: I2: the ring keeps the path until the entry is taken, which is now.
  let path = unsafe { std::ffi::CStr::from_ptr(address as *const libc::c_char) };
  path.to_string_lossy().into_owned()
}
