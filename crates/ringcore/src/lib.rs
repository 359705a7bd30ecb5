//! ringcore: a white-box asynchronous runtime on Linux io_uring, the pure Rust half.
//! Pair: src/index.ts
//!
//! Read it beside the TypeScript half: every module has a twin of the same name, with the same
//! types and functions in the same order. ARCHITECTURE.md has the shape and the invariants I1 to
//! I9 that the comments cite.
#![deny(unsafe_code)]

pub mod address;
pub mod alloc;
mod backlog;
pub mod border;
pub mod buffer;
pub mod chain;
pub mod constants;
mod copy;
pub mod cqe;
mod decode;
pub mod direct;
pub mod driver;
pub mod error;
mod eventfd;
pub mod executor;
pub mod fs;
pub mod future;
pub mod group;
pub mod input;
pub mod join;
pub mod kernel;
mod lane;
mod late;
pub mod mock;
pub mod op;
pub mod ops;
mod plain;
mod polling;
mod pool;
pub mod probe;
pub mod reactor;
mod register;
pub mod ring;
pub mod runtime;
mod settle;
pub mod setup;
pub mod slot;
pub mod sqe;
mod start;
pub mod statx;
pub mod stream;
pub mod table;
pub mod task;
pub mod timer;
mod tree;
pub mod wake;
pub mod world;

pub use direct::Direct;
pub use error::{Error, Result};
pub use fs::{File, OpenOptions};
pub use join::{all, race};
pub use probe::probe;
pub use runtime::{run, spawn, yield_now, Runtime};
pub use setup::{Allow, MaxWorkers, Options, RingFd, Sqpoll};
pub use task::JoinHandle;
pub use timer::{sleep, timeout};

/// What `wake` is built on. tests/loom.rs puts loom's in its place.
mod sync {
  pub use std::sync::atomic::{fence, AtomicBool, Ordering};
  pub use std::sync::Mutex;

  /// An eventfd that the owner of the ready queue waits on; whoever made it closes it.
  pub struct Bell(pub i32);

  impl Bell {
    /// Ends the owner's wait, now or when it begins.
    pub fn ring(&self) {
      crate::kernel::signal_eventfd(self.0);
    }
  }
}
