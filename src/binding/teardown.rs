//! The end of an environment: a synchronous cleanup hook (I7).
//!
//! Synchronous, since asynchronous hooks crash Deno and Bun does not wait for them. It runs at a
//! worker's natural end, its process.exit(), terminate(), and at the natural end of the main
//! thread. A main thread's process.exit() runs no hooks: the kernel cleans up.

use super::check;
use super::ring::Shared;
use napi::sys;
use std::ffi::c_void;
use std::sync::Arc;

/// Registers the hook with a count of its own.
pub fn register(env: sys::napi_env, shared: &Arc<Shared>) -> napi::Result<()> {
  let argument = Arc::into_raw(shared.clone());
  // SAFETY: I7: the argument is a count that `unregister` or the hook drops, whichever comes.
  let status =
    unsafe { sys::napi_add_env_cleanup_hook(env, Some(hook), argument.cast_mut().cast()) };
  if status != sys::Status::napi_ok {
    // SAFETY: I7: it was not registered, so the count is still ours.
    drop(unsafe { Arc::from_raw(argument) });
  }
  check(status, "napi_add_env_cleanup_hook")
}

/// The ring was closed by hand: its hook has nothing left to do.
pub fn unregister(env: sys::napi_env, shared: &Arc<Shared>) {
  let argument = Arc::as_ptr(shared);
  // SAFETY: I7: the same pair as in `register`; Node-API ignores one that it does not know.
  let status =
    unsafe { sys::napi_remove_env_cleanup_hook(env, Some(hook), argument.cast_mut().cast()) };
  if status == sys::Status::napi_ok {
    // SAFETY: I7: removed before it ran, so the count made by `register` is dropped here, once.
    drop(unsafe { Arc::from_raw(argument) });
  }
}

extern "C" fn hook(argument: *mut c_void) {
  // SAFETY: I7: the count made by `register`; a hook runs once.
  let shared = unsafe { Arc::from_raw(argument.cast::<Shared>().cast_const()) };
  // A panic must not cross into the runtime; the process would abort at its end for nothing.
  let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| shared.teardown()));
}
