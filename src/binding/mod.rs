//! The border's Rust half: shared memory, one bare call a turn, a parker, a teardown hook.
//! Pair: src/binding.ts
//!
//! ```text
//! TypeScript            bare call, no arguments            Rust
//! descriptors ────┐            turn()               ┌──> SQ ──> kernel
//! (shared memory) ├────────────────────────────────>│
//! completions <───┘                                 └─<── CQ <── kernel
//!      ^                                                        │ eventfd
//!      └── onWake <── parker (uv_poll, or a thread) <────────────┘
//! ```

pub mod memory;
pub mod now;
pub mod parker;
pub mod poll;
pub mod probe;
pub mod ring;
pub mod teardown;

use napi::sys;

/// A failed Node-API call as an error that says which one.
pub(crate) fn check(status: sys::napi_status, call: &str) -> napi::Result<()> {
  match status {
    sys::Status::napi_ok => Ok(()),
    _ => {
      let text = format!("{call} failed with status {status}");
      Err(napi::Error::new(napi::Status::GenericFailure, text))
    }
  }
}
